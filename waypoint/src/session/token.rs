//! What a client brings to be known again: which endpoint serves it, and since when. It says no address, and it is
//! not sealed: whoever makes one up can choose among endpoints that requests may get anyway, and no more.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Three numbers of eight bytes.
const LENGTH: usize = 24;

/// A session, by what its client says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// In seconds since 1970.
    pub(super) began: u64,
    /// The same, of its last request, where that matters.
    pub(super) used: u64,
    /// The endpoint.
    pub(super) bond: u64,
}

impl Token {
    /// What a client has sent; none if a waypoint has not written it so.
    pub(crate) fn read(text: &str) -> Option<Token> {
        let bytes: [u8; LENGTH] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (numbers, _) = bytes.as_chunks::<8>();
        let &[began, used, bond] = numbers else { return None };
        Some(Token {
            began: u64::from_be_bytes(began),
            used: u64::from_be_bytes(used),
            bond: u64::from_be_bytes(bond),
        })
    }

    pub(crate) fn write(self) -> String {
        let numbers = [self.began, self.used, self.bond].map(u64::to_be_bytes);
        URL_SAFE_NO_PAD.encode(numbers.as_flattened())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written() {
        let token = Token { began: 1_800_000_000, used: 1_800_000_100, bond: u64::MAX };
        let text = token.write();
        assert_eq!(Token::read(&text), Some(token));
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{text}");
        for wrong in ["", "x", &text[1..], &format!("{text}AAAA"), &format!("{text}="), "ä"] {
            assert_eq!(Token::read(wrong), None, "{wrong:?}");
        }
    }
}
