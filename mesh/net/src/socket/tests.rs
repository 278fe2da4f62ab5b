//! Tests of `socket`.

use std::net::Ipv4Addr;

use super::*;
use crate::addr::canonical;

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

async fn connected(options: &SocketOptions) -> (TcpStream, TcpStream) {
    let listener = listen_tcp("127.0.0.1:0".parse().unwrap(), options).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let destination = listener.local_addr().unwrap();
    let socket = tcp_socket_for(destination, None, options).unwrap();
    let (client, accepted) = tokio::join!(socket.connect(destination), listener.accept());
    (client.unwrap(), accepted.unwrap().0)
}

#[test]
fn cap_25_connected_and_accepted_sockets_have_keepalive_and_no_delay() {
    run(async {
        let options = SocketOptions { user_timeout: true, ..SocketOptions::plain() };
        let (client, accepted) = connected(&options).await;
        for stream in [&client, &accepted] {
            let socket = SockRef::from(stream);
            assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(180));
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(180));
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), 9);
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(1800)));
        }
    });
}

#[test]
fn keepalive_can_be_left_off() {
    run(async {
        let options = SocketOptions { keepalive: None, ..SocketOptions::plain() };
        let (client, _accepted) = connected(&options).await;
        let socket = SockRef::from(&client);
        assert!(socket.tcp_nodelay().unwrap() && !socket.keepalive().unwrap());
        assert_eq!(socket.tcp_user_timeout().unwrap(), None);
    });
}

#[test]
fn a_connection_that_was_not_redirected_wanted_its_local_address() {
    run(async {
        let (client, accepted) = connected(&SocketOptions::plain()).await;
        let local = LocalAddress::new(client.peer_addr().unwrap());
        for listener in [local.0.port(), 15001] {
            assert_eq!(original_destination(&accepted, local, listener).unwrap().0, local.0);
        }
    });
}

#[test]
fn up_16_two_sockets_share_a_port_only_when_both_ask() {
    let shared = SocketOptions { reuse_port: true, ..SocketOptions::plain() };
    let first = listen_tcp("127.0.0.1:0".parse().unwrap(), &shared).unwrap();
    let address = first.local_addr().unwrap();
    listen_tcp(address, &shared).unwrap();
    let refused = listen_tcp(address, &SocketOptions::plain()).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn a_wildcard_v6_listener_takes_v4_clients() {
    run(async {
        let listener = listen_tcp("[::]:0".parse().unwrap(), &SocketOptions::plain()).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (client, accepted) =
            tokio::join!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)), listener.accept());
        let (_client, (accepted, peer)) = (client.unwrap(), accepted.unwrap());
        assert!(canonical(peer).is_ipv4());
        let local = LocalAddress::new(accepted.local_addr().unwrap());
        let wanted = original_destination(&accepted, local, port).unwrap().0;
        assert_eq!(wanted, SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    });
}

#[test]
fn a_source_address_is_bound_and_its_port_left_to_the_kernel() {
    run(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let destination = listener.local_addr().unwrap();
        let source = IpAddr::from([127, 0, 0, 7]);
        let socket = tcp_socket_for(destination, Some(source), &SocketOptions::plain()).unwrap();
        let (client, accepted) = tokio::join!(socket.connect(destination), listener.accept());
        let (_client, (_, peer)) = (client.unwrap(), accepted.unwrap());
        assert_eq!(peer.ip(), source);
        assert_ne!(peer.port(), 0);
    });
}

#[test]
fn datagrams_go_to_and_fro_and_only_the_peer_is_heard() {
    let server = bind_udp("127.0.0.1:0".parse().unwrap(), &SocketOptions::plain()).unwrap();
    let client = connect_udp(server.local_addr().unwrap(), &SocketOptions::plain()).unwrap();
    server.set_nonblocking(false).unwrap();
    client.send(b"ping").unwrap();
    let mut buffer = [0; 16];
    let (length, from) = server.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], from), (&b"ping"[..], client.local_addr().unwrap()));
    let stranger = bind_udp("127.0.0.1:0".parse().unwrap(), &SocketOptions::plain()).unwrap();
    stranger.send_to(b"false", from).unwrap();
    server.send_to(b"pong", from).unwrap();
    client.set_nonblocking(false).unwrap();
    assert_eq!(client.recv(&mut buffer).unwrap(), 4);
    assert_eq!(&buffer[..4], b"pong");
}

#[test]
fn two_datagram_sockets_share_a_port_only_when_both_ask() {
    let shared = SocketOptions { reuse_port: true, ..SocketOptions::plain() };
    let first = bind_udp("127.0.0.1:0".parse().unwrap(), &shared).unwrap();
    let address = first.local_addr().unwrap();
    bind_udp(address, &shared).unwrap();
    let refused = bind_udp(address, &SocketOptions::plain()).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn dns_16_a_wildcard_v6_socket_takes_v4_datagrams() {
    let server = bind_udp("[::]:0".parse().unwrap(), &SocketOptions::plain()).unwrap();
    let port = server.local_addr().unwrap().port();
    let client = connect_udp((Ipv4Addr::LOCALHOST, port).into(), &SocketOptions::plain()).unwrap();
    server.set_nonblocking(false).unwrap();
    client.send(b"4").unwrap();
    let (_, from) = server.recv_from(&mut [0; 8]).unwrap();
    assert_eq!(canonical(from), client.local_addr().unwrap());
}
