//! TCP: lines come back prefixed by the server's name; a server-first port greets before it listens.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::service::Echo;

/// Longest line read.
const MAX_LINE: u64 = 64 << 10;

/// Serves one connection until its peer has said all it had to say.
pub(super) async fn serve(
    echo: Arc<Echo>,
    stream: TcpStream,
    source: SocketAddr,
    greet: bool,
) -> io::Result<()> {
    echo.stats.tcp();
    echo.log(format_args!("TCP from {source}"));
    let label = echo.name.label();
    let mut stream = BufReader::new(stream);
    if greet {
        stream.write_all(format!("hello from {label}\n").as_bytes()).await?;
    }
    while let Some(line) = read_line(&mut stream).await? {
        stream.write_all(&[label.as_bytes(), b": ", &line, b"\n"].concat()).await?;
    }
    stream.shutdown().await
}

/// The client's side: the greeting if there is one, then a line and its echo.
pub(super) async fn converse(stream: TcpStream, text: &[u8], server_first: bool) -> io::Result<Bytes> {
    let mut stream = BufReader::new(stream);
    let mut said = Vec::new();
    if server_first {
        said.extend(read_line(&mut stream).await?.ok_or(io::ErrorKind::UnexpectedEof)?);
        said.push(b'\n');
    }
    stream.write_all(&[text, b"\n"].concat()).await?;
    said.extend(read_line(&mut stream).await?.ok_or(io::ErrorKind::UnexpectedEof)?);
    Ok(said.into())
}

/// The next line without its end; `None` at the end of the stream.
async fn read_line(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    stream.take(MAX_LINE).read_until(b'\n', &mut line).await?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) if line.len() as u64 + 1 == MAX_LINE => Err(io::ErrorKind::InvalidData.into()),
        Some(last) => {
            line.push(last);
            Ok(Some(line))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_bounded_and_the_last_needs_no_end() {
        let mut input = BufReader::new(&b"one\n\ntwo"[..]);
        assert_eq!(read_line(&mut input).await.unwrap(), Some(b"one".to_vec()));
        assert_eq!(read_line(&mut input).await.unwrap(), Some(Vec::new()));
        assert_eq!(read_line(&mut input).await.unwrap(), Some(b"two".to_vec()));
        assert_eq!(read_line(&mut input).await.unwrap(), None);
        let long = vec![b'x'; MAX_LINE as usize + 1];
        assert!(read_line(&mut BufReader::new(&long[..])).await.is_err());
    }
}
