//! `--run IMAGE=COMMAND`: which program of this machine stands for a container image.

use std::str::FromStr;

use thiserror::Error;

/// One mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ImageCommand {
    /// The image; `*` stands for any text.
    pattern: String,
    /// The program and its first arguments; the container's `args` come after.
    command: Vec<String>,
}

/// A text that is not such a mapping.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not IMAGE=COMMAND; write for instance --run '*/httpbin*=adit echo --http 80'")]
pub(super) struct InvalidMapping(String);

impl FromStr for ImageCommand {
    type Err = InvalidMapping;

    fn from_str(text: &str) -> Result<Self, InvalidMapping> {
        let invalid = || InvalidMapping(text.to_owned());
        let (pattern, command) = text.split_once('=').ok_or_else(invalid)?;
        let command = words(command).filter(|words| !words.is_empty()).ok_or_else(invalid)?;
        if pattern.is_empty() {
            return Err(invalid());
        }
        Ok(ImageCommand { pattern: pattern.to_owned(), command })
    }
}

/// The command of the first mapping that fits an image.
pub(super) fn find<'a>(mappings: &'a [ImageCommand], image: &str) -> Option<&'a [String]> {
    mappings.iter().find(|mapping| fits(&mapping.pattern, image)).map(|mapping| mapping.command.as_slice())
}

/// The parts between the stars have to follow one another; the first and last are anchored.
fn fits(pattern: &str, image: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == image };
    let Some(mut image) = image.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = image.find(part) else { return false };
        image = &image[at + part.len()..];
    }
    image.ends_with(last)
}

/// Splits a command as a shell does, as far as spaces, quotes and backslashes go; `None` if a quote is
/// left open.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('\''), c) => word.get_or_insert_default().push(c),
            (_, '\\') => word.get_or_insert_default().push(characters.next()?),
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, image, expected) in [
            ("nginx", "nginx", true),
            ("nginx", "nginx:1", false),
            ("*", "", true),
            ("*httpbin*", "docker.io/mccutchen/go-httpbin:v2.15.0", true),
            ("docker.io/*-v1:*", "docker.io/istio/reviews-v1:1.20", true),
            ("docker.io/*-v1:*", "docker.io/istio/reviews-v2:1.20", false),
            ("a*a", "a", false),
            ("a*b*c", "a-c-b", false),
            ("*:1*", "x:2:1", true),
        ] {
            assert_eq!(fits(pattern, image), expected, "{pattern} {image}");
        }
    }

    #[test]
    fn the_first_mapping_that_fits_is_taken() {
        let mappings = ["web:2=two".parse().unwrap(), "web*=adit echo --name 'a b'".parse().unwrap()];
        assert_eq!(find(&mappings, "web:2"), Some(&["two".to_owned()][..]));
        assert_eq!(find(&mappings, "web:1").unwrap(), ["adit", "echo", "--name", "a b"]);
        assert_eq!(find(&mappings, "db"), None);
    }

    #[test]
    fn words_are_split_as_by_a_shell() {
        assert_eq!(words(r#"a "b \"c" 'd\' e\ f '' "#).unwrap(), ["a", "b \"c", "d\\", "e f", ""]);
        assert_eq!(words("a 'b"), None);
        for bad in ["x", "=a", "x=", "x= ", "x='"] {
            assert_eq!(bad.parse::<ImageCommand>(), Err(InvalidMapping(bad.to_owned())));
        }
    }
}
