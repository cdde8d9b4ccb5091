//! DER (X.690), as far as certificates and keys are written in it: elements, each a tag, a length and contents.
//!
//! What an element means is for its readers to say: `x509`, its `name` and `revocation`, and `identity::xmldsig` for
//! the kind of a public key.

use time::PrimitiveDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::clock::Timestamp;

// Tags of kinds that every reader knows; what only one knows stands there.
pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;

const DIGITS: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day][hour][minute][second]Z");

/// The contents of the element at the beginning, when it has that tag, and what follows it.
pub(crate) fn take(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(der)?;
    (found == tag).then_some((content, rest))
}

/// The tag and the contents of the element at the beginning, and what follows it.
pub(super) fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        // Certificates are shorter than 16 MiB.
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length - 0x80))?;
            (bytes.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((found, content, rest))
}

/// The moment at the beginning, of either kind (RFC 5280 section 4.1.2.5), and what follows it.
pub(super) fn moment(der: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (text, rest) = if let Some((digits, rest)) = take(der, UTC_TIME) {
        let digits = std::str::from_utf8(digits).ok()?;
        // RFC 5280 section 4.1.2.5.1: two digits of 50 and above are of the last century.
        let century = if digits.get(..2)? < "50" { "20" } else { "19" };
        (format!("{century}{digits}"), rest)
    } else {
        let (digits, rest) = take(der, GENERALIZED_TIME)?;
        (std::str::from_utf8(digits).ok()?.to_owned(), rest)
    };
    let moment = PrimitiveDateTime::parse(&text, DIGITS).ok()?.assume_utc().unix_timestamp();
    // Before 1970 is as expired as 1970.
    Some((Timestamp(u64::try_from(moment).unwrap_or(0)), rest))
}
