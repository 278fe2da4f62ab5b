//! Results as files, one a pod, replaced as a whole and only when they change.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::PathBuf;

use super::{Outcome, Redirection};
use crate::pod::Uid;

/// The results of this node, as files.
pub(crate) struct Files {
    directory: PathBuf,
    written: BTreeMap<Uid, Outcome>,
}

impl Files {
    /// Takes over what an earlier agent wrote.
    pub(crate) fn open(directory: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&directory)?;
        let mut written = BTreeMap::new();
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            let uid = path.file_stem().and_then(|stem| stem.to_str()).filter(|stem| !stem.starts_with('.'));
            if let (Some(uid), Some("json")) = (uid, path.extension().and_then(|end| end.to_str())) {
                // One that cannot be read is written anew, having no known content.
                let unknown =
                    Outcome { redirection: Redirection::None, message: String::new(), namespace: None };
                let outcome = fs::read(&path).ok().and_then(|json| serde_json::from_slice(&json).ok());
                written.insert(uid.to_owned(), outcome.unwrap_or(unknown));
            }
        }
        Ok(Self { directory, written })
    }

    pub(super) fn known(&self) -> Vec<Uid> {
        self.written.keys().cloned().collect()
    }

    /// What was last said about a pod.
    pub(crate) fn find(&self, uid: &str) -> Option<Redirection> {
        self.written.get(uid).map(|outcome| outcome.redirection)
    }

    /// Says what became of a pod.
    pub(crate) fn set(&mut self, uid: &str, outcome: Outcome) -> io::Result<()> {
        let outcome = Outcome { namespace: None, ..outcome };
        if self.written.get(uid) == Some(&outcome) {
            return Ok(());
        }
        let temporary = self.directory.join(format!(".{uid}.json"));
        fs::write(&temporary, serde_json::to_vec(&outcome)?)?;
        fs::rename(&temporary, self.path(uid))?;
        self.written.insert(uid.to_owned(), outcome);
        Ok(())
    }

    /// Drops the results of pods that are gone.
    pub(crate) fn retain(&mut self, known: impl Fn(&str) -> bool) -> io::Result<()> {
        let gone: BTreeSet<Uid> = self.written.keys().filter(|uid| !known(uid)).cloned().collect();
        for uid in gone {
            match fs::remove_file(self.path(&uid)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => self.written.remove(&uid),
            };
        }
        Ok(())
    }

    fn path(&self, uid: &str) -> PathBuf {
        self.directory.join(format!("{uid}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(redirection: Redirection, message: &str) -> Outcome {
        Outcome { redirection, message: message.to_owned(), namespace: Some(7) }
    }

    fn read(directory: &tempfile::TempDir, uid: &str) -> String {
        fs::read_to_string(directory.path().join(format!("{uid}.json"))).unwrap()
    }

    #[test]
    fn cni_06_results_are_written_kept_and_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let mut results = Files::open(directory.path().to_owned()).unwrap();
        results.set("a", outcome(Redirection::Pending, "no ztunnel")).unwrap();
        results.set("b", outcome(Redirection::Enabled, "")).unwrap();
        assert_eq!(read(&directory, "a"), r#"{"redirection":"pending","message":"no ztunnel"}"#);

        let mut results = Files::open(directory.path().to_owned()).unwrap();
        assert_eq!(results.find("b"), Some(Redirection::Enabled));
        results.retain(|uid| uid == "a").unwrap();
        assert_eq!(results.find("b"), None);
        let names: Vec<_> =
            fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["a.json"]);
    }

    #[test]
    fn an_unchanged_result_is_not_written_again() {
        let directory = tempfile::tempdir().unwrap();
        let mut results = Files::open(directory.path().to_owned()).unwrap();
        results.set("a", outcome(Redirection::Enabled, "")).unwrap();
        fs::remove_file(directory.path().join("a.json")).unwrap();
        results.set("a", outcome(Redirection::Enabled, "")).unwrap();
        assert!(!directory.path().join("a.json").exists());
        results.set("a", outcome(Redirection::None, "")).unwrap();
        assert!(directory.path().join("a.json").exists());
    }
}
