//! The time as Kubernetes writes it.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Now, to the second.
pub(super) fn now() -> String {
    let now = OffsetDateTime::now_utc();
    // Years of four digits can always be written.
    now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_default()
}
