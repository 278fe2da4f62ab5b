//! The steps of a guide: blocks of shell in a Markdown file, each after a comment that names it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

/// A guide and where its steps run.
pub struct Guide {
    text: String,
    mark: String,
    folder: PathBuf,
}

impl Guide {
    /// The guide whose steps are marked `<!-- MARK: NAME -->`, to be run in a folder.
    pub fn new(text: &str, mark: &str, folder: &Path) -> Self {
        Guide { text: text.to_owned(), mark: mark.to_owned(), folder: folder.to_owned() }
    }

    /// The names of the steps, in their order.
    pub fn steps(&self) -> Vec<&str> {
        let begin = format!("<!-- {}: ", self.mark);
        let name = |line| str::strip_prefix(line, &*begin).and_then(|it| it.strip_suffix(" -->"));
        self.text.lines().filter_map(name).collect()
    }

    /// The commands of a step, word for word.
    pub fn commands(&self, step: &str) -> Result<&str> {
        let begin = format!("<!-- {}: {step} -->\n```sh\n", self.mark);
        let (_, rest) =
            self.text.split_once(&begin).with_context(|| format!("the guide has no step {step}"))?;
        let (commands, _) = rest.split_once("```").context("a block without an end")?;
        Ok(commands)
    }

    /// Runs a step to its end; what it has printed. One command that fails ends it.
    pub async fn run(&self, step: &str) -> Result<String> {
        let script = format!("set -e\n{}", self.commands(step)?);
        let mut command = Command::new("bash");
        command.args(["-c", &script]).current_dir(&self.folder).stdin(Stdio::null()).kill_on_drop(true);
        let output = command.output().await?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        println!("--- {step}\n{out}{err}");
        ensure!(output.status.success(), "step {step} has failed: {out}{err}");
        Ok(format!("{out}{err}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_found_by_their_names_and_other_blocks_are_not_run() {
        let text = "<!-- try: one -->\n```sh\necho 1\n```\n\n```sh\nrm x\n```\n<!-- try: two -->\n```sh\necho 2\n```\n";
        let guide = Guide::new(text, "try", Path::new("."));
        assert_eq!(guide.steps(), ["one", "two"]);
        assert_eq!(guide.commands("two").unwrap(), "echo 2\n");
        assert!(guide.commands("three").is_err());
    }
}
