//! Times as SAML writes them: `2026-11-21T23:48:46.123Z`, always in UTC (SAML core section 1.3.3).
//!
//! Called by everything in `saml` and by the emulator.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::clock::Timestamp;

/// Reads a time; fractions of a second are dropped. Only UTC, written with a `Z`.
pub fn read_time(text: &str) -> Option<Timestamp> {
    if !text.ends_with('Z') || text.as_bytes().get(10) != Some(&b'T') {
        return None;
    }
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp()).ok().map(Timestamp)
}

/// Writes a time, in whole seconds.
pub fn write_time(time: Timestamp) -> String {
    let seconds = i64::try_from(time.0).unwrap_or(i64::MAX);
    let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_utc_is_read() {
        assert_eq!(read_time("1970-01-01T00:01:00Z"), Some(Timestamp(60)));
        assert_eq!(read_time("2017-03-01T10:11:12.999Z"), read_time("2017-03-01T10:11:12Z"));
        for text in [
            "",
            "now",
            "2017-03-01",
            "2017-03-01T10:11:12",
            "2017-03-01T10:11:12+00:00",
            "2017-03-01 10:11:12Z",
            "2017-03-01t10:11:12z",
            "2017-02-30T10:11:12Z",
            "1969-12-31T23:59:59Z",
            " 2017-03-01T10:11:12Z",
            "99999-03-01T10:11:12Z",
            "2017-03-01T10:11:12.Z",
            "2017-03-01T24:00:00Z",
        ] {
            assert_eq!(read_time(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(seconds in 0_u64..250_000_000_000) {
            prop_assert_eq!(read_time(&write_time(Timestamp(seconds))), Some(Timestamp(seconds)));
        }

        #[test]
        fn noise_is_no_panic(text in "[0-9TZ:.+-]*|\\PC*") {
            let _ = read_time(&text);
        }
    }
}
