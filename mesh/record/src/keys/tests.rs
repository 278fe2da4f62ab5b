//! Tests of `keys`.

use super::*;
use crate::wire::header;

/// The client's first record of application data in RFC 8448 §3.
#[test]
fn a_record_of_rfc_8448_comes_out_as_printed() {
    let key = bytes("17422dda596ed5d9acd890e3c63f5051");
    let iv = bytes("5b78923dee08579033e523d9");
    let printed = bytes(
        "17030300 43a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4",
    );
    let mut sealing = Key::from_bytes(0, &AES_128_GCM, &key, &iv).unwrap();
    let mut text: Vec<u8> = (0..50).chain([23]).collect();
    let header = header(text.len() + TAG);
    let tag = sealing.seal(header, &mut text).unwrap();
    assert_eq!([&header[..], &text, &tag].concat(), printed);
    let mut opening = Key::from_bytes(0, &AES_128_GCM, &key, &iv).unwrap();
    assert_eq!(opening.open(header, &mut text, &tag), Ok(true));
    assert!(text.iter().copied().eq((0..50).chain([23])));
}

#[test]
fn a_key_of_another_length_is_none() {
    assert!(Key::from_bytes(0, &AES_128_GCM, &[0; 32], &[0; NONCE_LEN]).is_none());
    assert!(Key::from_bytes(0, &AES_256_GCM, &[0; 32], &[0; NONCE_LEN + 1]).is_none());
}

#[test]
fn no_number_comes_round() {
    let mut key = Key::from_bytes(u64::MAX - 1, &AES_256_GCM, &[0; 32], &[0; NONCE_LEN]).unwrap();
    assert!(key.seal(header(TAG + 1), &mut [1]).is_ok());
    for _ in 0..2 {
        assert_eq!(key.seal(header(TAG + 1), &mut [1]), Err(RecordError::Worn));
        assert_eq!(key.open(header(TAG + 1), &mut [1], &[0; TAG]), Err(RecordError::Worn));
    }
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digits: Vec<u8> = hexadecimal.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}
