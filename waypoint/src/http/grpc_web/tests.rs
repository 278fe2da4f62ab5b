//! Heads and frames, one way and back.

use super::*;

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    lines.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
}

#[test]
fn what_is_grpc_web_and_how_it_wants_to_be_answered() {
    let (binary, text) = ("application/grpc-web", "application/grpc-web-text");
    for (kind, accept, plain, expected) in [
        (binary, "*/*", "application/grpc", Some((false, "application/grpc-web+proto"))),
        (
            "application/grpc-web+proto",
            "",
            "application/grpc+proto",
            Some((false, "application/grpc-web+proto")),
        ),
        (
            "application/grpc-web+json",
            binary,
            "application/grpc+json",
            Some((false, "application/grpc-web+json")),
        ),
        (text, "", "application/grpc", Some((true, "application/grpc-web-text+proto"))),
        (text, binary, "application/grpc", Some((true, "application/grpc-web+proto"))),
        (
            binary,
            "x/y, application/grpc-web-text+proto",
            "application/grpc",
            Some((false, "application/grpc-web-text+proto")),
        ),
        (
            "application/grpc-web-text; q=1",
            text,
            "application/grpc; q=1",
            Some((true, "application/grpc-web-text+proto")),
        ),
        ("application/grpc", text, "application/grpc", None),
        ("application/grpc-webs", "", "application/grpc-webs", None),
        ("application/grpc-web-texts", "", "application/grpc-web-texts", None),
        ("application/json", binary, "application/json", None),
    ] {
        let mut request = headers(&[("content-type", kind), ("content-length", "7"), ("accept", accept)]);
        let form = accept_checked(&mut request, plain);
        assert_eq!(form.map(|form| form.text_question), expected.map(|(question, _)| question), "{kind}");
        let (Some(form), Some((question, answered))) = (form, expected) else { continue };
        assert_eq!(request.contains_key("content-length"), !question, "{kind}");
        assert_eq!(request["te"], "trailers");
        let mut response = headers(&[("content-type", "application/grpc"), ("content-length", "7")]);
        if kind.ends_with("json") {
            response = headers(&[("content-type", "application/grpc+json")]);
        }
        assert!(form.answer(&mut response));
        assert_eq!(response["content-type"], answered, "{kind}");
        assert!(!response.contains_key("content-length"));
    }
}

fn accept_checked(request: &mut HeaderMap, plain: &str) -> Option<Form> {
    let form = accept(request);
    assert_eq!(request["content-type"], plain);
    form
}

#[test]
fn what_is_no_grpc_is_passed_on_as_it_is() {
    let form = Form { text_question: true, text_answer: true };
    let mut response = headers(&[("content-type", "text/html"), ("content-length", "7")]);
    assert!(!form.answer(&mut response));
    assert_eq!(
        (&response["content-type"], &response["content-length"]),
        (&"text/html".parse().unwrap(), &"7".parse().unwrap())
    );
}

#[test]
fn trailers_are_the_last_frame() {
    let binary = Form { text_question: false, text_answer: false };
    let trailers = headers(&[("grpc-status", "5"), ("grpc-message", "no such thing"), ("x-a", "b")]);
    let frame = binary.translate(Frame::trailers(trailers.clone())).into_data().unwrap();
    let lines = b"grpc-status:5\r\ngrpc-message:no such thing\r\nx-a:b\r\n";
    assert_eq!(frame, [&[0x80, 0, 0, 0, lines.len() as u8], &lines[..]].concat());
    let text = Form { text_answer: true, ..binary };
    let encoded = text.translate(Frame::trailers(trailers)).into_data().unwrap();
    assert_eq!(STANDARD.decode(encoded).unwrap(), frame);
    let data = Frame::data(Bytes::from_static(b"\0\0\0\0\x02hi"));
    assert_eq!(text.translate(data).into_data().unwrap(), "AAAAAAJoaQ==");
}
