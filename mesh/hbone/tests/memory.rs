//! What an idle connection costs, measured by an allocator that counts.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mesh_hbone::{ConnectRequest, Incoming, Pool, PoolKey, Settings, TlsStream, copy_with_tcp, serve};
use mesh_identity::authority::{Authority, RootKey};
use mesh_identity::key::KeyRequest;
use mesh_identity::{Certificate, Profile};
use mesh_model::Identity;
use mesh_net::copy::{Side, Transferred};
use mesh_runtime::drain::{self, DrainWatcher};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

static HELD: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator as it came; only sizes are added up.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn certificate(authority: &Authority, name: &str) -> Arc<Certificate> {
    let identity = Identity::new("cluster.local", "default", name);
    let request = KeyRequest::generate(&identity).unwrap();
    let chain = authority.sign(request.csr_pem(), &identity, 3600).unwrap();
    Arc::new(Certificate::from_chain(&identity, &chain, request, Profile::default()).unwrap())
}

/// The far proxy: every tunnel leads to the application.
async fn far_proxy(
    listener: TcpListener,
    own: Arc<Certificate>,
    watcher: DrainWatcher,
    application: std::net::SocketAddr,
) {
    while let Ok((tcp, _)) = listener.accept().await {
        let (own, watcher) = (Arc::clone(&own), watcher.clone());
        tokio::spawn(async move {
            tcp.set_nodelay(true).unwrap();
            let tls = TlsStream::accept(tcp, &own, Duration::from_secs(5)).await.unwrap();
            let handler = move |incoming: Incoming| async move {
                let mut upstream = TcpStream::connect(application).await.unwrap();
                upstream.set_nodelay(true).unwrap();
                let mut tunnel = incoming.accept(&[]).unwrap();
                let _ =
                    copy_with_tcp(&mut upstream, &mut tunnel, Side::Upstream, &Transferred::default()).await;
            };
            let _ = serve(tls, &Settings::default(), watcher, handler).await;
        });
    }
}

#[tokio::test]
async fn hb_31_an_idle_connection_costs_kilobytes() {
    const CONNECTIONS: usize = 300;
    let authority = Authority::self_signed("cluster.local", Duration::from_hours(1), RootKey::Ecdsa).unwrap();
    let (web, db) = (certificate(&authority, "web"), certificate(&authority, "db"));
    let application = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let far = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let near = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (near_address, far_address) = (near.local_addr().unwrap(), far.local_addr().unwrap());
    let (_trigger, watcher) = drain::channel();
    tokio::spawn(far_proxy(far, Arc::clone(&db), watcher, application.local_addr().unwrap()));

    let pool = Pool::new(Settings::default());
    let mut held = Vec::new();
    let before = HELD.load(Ordering::Relaxed);
    for _ in 0..CONNECTIONS {
        let mut client = TcpStream::connect(near_address).await.unwrap();
        let (mut downstream, _) = near.accept().await.unwrap();
        let key = PoolKey {
            source: web.identity().clone(),
            accepted: vec![db.identity().clone()],
            destination: far_address,
            source_ip: Ipv4Addr::LOCALHOST.into(),
        };
        let dial = || async {
            let tcp = TcpStream::connect(far_address).await.unwrap();
            tcp.set_nodelay(true).unwrap();
            Ok(TlsStream::connect(tcp, &web, &[db.identity().clone()], Duration::from_secs(5)).await?)
        };
        let request = ConnectRequest::new("10.0.0.1:80".parse().unwrap());
        let (mut tunnel, _) = pool.connect(&key, dial, &request).await.unwrap();
        tokio::spawn(async move {
            copy_with_tcp(&mut downstream, &mut tunnel, Side::Downstream, &Transferred::default()).await
        });
        let (mut server, _) = application.accept().await.unwrap();
        // Busy first, so that what a busy connection holds is seen to be given back.
        let data = vec![1; 100_000];
        let mut read = vec![0; data.len()];
        tokio::join!(async { client.write_all(&data).await.unwrap() }, async {
            server.read_exact(&mut read).await.unwrap()
        });
        held.push((client, server));
    }
    let each = HELD.load(Ordering::Relaxed).saturating_sub(before) / CONNECTIONS;
    assert_eq!(pool.connections(), CONNECTIONS / 100);
    println!("an idle connection holds {each} bytes, both proxies and both applications together");
    assert!(each < 8 * 1024, "an idle connection holds {each} bytes");
}
