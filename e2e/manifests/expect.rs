//! What answers have to be, as `adit echo call --json` tells of them.

use serde_json::Value;

/// How many answers [`Expect::Even`] and [`Expect::Seldom`] look at.
const COUNTED: usize = 200;

/// What separates one answer in ten from every second one. Of 200 answers, more than 54 are not of a backend with a
/// tenth of the requests, and fewer than 55 not of one with half of them, but once in thirty thousand million looks.
const FEW: usize = 54;

/// What a look at answers is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expect {
    /// All have this status.
    Status(u64),
    /// All have this status, and say all of this.
    Says(u64, &'static [&'static str]),
    /// All are good, and none says this.
    Silent(&'static str),
    /// All are good and of this version.
    Version(&'static str),
    /// All are good and of one version, whichever.
    OneVersion,
    /// All are good and of the two versions, and neither is missing.
    Both,
    /// The same, half of each.
    Even,
    /// The same, one in ten of this one.
    Seldom(&'static str),
    /// All are good, and took so many milliseconds or more.
    Slow(f64),
    /// All have this header.
    Header(&'static str, &'static str),
    /// None has it, and all are good.
    NoHeader(&'static str),
    /// One of them is refused since there are too many.
    Overflow,
    /// There is nobody who could have answered.
    Nobody,
}

impl Expect {
    /// Whether these are such answers; `{n}` stands for the number of the attempt.
    pub(crate) fn fits(self, answers: &[Value], attempt: usize) -> bool {
        let all = |fits: &dyn Fn(&Value) -> bool| !answers.is_empty() && answers.iter().all(fits);
        let one = |version: &str| all(&|it| is_good(it) && version_of(it) == version);
        let few = |version: &str| (1..=FEW).contains(&count(answers, version));
        match self {
            Expect::Status(wanted) => all(&|it| it["status"] == wanted),
            Expect::Says(wanted, parts) => {
                all(&|it| it["status"] == wanted && parts.iter().all(|part| says(it, part, attempt)))
            }
            Expect::Silent(part) => all(&|it| is_good(it) && !says(it, part, attempt)),
            Expect::Version(wanted) => one(wanted),
            Expect::OneVersion => one("v1") || one("v2"),
            Expect::Both => has_two(answers),
            Expect::Even => has_two(answers) && answers.len() == COUNTED && !few("v1") && !few("v2"),
            Expect::Seldom(rare) => has_two(answers) && answers.len() == COUNTED && few(rare),
            Expect::Slow(least) => all(&|it| is_good(it) && it["millis"].as_f64() >= Some(least)),
            Expect::Header(name, value) => all(&|it| it["headers"][name] == value),
            Expect::NoHeader(name) => all(&|it| is_good(it) && it["headers"].get(name).is_none()),
            Expect::Overflow => answers.iter().any(is_overflow),
            Expect::Nobody => all(&|it| it["error"].is_string()),
        }
    }
}

fn is_good(answer: &Value) -> bool {
    answer["status"] == 200
}

fn is_overflow(answer: &Value) -> bool {
    answer["status"] == 503 && answer["headers"]["x-envoy-overloaded"] == "true"
}

fn version_of(answer: &Value) -> &str {
    answer["answer"]["version"].as_str().unwrap_or_default()
}

fn says(answer: &Value, part: &str, attempt: usize) -> bool {
    answer["answer"].to_string().contains(&numbered(part, attempt))
}

fn count(answers: &[Value], version: &str) -> usize {
    answers.iter().filter(|it| version_of(it) == version).count()
}

fn has_two(answers: &[Value]) -> bool {
    let counts = ["v1", "v2"].map(|version| count(answers, version));
    answers.iter().all(is_good) && counts.iter().sum::<usize>() == answers.len() && !counts.contains(&0)
}

/// The text of an attempt, so that what an earlier one has left behind is not taken for its own.
pub(crate) fn numbered(text: &str, attempt: usize) -> String {
    text.replace("{n}", &attempt.to_string())
}
