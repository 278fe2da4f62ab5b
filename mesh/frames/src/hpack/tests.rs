//! Tests of `hpack`: the examples of RFC 7541, what its errors are, and any bytes.

use proptest::prelude::*;

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<(String, String)>, HpackError> {
    let mut fields = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    decoder.decode(block, |name, value| fields.push((text(name), text(value))))?;
    Ok(fields)
}

#[track_caller]
fn check(decoder: &mut Decoder, block: &str, expected: &[(&str, &str)]) {
    let expected: Vec<_> = expected.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    assert_eq!(decode(decoder, &bytes(block)), Ok(expected));
}

#[test]
fn the_examples_of_rfc_7541_c3_and_c4() {
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let coded = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    for [first, second, third] in [plain, coded] {
        let mut decoder = Decoder::default();
        let common = [(":method", "GET"), (":scheme", "http"), (":path", "/")];
        let host = (":authority", "www.example.com");
        check(&mut decoder, first, &[&common[..], &[host]].concat());
        check(&mut decoder, second, &[&common[..], &[host, ("cache-control", "no-cache")]].concat());
        let other = [(":method", "GET"), (":scheme", "https"), (":path", "/index.html"), host];
        check(&mut decoder, third, &[&other[..], &[("custom-key", "custom-value")]].concat());
    }
}

#[test]
fn what_does_not_fit_drives_out_the_oldest() {
    let mut decoder = Decoder::default();
    // 70 bytes of table: two entries of 35.
    check(&mut decoder, "3f27 40 01 61 02 6262", &[("a", "bb")]);
    check(&mut decoder, "40 01 63 02 6464", &[("c", "dd")]);
    check(&mut decoder, "be bf", &[("c", "dd"), ("a", "bb")]);
    // The third takes its name from the entry that has to go for it.
    check(&mut decoder, "7f00 02 6565", &[("a", "ee")]);
    check(&mut decoder, "be bf", &[("a", "ee"), ("c", "dd")]);
    assert_eq!(decode(&mut decoder, &[0xc0]), Err(HpackError::UnknownIndex));
    // Larger than all of it: nothing is left.
    let large = [&[0x40, 1, b'z', 60][..], &[b'y'; 60]].concat();
    assert_eq!(decode(&mut decoder, &large).map(|fields| fields.len()), Ok(1));
    assert_eq!(decode(&mut decoder, &[0xbe]), Err(HpackError::UnknownIndex));
}

#[test]
fn what_is_no_block_is_said() {
    for (block, error) in [
        ("80", HpackError::UnknownIndex),
        ("be", HpackError::UnknownIndex),
        ("ff", HpackError::CutOff),
        ("ff ff ff ff ff ff ff ff 7f", HpackError::TooLarge),
        ("00", HpackError::CutOff),
        ("00 05 61", HpackError::CutOff),
        ("3f e2 1f", HpackError::TableSize),
        ("82 20", HpackError::TableSize),
        // Padding of eight bits, padding of zeros, the end's own code.
        ("00 01 61 82 1fff", HpackError::Huffman),
        ("00 01 61 81 18", HpackError::Huffman),
        ("00 01 61 84 ffff ffff", HpackError::Huffman),
    ] {
        assert_eq!(decode(&mut Decoder::default(), &bytes(block)), Err(error), "{block}");
    }
}

#[test]
fn an_answer_of_200_is_one_byte() {
    let mut block = Vec::new();
    encode_status(&mut block, 200);
    assert_eq!(block, [0x88]);
    encode_status(&mut block, 503);
    let fields = decode(&mut Decoder::default(), &block).unwrap();
    assert_eq!(fields[1], (":status".to_owned(), "503".to_owned()));
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        fields in proptest::collection::vec(("[a-z-]{1,40}|:authority|baggage|via", "[ -~]{0,300}"), 0..20),
    ) {
        let mut block = Vec::new();
        for (name, value) in &fields {
            encode_field(&mut block, name.as_bytes(), value.as_bytes());
        }
        prop_assert_eq!(decode(&mut Decoder::default(), &block).unwrap(), fields);
    }

    #[test]
    fn any_bytes_are_fields_or_an_error(blocks in proptest::collection::vec(any::<Vec<u8>>(), 1..5)) {
        let mut decoder = Decoder::default();
        for block in blocks {
            let _ = decode(&mut decoder, &block);
        }
    }
}
