//! A file of manifests: what is found in it is found again in the same object as JSON,
//! and everything has a line of the file.
#![no_main]

use std::path::PathBuf;
use std::sync::Arc;

use controller::directory::read;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    let file = Arc::new(PathBuf::from("f.yaml"));
    // To YAML, either of them ends a line.
    let lines = text.split(['\n', '\r']).count() as u64 + 1;
    let manifest = read(&file, text);
    for problem in &manifest.problems {
        assert!(!problem.message.is_empty());
        assert!(problem.line.is_none_or(|line| (1..=lines).contains(&line)), "{problem}");
    }
    for found in &manifest.objects {
        assert!((1..=lines).contains(&found.line), "{} on line {} of {lines}", found.key, found.line);
        let json = serde_json::to_string(&found.value).unwrap();
        let again = read(&file, &json);
        assert_eq!(again.objects.len(), 1, "{json}: {:?}", again.problems);
        assert_eq!(again.objects[0].key, found.key);
    }
});
