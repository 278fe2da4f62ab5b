//! The files that limits are written in, read again when they change. A change that cannot be read is logged, and what
//! held before goes on holding.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use thiserror::Error;

use crate::limits::{Invalid, Limits};

/// A file, or a directory of files that end in `.yaml` or `.yml`; and what they say.
#[derive(Clone, Debug)]
pub struct LimitFiles {
    path: Option<PathBuf>,
    current: Arc<RwLock<Arc<Limits>>>,
}

/// Why the limits cannot be read.
#[derive(Debug, Error)]
pub enum InvalidLimits {
    /// A file or the directory.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What a file says.
    #[error("{path}: {invalid}")]
    Invalid {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        invalid: Invalid,
    },
}

impl LimitFiles {
    /// Reads them; without a path there are none, and only limits that questions bring with them are known.
    pub fn open(path: Option<PathBuf>) -> Result<LimitFiles, InvalidLimits> {
        let limits = match &path {
            Some(path) => parse(&read(path)?)?,
            None => Limits::default(),
        };
        Ok(LimitFiles { path, current: Arc::new(RwLock::new(Arc::new(limits))) })
    }

    /// What they say now.
    pub fn current(&self) -> Arc<Limits> {
        // It is replaced in one step, so that a poisoned one is whole.
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks every so often whether they say something else; for ever.
    pub async fn follow(self, pause: Duration) {
        let Some(path) = &self.path else { return std::future::pending().await };
        let mut known: Option<Vec<(PathBuf, String)>> = None;
        let mut complaint = None;
        loop {
            let texts = read(path);
            let is_news = texts.as_ref().map_or(true, |texts| known.as_ref() != Some(texts));
            if is_news {
                let parsed = texts.and_then(|texts| {
                    let limits = parse(&texts);
                    known = Some(texts);
                    limits
                });
                let problem = parsed.map(|limits| self.replace(limits)).err().map(|error| error.to_string());
                if let Some(problem) = problem.as_ref().filter(|_| problem != complaint) {
                    tracing::error!("limits are not changed: {problem}");
                }
                complaint = problem;
            }
            tokio::time::sleep(pause).await;
        }
    }

    fn replace(&self, limits: Limits) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if **current != limits {
            *current = Arc::new(limits);
            tracing::info!("limits have changed");
        }
    }
}

/// The texts, in the order of their names.
fn read(path: &Path) -> Result<Vec<(PathBuf, String)>, InvalidLimits> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        |source| InvalidLimits::Unreadable { path, source }
    };
    let mut files = Vec::new();
    if fs::metadata(path).map_err(unreadable(path))?.is_dir() {
        for entry in fs::read_dir(path).map_err(unreadable(path))? {
            let file = entry.map_err(unreadable(path))?.path();
            if file.extension().is_some_and(|it| it == "yaml" || it == "yml") {
                files.push(file);
            }
        }
        files.sort();
    } else {
        files.push(path.to_owned());
    }
    let text = |file: PathBuf| {
        let text = fs::read_to_string(&file).map_err(unreadable(&file))?;
        Ok((file, text))
    };
    files.into_iter().map(text).collect()
}

fn parse(texts: &[(PathBuf, String)]) -> Result<Limits, InvalidLimits> {
    let mut limits = Limits::default();
    for (path, text) in texts {
        limits.add(text).map_err(|invalid| InvalidLimits::Invalid { path: path.clone(), invalid })?;
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str =
        "{ domain: a, descriptors: [{ key: k, rate_limit: { unit: second, requests_per_unit: 1 } }] }";

    #[test]
    fn a_directory_has_the_files_that_end_right_and_errors_name_them() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a.yaml"), ONE).unwrap();
        fs::write(directory.path().join("notes.txt"), "no").unwrap();
        let files = LimitFiles::open(Some(directory.path().to_owned())).unwrap();
        assert!(files.current().find("a", [("k", "x")]).is_some());
        fs::write(directory.path().join("b.yml"), "domain: a").unwrap();
        let error = LimitFiles::open(Some(directory.path().to_owned())).unwrap_err().to_string();
        assert!(error.ends_with("b.yml: domain \"a\" is in another file too"), "{error}");
        let missing = LimitFiles::open(Some(directory.path().join("c"))).unwrap_err().to_string();
        assert!(missing.starts_with("cannot read "), "{missing}");
    }

    #[tokio::test]
    async fn a_change_is_found_and_a_broken_one_changes_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), ONE).unwrap();
        let files = LimitFiles::open(Some(file.path().to_owned())).unwrap();
        let following = tokio::spawn(files.clone().follow(Duration::from_millis(1)));
        fs::write(file.path(), "domain: [").unwrap();
        let until = async |wanted: &dyn Fn(&Limits) -> bool| {
            while !wanted(&files.current()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        until(&|limits| limits.find("a", [("k", "x")]).is_some()).await;
        fs::write(file.path(), ONE.replace("key: k", "key: l")).unwrap();
        until(&|limits| limits.find("a", [("l", "x")]).is_some()).await;
        following.abort();
    }
}
