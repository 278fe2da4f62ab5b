//! Gives memory back that nobody uses: the allocator keeps what a large change of configuration needed for a moment,
//! and would keep it for ever.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

/// From a change until what it needed is given back: more of them often follow.
const SETTLING: Duration = Duration::from_secs(2);
/// Between two times; threads that want memory may have to wait a moment each time.
const INTERVAL: Duration = Duration::from_secs(10);

/// Gives memory back some time after one of these changes, until nobody changes them any more.
pub async fn keep_small_after(changes: [watch::Receiver<u64>; 2]) {
    keep(changes, give_back).await;
}

async fn keep([mut one, mut other]: [watch::Receiver<u64>; 2], mut give_back: impl FnMut()) {
    loop {
        let changed = tokio::select! {
            changed = one.changed() => changed,
            changed = other.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
        sleep(SETTLING).await;
        one.mark_unchanged();
        other.mark_unchanged();
        give_back();
        sleep(INTERVAL - SETTLING).await;
    }
}

#[cfg(target_env = "gnu")]
fn give_back() {
    // SAFETY: it changes nothing but which free pages the allocator holds, and it may be called at any time.
    let given = unsafe { libc::malloc_trim(0) };
    tracing::debug!(given = given != 0, "memory that nobody uses is given back");
}

/// Other allocators are left alone.
#[cfg(not(target_env = "gnu"))]
fn give_back() {}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn once_for_changes_that_come_together_and_not_too_often() {
        let (one, other) = (watch::Sender::new(0), watch::Sender::new(0));
        let (changes, begin) = ([one.subscribe(), other.subscribe()], Instant::now());
        let mut times = Vec::new();
        let keeping = keep(changes, || times.push(begin.elapsed().as_secs()));
        let changing = async move {
            for (pause, changed) in [(1, &one), (0, &one), (1, &other), (5, &one), (1, &other), (100, &other)]
            {
                sleep(Duration::from_secs(pause)).await;
                changed.send_modify(|version| *version += 1);
            }
            sleep(Duration::from_secs(100)).await;
        };
        tokio::join!(keeping, changing);
        assert_eq!(times, [3, 13, 110]);
    }

    #[test]
    fn memory_stays_usable_after_it_was_given_back() {
        let fill = || (0..100).map(|number| vec![number; 100_000]).collect::<Vec<Vec<u8>>>();
        let (kept, dropped) = (fill(), fill());
        drop(dropped);
        give_back();
        assert_eq!(kept, fill());
    }
}
