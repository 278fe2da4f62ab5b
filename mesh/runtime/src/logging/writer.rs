//! The thread that writes log lines, so that those who log do not wait for a slow
//! reader of our output. No line is lost: a full queue makes them wait after all (TEL-22).

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// How many lines may wait.
const LONGEST_QUEUE: usize = 10_000;
/// How much is written at once.
const LARGEST_WRITE: usize = 64 * 1024;

/// How long lines gather after a write. Waking the thread for each costs those who log more
/// than the writing does.
const GATHERING: Duration = Duration::from_millis(2);

static WRITER: OnceLock<LogWriter> = OnceLock::new();

enum Message {
    Line(Vec<u8>),
    Flush(Sender<()>),
}

/// Hands lines to the writing thread.
#[derive(Clone)]
pub(super) struct LogWriter {
    queue: SyncSender<Message>,
}

/// Starts the writing thread.
pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<LogWriter> {
    let (queue, messages) = sync_channel(LONGEST_QUEUE);
    thread::Builder::new().name("log".to_owned()).spawn(move || write_all(&messages, out))?;
    let writer = LogWriter { queue };
    Ok(WRITER.get_or_init(|| writer.clone()).clone())
}

/// Waits until what has been logged so far is written, at most that long. For use
/// right before the program exits.
pub fn flush(deadline: Duration) {
    if let Some(writer) = WRITER.get() {
        writer.flush(deadline);
    }
}

impl LogWriter {
    fn flush(&self, deadline: Duration) {
        let (written, done) = channel();
        // Never blocks on a queue that nobody empties any more.
        if self.queue.try_send(Message::Flush(written)).is_ok() {
            let _ = done.recv_timeout(deadline);
        }
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = LogWriter;

    fn make_writer(&'a self) -> LogWriter {
        self.clone()
    }
}

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.queue.send(Message::Line(line.to_vec())) {
            Ok(()) => Ok(line.len()),
            Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_all(messages: &Receiver<Message>, mut out: impl Write) {
    let mut batch = Vec::new();
    let mut waiting = Vec::new();
    while let Ok(first) = messages.recv() {
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Line(line) => batch.extend_from_slice(&line),
                Message::Flush(written) => waiting.push(written),
            }
            next = if batch.len() < LARGEST_WRITE { messages.try_recv().ok() } else { None };
        }
        // An output that is gone must not end the program, nor fill its memory.
        let _ = out.write_all(&batch).and_then(|()| out.flush());
        batch.clear();
        batch.shrink_to(LARGEST_WRITE);
        for written in waiting.drain(..) {
            // Whoever asked may have stopped waiting.
            let _ = written.send(());
        }
        thread::sleep(GATHERING);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Takes one byte at a time and refuses every now and then.
    #[derive(Clone, Default)]
    struct Reluctant(Arc<Mutex<Vec<u8>>>);

    impl Write for Reluctant {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut taken = self.0.lock().unwrap();
            taken.extend_from_slice(&bytes[..1]);
            if taken.len().is_multiple_of(7) { Err(io::ErrorKind::Interrupted.into()) } else { Ok(1) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn tel_22_no_line_is_lost_with_a_slow_reader() {
        let taken = Reluctant::default();
        let (queue, messages) = sync_channel(2);
        let thread = thread::spawn({
            let mut out = taken.clone();
            move || write_all(&messages, &mut out)
        });
        let mut writer = LogWriter { queue };
        for number in 0..50 {
            writer.write_all(format!("line {number}\n").as_bytes()).unwrap();
        }
        drop(writer);
        thread.join().unwrap();
        // An interrupted write is repeated by `write_all`, so bytes may come twice, none is missing.
        let text = String::from_utf8(taken.0.lock().unwrap().clone()).unwrap();
        assert!(text.len() > 400 && text.matches('\n').count() >= 50, "{text}");
    }

    #[test]
    fn flush_waits_for_what_was_logged() {
        #[derive(Clone, Default)]
        struct Kept(Arc<Mutex<Vec<u8>>>);
        impl Write for Kept {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let kept = Kept::default();
        let (queue, messages) = sync_channel(LONGEST_QUEUE);
        let mut writer = LogWriter { queue };
        let mut out = kept.clone();
        thread::spawn(move || write_all(&messages, &mut out));
        writer.write_all(b"last words\n").unwrap();
        writer.flush(Duration::from_secs(5));
        assert_eq!(*kept.0.lock().unwrap(), b"last words\n");
    }
}
