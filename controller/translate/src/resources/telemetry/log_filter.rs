//! Expressions that say which requests are logged. Of CEL those are understood that compare `response.code` with numbers,
//! joined by `&&` and `||`.

use mesh_model::{CodeTest, Comparison, LogFilter};

/// Longest first where one is the beginning of another.
const COMPARISONS: [(&str, Comparison); 6] = [
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

/// Reads an expression, or says why that is not possible.
pub(super) fn parse(expression: &str) -> Result<LogFilter, String> {
    let alternatives = expression.split("||").map(|alternative| alternative.split("&&").map(test).collect());
    let any_of: Option<Vec<Vec<CodeTest>>> = alternatives.collect();
    any_of.map(|any_of| LogFilter { any_of }).ok_or_else(|| {
        format!("{expression:?} is not supported; write response.code >= 400, joined by && and ||")
    })
}

fn test(text: &str) -> Option<CodeTest> {
    let rest = text.trim().strip_prefix("response.code")?.trim_start();
    let (rest, comparison) = COMPARISONS
        .iter()
        .find_map(|(symbol, comparison)| Some((rest.strip_prefix(symbol)?, *comparison)))?;
    Some(CodeTest { comparison, code: rest.trim().parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_of_the_status_are_understood_and_nothing_else() {
        let filter = parse("response.code>=400 && response.code < 500||response.code == 302").unwrap();
        let logged: Vec<u16> =
            [200, 302, 399, 400, 404, 500].into_iter().filter(|code| filter.includes(*code)).collect();
        assert_eq!(logged, [302, 400, 404]);
        for (expression, included, left_out) in [
            ("response.code != 200", 404, 200),
            ("response.code <= 399", 399, 400),
            (" response.code > 499 ", 500, 499),
        ] {
            let filter = parse(expression).unwrap();
            assert!(filter.includes(included) && !filter.includes(left_out), "{expression}");
        }
        for bad in [
            "",
            "response.code",
            "response.code == ",
            "response.code == 200 &&",
            "(response.code == 200)",
            "response.code == '200'",
            "response.code == 70000",
            "response.codes == 200",
            "request.host == 'a'",
            "response.code >= 400 && has(request.headers)",
        ] {
            assert!(parse(bad).unwrap_err().contains("is not supported"), "{bad}");
        }
    }
}
