//! A template and a path, a line each: a template is written as it was read, and agrees with one that tries every
//! way to divide the path.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_model::PathTemplate;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    let Some((template, path)) = text.split_once('\n') else { return };
    let Ok(parsed) = template.parse::<PathTemplate>() else { return };
    assert_eq!(parsed.to_string(), template);
    if template.len() < 64 && path.len() < 64 {
        assert_eq!(parsed.matches(path), slowly(template, path), "{template:?} {path:?}");
    } else {
        parsed.matches(path);
    }
});

fn slowly(template: &str, path: &str) -> bool {
    let places = |text: &str| {
        let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
        ends.collect::<Vec<usize>>()
    };
    if let Some(rest) = template.strip_prefix("{**}") {
        return places(path).into_iter().any(|at| slowly(rest, &path[at..]));
    }
    if let Some(rest) = template.strip_prefix("{*}") {
        let whole = |at: &usize| *at > 0 && !path[..*at].contains('/');
        return places(path).into_iter().filter(whole).any(|at| slowly(rest, &path[at..]));
    }
    match (template.chars().next(), path.chars().next()) {
        (None, None) => true,
        (Some(wanted), Some(there)) if wanted == there => {
            slowly(&template[wanted.len_utf8()..], &path[there.len_utf8()..])
        }
        _ => false,
    }
}
