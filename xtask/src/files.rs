//! What every Rust file of the workspace has to be like: short enough to be
//! read at once, and opening with what it is for.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// The ceiling for a production file, in lines.
const CEILING: usize = 500;

/// Every file that breaks a rule, in words.
pub(crate) fn breaches(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut files = Vec::new();
    collect(root, &mut files)?;
    let mut found = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.strip_prefix(root).unwrap_or(&path);
        found.extend(breaches_of(name, &text));
    }
    Ok(found)
}

fn breaches_of(path: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let shown = path.display();
    let lines = text.lines().count();
    if lines > CEILING && !is_test(path) {
        found.push(format!("{shown} has {lines} lines; split it, {CEILING} is the ceiling"));
    }
    if !text.starts_with("//!") {
        found.push(format!("{shown} does not open with `//!` and what it is for"));
    }
    if path.file_name().is_some_and(|name| name == "mod.rs" || name == "util.rs") {
        found.push(format!("{shown}: name the file for what it holds"));
    }
    found
}

fn is_test(path: &Path) -> bool {
    let under = |folder: &str| path.components().any(|part| part.as_os_str() == folder);
    under("tests") || under("fuzz") || under("testkit") || path.ends_with("tests.rs")
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let hidden = name.to_string_lossy().starts_with('.');
        if entry.file_type()?.is_dir() {
            if !hidden && name != "target" {
                collect(&entry.path(), files)?;
            }
        } else if name.to_string_lossy().ends_with(".rs") {
            files.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_are_named_unless_they_are_tests() {
        let long = format!("//! Long.\n{}", "\n".repeat(CEILING));
        assert_eq!(breaches_of(Path::new("a/src/b.rs"), &long).len(), 1);
        assert!(breaches_of(Path::new("a/src/b/tests.rs"), &long).is_empty());
        assert!(breaches_of(Path::new("a/tests/b.rs"), &long).is_empty());
    }

    #[test]
    fn a_file_without_a_purpose_is_named() {
        assert_eq!(breaches_of(Path::new("a.rs"), "fn a() {}\n").len(), 1);
        assert_eq!(breaches_of(Path::new("mod.rs"), "//! A.\n").len(), 1);
    }
}
