//! Flights of TLS handshakes, and records behind one.

use adit_fuzz::{runtime, tls};

use crate::Seed;

/// What a piece of the target `tls_record` is.
const FROM_NOWHERE: u8 = 0;
const SEALED: u8 = 1;

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

pub(crate) fn seeds() -> Vec<Seed> {
    let hello = runtime::run(tls::connect(&[])).written;
    let flight = runtime::run(tls::accept(&hello)).written;
    let alert = vec![1, 21, 3, 3, 0, 2, 2, 40];
    let ticket = [4, 0, 0, 18, 0, 0, 1, 0, 1, 2, 3, 4, 1, 9, 0, 4, 7, 7, 7, 7, 0, 0];
    let data = piece(SEALED, &[b'x', APPLICATION_DATA, 0, 0]);
    let update = piece(SEALED, &[24, 0, 0, 1, 1, HANDSHAKE]);
    let halves = [
        piece(SEALED, &[&ticket[..9], &[HANDSHAKE]].concat()),
        piece(SEALED, &[&ticket[9..], &[HANDSHAKE]].concat()),
    ];
    let nowhere = piece(FROM_NOWHERE, &[&[23, 3, 3, 0, 20][..], &[1; 20]].concat());
    let close = piece(SEALED, &[1, 0, ALERT]);
    vec![
        ("tls_handshake", "hello", [vec![0], hello].concat()),
        ("tls_handshake", "flight", [vec![1], flight].concat()),
        ("tls_handshake", "alert", alert),
        (
            "tls_record",
            "all",
            [data.clone(), update.clone(), halves.concat(), update, data.clone(), close].concat(),
        ),
        ("tls_record", "nothing", piece(SEALED, &[APPLICATION_DATA]).repeat(33)),
        ("tls_record", "from_nowhere", [data, nowhere].concat()),
    ]
}

fn piece(what: u8, bytes: &[u8]) -> Vec<u8> {
    [&[what][..], &(bytes.len() as u16).to_be_bytes(), bytes].concat()
}
