//! Asking the agent to take a pod, over its socket: one request, one answer.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::cni::message::NewPod;
use crate::cni::{LARGEST_MESSAGE, SOCKET};

/// How long the agent may take; the kubelet tries again.
const DEADLINE: Duration = Duration::from_secs(5);

/// Returns once the agent has enrolled the pod, or says that it need not be; an error says how to mend it.
pub(super) fn announce(run_dir: &Path, pod: &NewPod) -> Result<(), String> {
    let socket = run_dir.join(SOCKET);
    let absent = |error: io::Error| {
        format!(
            "the node agent does not answer at {}: {error}; the pod waits until pod adit-node-agent runs on this node",
            socket.display()
        )
    };
    let body = serde_json::to_vec(pod).map_err(|error| error.to_string())?;
    let (status, text) = exchange(&socket, &body).map_err(absent)?;
    if status == 200 { Ok(()) } else { Err(format!("{}; the pod waits and is tried again", text.trim())) }
}

fn exchange(socket: &Path, body: &[u8]) -> io::Result<(u16, String)> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_write_timeout(Some(DEADLINE))?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let head = format!(
        "POST /cmdadd HTTP/1.1\r\nhost: unix\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.take(LARGEST_MESSAGE as u64).read_to_end(&mut answer)?;
    parse(&String::from_utf8_lossy(&answer))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "its answer is no HTTP"))
}

/// The status and the body. The agent sends bodies whole, never in chunks.
fn parse(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_the_agent_are_understood() {
        let answer = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 3\r\n\r\nno\n";
        assert_eq!(parse(answer), Some((503, "no\n".to_owned())));
        for nonsense in ["", "HTTP/1.1 200 OK\r\n", "SSH-2.0\r\n\r\n", "HTTP/1.1 x\r\n\r\n"] {
            assert_eq!(parse(nonsense), None, "{nonsense}");
        }
    }
}
