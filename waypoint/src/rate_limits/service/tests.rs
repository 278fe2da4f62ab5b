//! What is made of answers, good and bad.

use super::*;

fn status(code: Code, limit: Option<(u32, Unit)>, remaining: u32) -> DescriptorStatus {
    DescriptorStatus {
        code: code.into(),
        current_limit: limit.map(|(requests_per_unit, unit)| proto::rate_limit_response::RateLimit {
            requests_per_unit,
            unit: unit.into(),
            name: "n".to_owned(),
        }),
        limit_remaining: remaining,
        duration_until_reset: Some(prost_types::Duration { seconds: 7, nanos: 1 }),
    }
}

fn decoded(code: Code, statuses: Vec<DescriptorStatus>, limits: usize) -> Result<Answer, CallError> {
    let answer = proto::RateLimitResponse { overall_code: code.into(), statuses, ..Default::default() };
    decode(answer.encode_to_vec().into(), limits)
}

fn beyond(code: Code, statuses: Vec<DescriptorStatus>, limits: usize) -> Vec<bool> {
    decoded(code, statuses, limits).unwrap().counted.iter().map(|it| it.beyond).collect()
}

#[test]
fn res_an_answer_says_which_limit_a_request_is_beyond() {
    let (over, ok) = (status(Code::OverLimit, None, 0), status(Code::Ok, None, 3));
    assert_eq!(beyond(Code::OverLimit, vec![ok.clone(), over.clone()], 2), [false, true]);
    assert_eq!(beyond(Code::Ok, vec![ok.clone(), over], 2), [false, false], "the whole counts");
    assert_eq!(beyond(Code::OverLimit, vec![], 2), [true, true], "it does not say which");
    assert_eq!(beyond(Code::OverLimit, vec![ok], 1), [true]);
    let answer = decoded(Code::Ok, vec![status(Code::Ok, Some((10, Unit::Minute)), 4)], 2).unwrap();
    let quota = Quota { requests: 10, window: 60, name: "n".to_owned(), remaining: 4, reset: 7 };
    assert_eq!(answer.counted[0], Counted { beyond: false, quota: Some(quota) });
    assert_eq!(answer.counted[1], Counted::default());
}

#[test]
fn res_an_answer_that_makes_no_sense_is_none() {
    for (code, statuses, expected) in [
        (Code::Unknown, 0, "its answer makes no sense: it says neither yes nor no"),
        (Code::Ok, 3, "its answer makes no sense: 3 statuses about 2 limits"),
    ] {
        let statuses = (0..statuses).map(|_| status(Code::Ok, None, 0)).collect();
        assert_eq!(decoded(code, statuses, 2).unwrap_err().to_string(), expected);
    }
    assert!(decode(Bytes::from_static(b"\xff\xff"), 1).is_err());
}

#[test]
fn sec_headers_of_an_answer_cannot_change_what_a_message_is() {
    let header = |key: &str| HeaderValue { key: key.to_owned(), value: "v".to_owned(), raw_value: vec![] };
    let answer = proto::RateLimitResponse {
        overall_code: Code::Ok.into(),
        request_headers_to_add: vec![header("host"), header("content-length"), header("x-plan")],
        ..Default::default()
    };
    let answer = decode(answer.encode_to_vec().into(), 1).unwrap();
    let mut headers = http::HeaderMap::new();
    answer.request.apply(&mut headers);
    assert_eq!(headers.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["x-plan"]);
}
