//! `adit version`.

/// Says which version this is, and which cryptography it was built with.
pub(crate) fn print() {
    let tls = if cfg!(feature = "fips") { "BoringSSL" } else { "aws-lc" };
    println!("adit {} ({}, {tls})", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
}
