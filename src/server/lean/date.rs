//! The `Date` of answers (RFC 9110 section 6.6.1), written anew when the second is another.
//!
//! Called by `server::lean`.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const FORM: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// As long as its form always is.
const LENGTH: usize = 29;

/// A date that was written.
pub(super) struct Date {
    second: u64,
    text: [u8; LENGTH],
}

impl Date {
    /// None yet.
    pub(super) fn new() -> Self {
        let mut date = Self { second: 0, text: [b' '; LENGTH] };
        date.write();
        date
    }

    /// Now.
    pub(super) fn now(&mut self) -> &[u8] {
        let second = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if second != self.second {
            self.second = second;
            self.write();
        }
        &self.text
    }

    fn write(&mut self) {
        let moment =
            i64::try_from(self.second).ok().and_then(|second| OffsetDateTime::from_unix_timestamp(second).ok());
        if let Some(moment) = moment {
            // Fails only where there is too little room, and there never is.
            let _ = moment.format_into(&mut &mut self.text[..], FORM);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_as_http_wants_it() {
        let mut date = Date::new();
        assert_eq!(date.text, *b"Thu, 01 Jan 1970 00:00:00 GMT");
        for (second, text) in
            [(784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), (1_772_236_799, "Fri, 27 Feb 2026 23:59:59 GMT")]
        {
            date.second = second;
            date.write();
            assert_eq!(date.text, text.as_bytes());
        }
    }

    #[test]
    fn it_is_now() {
        let mut date = Date::new();
        let now = String::from_utf8(date.now().to_vec()).unwrap();
        let read = time::PrimitiveDateTime::parse(&now, FORM).unwrap().assume_utc();
        assert!((OffsetDateTime::now_utc() - read).abs() < time::Duration::seconds(2), "{now}");
    }
}
