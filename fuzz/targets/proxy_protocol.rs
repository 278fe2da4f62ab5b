//! The PROXY protocol, version 2: bounded, the same however it is cut into pieces,
//! and what is written of it is read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_net::proxy_protocol::{Header, ParseError, header_v2, parse};

fuzz_target!(|data: &[u8]| {
    match parse(data) {
        Ok((header, length)) => {
            assert!(length <= data.len() && length <= 4096);
            for end in 0..length {
                let Err(ParseError::Incomplete(needed)) = parse(&data[..end]) else {
                    panic!("{end} bytes of {length} are enough");
                };
                assert!(end < needed && needed <= length, "{needed} wanted after {end} of {length}");
            }
            write_again(&header);
        }
        Err(ParseError::Incomplete(needed)) => assert!(data.len() < needed && needed <= 4096),
        Err(ParseError::Invalid(reason)) => assert!(!reason.is_empty()),
    }
});

fn write_again(header: &Header) {
    let Some((source, destination)) = header.addresses else { return };
    let written = header_v2(source, destination, header.identity.as_deref());
    let (read, length) = parse(&written).unwrap();
    assert_eq!(length, written.len());
    assert_eq!(read.addresses, header.addresses);
    let longest = header.identity.clone().filter(|identity| identity.len() <= 2048);
    assert_eq!(read.identity, longest);
}
