//! What needs privilege: marks, foreign source addresses, switching namespaces.
//! Each test works in a network namespace of its own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use mesh_net::addr::LocalAddress;
use mesh_net::namespace::Namespace;
use mesh_net::socket::{
    PACKET_MARK, SocketOptions, Transparency, listen_tcp, original_destination, tcp_socket_for,
};
use nix::sched::{CloneFlags, unshare};
use socket2::SockRef;

/// A new namespace with loopback up, or `None` (and the reason printed) where that
/// is not allowed; under CI it must be.
fn namespace() -> Option<Namespace> {
    let made = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET)?;
        Namespace::current()
    })
    .join()
    .unwrap();
    match made {
        Ok(namespace) => {
            command(&namespace, "ip", &["link", "set", "lo", "up"]);
            Some(namespace)
        }
        Err(error) if std::env::var("CI").is_ok_and(|ci| ci == "true") => panic!("no namespace: {error}"),
        Err(error) => {
            println!("not run: making a network namespace: {error}");
            None
        }
    }
}

fn command(namespace: &Namespace, program: &str, args: &[&str]) {
    let status = namespace.run(|| Command::new(program).args(args).status()).unwrap();
    assert!(status.success(), "{program} {args:?}");
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn running_in_a_namespace_comes_back_also_from_a_panic() {
    let Some(other) = namespace() else { return };
    let home = Namespace::current().unwrap();
    assert_ne!(home, other);
    assert_eq!(other.run(Namespace::current).unwrap(), other);
    assert_eq!(Namespace::current().unwrap(), home);
    let nested = other.run(|| home.run(Namespace::current)).unwrap();
    assert_eq!(nested, home);
    let caught = std::panic::catch_unwind(|| other.run(|| -> std::io::Result<()> { panic!("on purpose") }));
    assert!(caught.is_err());
    assert_eq!(Namespace::current().unwrap(), home);
}

#[test]
fn cap_24_every_socket_in_a_pod_carries_the_mark() {
    let Some(pod) = namespace() else { return };
    run(async {
        let options = SocketOptions::default();
        let address = "[::]:15008".parse().unwrap();
        let listener = pod.run(|| listen_tcp(address, &options)).unwrap();
        let destination = "127.0.0.1:15008".parse().unwrap();
        let socket = pod.run(|| tcp_socket_for(destination, None, &options)).unwrap();
        assert_eq!(SockRef::from(&listener).mark().unwrap(), PACKET_MARK);
        assert_eq!(SockRef::from(&socket).mark().unwrap(), PACKET_MARK);
        assert!(SockRef::from(&listener).reuse_port().unwrap());
        assert!(!SockRef::from(&socket).reuse_port().unwrap());
        // The socket stays in the pod: it reaches the pod's listener from here.
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let (client, accepted) = tokio::join!(socket.connect(destination), listener.accept());
        client.unwrap();
        accepted.unwrap();
        assert!(tokio::net::TcpStream::connect(destination).await.is_err());
    });
}

#[test]
fn cap_05_an_upstream_connection_comes_from_the_client_address() {
    let Some(pod) = namespace() else { return };
    // Routes what goes back to the client to this namespace, as capture does by mark.
    command(&pod, "ip", &["route", "add", "local", "192.0.2.0/24", "dev", "lo", "table", "100"]);
    command(&pod, "ip", &["rule", "add", "to", "192.0.2.0/24", "lookup", "100"]);
    run(async {
        let destination: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let source = IpAddr::from([192, 0, 2, 9]);
        let listener = pod.run(|| listen_tcp(destination, &SocketOptions::plain())).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        for transparent in [Transparency::Try, Transparency::Must] {
            let options = SocketOptions { transparent, ..SocketOptions::default() };
            let socket = pod.run(|| tcp_socket_for(destination, Some(source), &options)).unwrap();
            let (client, accepted) = tokio::join!(socket.connect(destination), listener.accept());
            let (_client, (_, peer)) = (client.unwrap(), accepted.unwrap());
            assert_eq!(peer.ip(), source);
        }
        let plain = pod.run(|| tcp_socket_for(destination, Some(source), &SocketOptions::plain()));
        assert_eq!(plain.unwrap_err().kind(), std::io::ErrorKind::AddrNotAvailable);
    });
}

#[test]
fn cap_16_the_original_destination_of_a_redirected_connection_is_found() {
    let Some(pod) = namespace() else { return };
    let rules = "add table inet t; add chain inet t out { type nat hook output priority -100; }; \
                 add rule inet t out tcp dport 80 redirect to :15001";
    command(&pod, "nft", &[rules]);
    run(async {
        let options = SocketOptions::default();
        // One for both: a process another test is starting may keep a closed one alive for a moment,
        // and the kernel would give it connections.
        let listener = pod.run(|| listen_tcp("[::]:15001".parse().unwrap(), &options)).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        for wanted in ["127.0.0.1:80", "[::1]:80"] {
            let wanted: SocketAddr = wanted.parse().unwrap();
            let socket = pod.run(|| tcp_socket_for(wanted, None, &options)).unwrap();
            let (client, accepted) = tokio::join!(socket.connect(wanted), listener.accept());
            let (_client, (accepted, _)) = (client.unwrap(), accepted.unwrap());
            let local = LocalAddress::new(accepted.local_addr().unwrap());
            assert_eq!(original_destination(&accepted, local, 15001).unwrap().0, wanted);
        }
    });
}
