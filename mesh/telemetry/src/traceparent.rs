//! `traceparent`: the ids by which the logs of several proxies belong together.

use std::fmt;

/// A trace and the span in it that speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    trace: u128,
    span: u64,
    flags: u8,
}

impl TraceParent {
    /// A new trace.
    pub fn random() -> Self {
        // Zero means "none" in both places.
        TraceParent { trace: rand::random::<u128>().max(1), span: rand::random::<u64>().max(1), flags: 0 }
    }

    /// A span of a trace, neither of them 0.
    pub fn new(trace: u128, span: u64, sampled: bool) -> Self {
        TraceParent { trace, span, flags: sampled.into() }
    }

    /// The trace.
    pub fn trace(self) -> u128 {
        self.trace
    }

    /// The span.
    pub fn span(self) -> u64 {
        self.span
    }

    /// Whoever wrote it keeps the span.
    pub fn is_sampled(self) -> bool {
        self.flags & 1 == 1
    }

    /// A new span of the same trace.
    pub fn child(self) -> Self {
        TraceParent { span: rand::random::<u64>().max(1), ..self }
    }

    /// Reads a header; only the form of 55 characters is one.
    pub fn parse(header: &str) -> Option<Self> {
        let digits = |range: std::ops::Range<usize>| {
            let text = header.get(range)?;
            let hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            hex.then(|| u128::from_str_radix(text, 16).ok()).flatten()
        };
        let dashes = [2, 35, 52].iter().all(|place| header.as_bytes().get(*place) == Some(&b'-'));
        if header.len() != 55 || !dashes || digits(0..2)? == 0xff {
            return None;
        }
        let trace = digits(3..35).filter(|trace| *trace != 0)?;
        let span = u64::try_from(digits(36..52)?).ok().filter(|span| *span != 0)?;
        let flags = u8::try_from(digits(53..55)?).ok()?;
        Some(TraceParent { trace, span, flags })
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tel_20_a_trace_is_continued() {
        let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let parent = TraceParent::parse(header).unwrap();
        assert_eq!(parent.to_string(), header);
        let child = parent.child();
        assert_eq!(child.trace, parent.trace);
        assert_ne!(child.span, parent.span);
        assert_eq!(TraceParent::parse(&child.to_string()), Some(child));
    }

    #[test]
    fn hb_03_a_new_trace_has_the_right_form() {
        let header = TraceParent::random().to_string();
        assert_eq!(header.len(), 55);
        assert!(header.starts_with("00-") && header.ends_with("-00"), "{header}");
        assert_ne!(header, TraceParent::random().to_string());
    }

    #[test]
    fn what_is_not_a_traceparent_is_none() {
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
            "00-0af7651916cd43dd8448eb211c8031é-b7ad6b7169203331-001",
        ] {
            assert_eq!(TraceParent::parse(bad), None, "{bad}");
        }
    }
}
