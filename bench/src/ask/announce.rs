//! What a connection to a sandwiched waypoint begins with: a header of the PROXY protocol, version 2, that says who the
//! client is and where it is going, as the ztunnel in front would.

use std::net::SocketAddrV4;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::Asked;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const VERSION_2_PROXY: u8 = 0x21;
const TCP_OVER_IPV4: u8 = 0x11;
const IDENTITY: u8 = 0xD0;

/// Opens a connection and says what has to be said first.
pub(super) async fn connect(asked: &Asked) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(asked.to)
        .await
        .map_err(|error| anyhow::anyhow!("cannot connect to {}: {error}", asked.to))?;
    stream.set_nodelay(true)?;
    if let (Some(target), Some(identity)) = (asked.announce, &asked.identity) {
        let own = match stream.local_addr()? {
            std::net::SocketAddr::V4(own) => own,
            std::net::SocketAddr::V6(own) => anyhow::bail!("{own} is not an address of IPv4"),
        };
        stream.write_all(&header(own, target, identity)?).await?;
    }
    Ok(stream)
}

fn header(source: SocketAddrV4, target: SocketAddrV4, identity: &str) -> anyhow::Result<Vec<u8>> {
    let mut body = [source.ip().octets(), target.ip().octets()].concat();
    body.extend([source.port().to_be_bytes(), target.port().to_be_bytes()].concat());
    body.push(IDENTITY);
    body.extend(u16::try_from(identity.len())?.to_be_bytes());
    body.extend(identity.as_bytes());
    let mut header = SIGNATURE.to_vec();
    header.extend([VERSION_2_PROXY, TCP_OVER_IPV4]);
    header.extend(u16::try_from(body.len())?.to_be_bytes());
    header.extend(body);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_says_who_and_where() {
        let address = |text: &str| text.parse().unwrap();
        let header = header(address("10.0.0.1:258"), address("10.96.0.1:80"), "spiffe://a").unwrap();
        let expected = [
            SIGNATURE,
            &[0x21, 0x11, 0, 25],
            &[10, 0, 0, 1, 10, 96, 0, 1, 1, 2, 0, 80],
            &[0xD0, 0, 10],
            b"spiffe://a",
        ];
        assert_eq!(header, expected.concat());
    }
}
