//! Keeps the memory of a program small that is mostly pages of its own file: the kernel
//! brings in much around what is used, and all that the start needed stays. Given back
//! now and then, what is used comes back from the page cache in microseconds.

use std::ffi::c_void;
use std::fs;
use std::time::Duration;

use rustix::mm::{Advice, madvise};
use tokio::time::Instant;

/// By then most starts are over.
const FIRST: Duration = Duration::from_secs(2);
const INTERVAL: Duration = Duration::from_mins(1);

/// Gives back pages of the program's file soon and then every minute, for as long as it is polled.
pub async fn keep_small() {
    let mut interval = tokio::time::interval_at(Instant::now() + FIRST, INTERVAL);
    loop {
        interval.tick().await;
        if let Err(error) = give_back() {
            tracing::debug!(%error, "pages of the program are not given back");
        }
    }
}

fn give_back() -> std::io::Result<()> {
    let program = std::env::current_exe()?;
    let maps = fs::read_to_string("/proc/self/smaps")?;
    for mapping in unchanged(&maps, &program.to_string_lossy()) {
        let (begin, length) = (std::ptr::without_provenance_mut::<c_void>(mapping.begin), mapping.length);
        // SAFETY: the mapping is of a file, cannot be written to and has no page that differs from the file, so
        // whoever reads it, code that runs included, sees the same bytes as before.
        unsafe { madvise(begin, length, Advice::LinuxDontNeed)? };
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
struct Mapping {
    begin: usize,
    length: usize,
}

/// The mappings of the program's file that cannot be written to and hold nothing but the file's bytes.
/// `smaps` is /proc/self/smaps: a line for each mapping, and lines that tell its pages.
fn unchanged(smaps: &str, program: &str) -> Vec<Mapping> {
    let mut found = Vec::new();
    let mut candidate = None;
    for line in smaps.lines() {
        if let Some(rest) = line.strip_prefix("Anonymous:") {
            // Pages that were changed, by relocations above all, are no longer the file's.
            let untouched = rest.trim() == "0 kB";
            found.extend(candidate.take().filter(|_| untouched));
        } else if let Some(mapping) = parse_head(line, program) {
            candidate = mapping;
        }
    }
    found
}

/// None if the line does not begin a mapping; one of none if it is not one of the program's to be read only.
fn parse_head(line: &str, program: &str) -> Option<Option<Mapping>> {
    let mut fields = line.split_ascii_whitespace();
    let (begin, end) = fields.next()?.split_once('-')?;
    let begin = usize::from_str_radix(begin, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    let permissions = fields.next()?;
    let path = fields.nth(3).unwrap_or_default();
    let wanted = permissions.starts_with("r-") && permissions.ends_with('p') && path == program;
    Some(wanted.then(|| Mapping { begin, length: end.saturating_sub(begin) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_as_in_the_file_is_given_back() {
        let mapping = |range: &str, permissions: &str, path: &str, anonymous: u32| {
            format!("{range} {permissions} 00000000 fe:00 7 {path}\nRss: 64 kB\nAnonymous: {anonymous} kB\n")
        };
        let smaps = [
            mapping("1000-3000", "r-xp", "/bin/mesh", 0),
            mapping("3000-4000", "r--p", "/bin/mesh", 0),
            mapping("4000-5000", "r--p", "/bin/mesh", 4),
            mapping("5000-6000", "rw-p", "/bin/mesh", 0),
            mapping("6000-7000", "r-xp", "/lib/other", 0),
            mapping("7000-8000", "r--p", "", 0),
        ];
        let expected = [Mapping { begin: 0x1000, length: 0x2000 }, Mapping { begin: 0x3000, length: 0x1000 }];
        assert_eq!(unchanged(&smaps.concat(), "/bin/mesh"), expected);
        assert_eq!(unchanged("nonsense\n1-z r-xp\n", "/bin/mesh"), []);
    }

    #[test]
    fn a_program_runs_on_after_it_gave_its_pages_back() {
        let resident = || {
            let maps = fs::read_to_string("/proc/self/smaps").unwrap();
            let program = std::env::current_exe().unwrap();
            assert!(!unchanged(&maps, &program.to_string_lossy()).is_empty());
        };
        resident();
        give_back().unwrap();
        resident();
    }
}
