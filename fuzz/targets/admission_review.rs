//! What the API server asks the webhook: an answer is to the question that was put, says
//! why not in words a person can read, and is not out of proportion.
#![no_main]

use controller::fuzzing::review;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let answer = match review(data) {
        Ok(answer) => answer,
        Err(reason) => return assert!(!reason.is_empty()),
    };
    // Parts that are passed over may hold what is no text.
    let Ok(asked) = serde_json::from_slice::<Value>(data) else { return };
    let said: Value = serde_json::from_slice(&answer).unwrap();
    let response = &said["response"];
    assert_eq!(response["uid"], asked["request"]["uid"]);
    let message = response["status"]["message"].as_str().unwrap_or_default();
    assert_eq!(response["allowed"], message.is_empty());
    assert!(message.len() <= (8 << 10) + 3);
    assert!(answer.len() <= 64 * 1024 + 16 * data.len(), "{} bytes for {}", answer.len(), data.len());
});
