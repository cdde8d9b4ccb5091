//! The `Date` of answers (RFC 9110 section 6.6.1), written anew when the second is another.
//!
//! Until when it is the same is known, so that the wall clock is asked once a second and not for each answer.
//!
//! Called by `server::lean` and `server::http2`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tokio::time::Instant;

const FORM: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// As long as its form always is.
const LENGTH: usize = 29;

/// A date that was written.
pub(in crate::server) struct Date {
    /// When it is to be asked for anew.
    until: Option<Instant>,
    second: u64,
    text: [u8; LENGTH],
}

impl Date {
    /// None yet.
    pub(in crate::server) fn new() -> Self {
        let mut date = Self { until: None, second: 0, text: [b' '; LENGTH] };
        date.write();
        date
    }

    /// At this moment, which is now.
    pub(in crate::server) fn at(&mut self, now: Instant) -> &[u8] {
        if self.until.is_none_or(|until| now >= until) {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.until = Some(now + (Duration::from_secs(1) - Duration::from_nanos(since.subsec_nanos().into())));
            if since.as_secs() != self.second {
                self.second = since.as_secs();
                self.write();
            }
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
        let now = String::from_utf8(date.at(Instant::now()).to_vec()).unwrap();
        let read = time::PrimitiveDateTime::parse(&now, FORM).unwrap().assume_utc();
        assert!((OffsetDateTime::now_utc() - read).abs() < time::Duration::seconds(2), "{now}");
    }

    #[test]
    fn it_is_another_when_its_second_is_over_and_not_before() {
        let mut date = Date::new();
        let now = Instant::now();
        let _ = date.at(now);
        let until = date.until.unwrap();
        assert!(until > now && until <= now + Duration::from_secs(1));
        date.text = [b'x'; LENGTH];
        date.second = 0;
        assert_eq!(date.at(until - Duration::from_nanos(1)), [b'x'; LENGTH]);
        assert_ne!(date.at(until), [b'x'; LENGTH]);
    }
}
