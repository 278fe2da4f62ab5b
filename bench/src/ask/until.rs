//! Asks until the answer says that a change has taken effect, and prints when that was.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Until;
use super::http1::Connection;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn run(until: &Until) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut connection = Connection::open(&until.request).await?;
    // Whoever changes something waits for this line.
    println!("asking");
    let line = format!("\r\n{}\r\n", until.line);
    loop {
        match connection.ask().await {
            Ok(answer) if contains(answer, line.as_bytes()) => break,
            Ok(_) => {}
            // A proxy without the route yet closes or answers otherwise.
            Err(_) => connection = Connection::open(&until.request).await?,
        }
        anyhow::ensure!(Instant::now() < deadline, "no answer had {:?} within {PATIENCE:?}", until.line);
        tokio::time::sleep(PAUSE).await;
    }
    println!("{}", SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros());
    Ok(())
}

fn contains(answer: &[u8], line: &[u8]) -> bool {
    answer.windows(line.len()).any(|window| window == line)
}
