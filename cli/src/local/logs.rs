//! `adit local logs`: what pods and the mesh's programs have printed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::alive;
use super::files::shown;
use super::lookup::find_pod;
use super::mesh::Mesh;

/// A log that has grown to this is shortened.
const MAX_LOG: u64 = 32 << 20;
/// To this, its newest part.
const KEPT_LOG: u64 = 8 << 20;
const PERIOD: Duration = Duration::from_millis(200);

/// Show what a pod has printed, or a program of the mesh: controller, ztunnel-node-1, supervisor …
#[derive(Args, Debug)]
pub(super) struct Logs {
    /// A pod's name, or the beginning of it; or `supervisor`
    pod: String,
    #[arg(long, short = 'n')]
    namespace: Option<String>,
    #[arg(long, short = 'c')]
    container: Option<String>,
    /// Go on with what is printed from now on
    #[arg(long, short = 'f')]
    follow: bool,
    /// Only the last lines
    #[arg(long, value_name = "LINES")]
    tail: Option<usize>,
}

pub(super) fn run(mesh: &Mesh, logs: &Logs) -> Result<()> {
    let path = find(mesh, logs)?;
    let mut file = File::open(&path).with_context(|| shown(&path))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let mut output = io::stdout();
    output.write_all(last_lines(&text, logs.tail))?;
    while logs.follow && alive::find_supervisor(mesh)?.is_some() {
        output.flush()?;
        std::thread::sleep(PERIOD);
        // It may have been shortened meanwhile.
        let position = file.stream_position()?;
        if file.metadata()?.len() < position {
            file.seek(SeekFrom::Start(0))?;
        }
        io::copy(&mut file, &mut output)?;
    }
    Ok(())
}

fn find(mesh: &Mesh, logs: &Logs) -> Result<PathBuf> {
    if logs.pod == "supervisor" {
        return Ok(mesh.supervisor_log());
    }
    let pod = find_pod(mesh, &logs.pod, logs.namespace.as_deref())?;
    let container = pod.container(logs.container.as_deref())?;
    let path = mesh.logs().join(format!("{}.{}.{container}.log", pod.namespace, pod.name));
    if !path.exists() {
        bail!(
            "{}/{} has not printed anything: {}",
            pod.namespace,
            pod.name,
            pod.document["status"]["message"]
        );
    }
    Ok(path)
}

fn last_lines(text: &[u8], lines: Option<usize>) -> &[u8] {
    let Some(lines) = lines else { return text };
    let end = text.strip_suffix(b"\n").unwrap_or(text).len();
    let ends = text[..end].iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    match ends.map(|(at, _)| at + 1).nth(lines.saturating_sub(1)) {
        _ if lines == 0 => &[],
        Some(start) => &text[start..],
        None => text,
    }
}

/// Shortens the logs that have grown too long. Their writers append, so they go on where it ends.
pub(super) fn shorten_all(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| shown(directory))? {
        let path = entry?.path();
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > MAX_LOG) {
            shorten(&path, KEPT_LOG).with_context(|| shown(&path))?;
        }
    }
    Ok(())
}

fn shorten(path: &Path, kept: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).append(true).open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(kept)))?;
    let mut text = Vec::new();
    (&file).take(kept).read_to_end(&mut text)?;
    file.set_len(0)?;
    let start = text.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    file.write_all(&text[start..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines() {
        let text = b"a\nb\nc\n";
        for (lines, expected) in [(0, &b""[..]), (1, b"c\n"), (2, b"b\nc\n"), (3, text), (9, text)] {
            assert_eq!(last_lines(text, Some(lines)), expected, "{lines}");
        }
        assert_eq!(last_lines(b"a\nb", Some(1)), b"b");
        assert_eq!(last_lines(text, None), text);
    }

    #[test]
    fn a_log_keeps_whole_lines_of_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        fs::write(&path, "first\nsecond\nthird\n").unwrap();
        shorten(&path, 10).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "third\n");
        shorten_all(directory.path()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "third\n");
    }
}
