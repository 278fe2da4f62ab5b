//! Switches of a network namespace. They are written through a proc file system of our
//! own, which nobody else sees: in a container the usual one can only be read.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

use mesh_net::namespace::Namespace;
use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// Accepted sockets take the mark of their first packet, and so do answers where no socket is. What routers
/// say of a plain connection's packets does not find ztunnel's socket: their size is found by trying.
const OF_STEERING: [&str; 4] = [
    "sys/net/ipv4/tcp_fwmark_accept",
    "sys/net/ipv4/fwmark_reflect",
    "sys/net/ipv6/fwmark_reflect",
    "sys/net/ipv4/tcp_mtu_probing",
];
/// The way back to a sender is looked for by the mark of what came. Stays on: pods may want it
/// for themselves, and where nothing is marked it changes nothing.
const OF_SOURCES: &str = "sys/net/ipv4/conf/all/src_valid_mark";

/// Switches on what steering needs.
pub(super) fn switch_on(namespace: &Namespace) -> io::Result<()> {
    let proc = proc()?;
    namespace.run(|| {
        set(&proc, OF_SOURCES, b"1")?;
        set_all(&proc, b"1")
    })
}

/// Switches off what only steering needs.
pub(super) fn switch_off(namespace: &Namespace) -> io::Result<()> {
    let proc = proc()?;
    namespace.run(|| set_all(&proc, b"0"))
}

fn set_all(proc: &OwnedFd, value: &[u8]) -> io::Result<()> {
    for name in OF_STEERING {
        match set(proc, name, value) {
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound && name.contains("ipv6") => {}
            result => result?,
        }
    }
    Ok(())
}

fn proc() -> io::Result<OwnedFd> {
    let context = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?)
}

fn set(proc: &OwnedFd, name: &str, value: &[u8]) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{name}: {error}"));
    let file = openat(proc, name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    File::from(file.map_err(|error| named(error.into()))?).write_all(value).map_err(named)
}
