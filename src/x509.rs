//! What a certificate says: from when until when it is valid, and whose public key it carries.
//!
//! rustls judges the dates of other people's certificates and never shows them, least of all those of the
//! certificate it presents itself; and a SAML certificate is no link of a chain but a key in a box, which nobody
//! judges at all. So this reads the fields that are needed (RFC 5280 section 4.1), strictly, and nothing else.
//! Called by `server::tls`, also for `cli check`, and by `identity::xmldsig`.

use time::PrimitiveDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::clock::Timestamp;

/// The tag of a `SEQUENCE`.
pub(crate) const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BOOLEAN: u8 = 0x01;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const KEY_IDENTIFIER: u8 = 0x80;
/// The name of the authority key identifier (RFC 5280 section 4.2.1.1): 2.5.29.35.
const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 0x23];
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

const DIGITS: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day][hour][minute][second]Z");

/// The span in which a certificate is valid, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: Timestamp,
    /// The last second.
    pub not_after: Timestamp,
}

/// The fields of a certificate that somebody here needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields<'a> {
    /// When it is valid.
    pub validity: Validity,
    /// `SubjectPublicKeyInfo`, the whole element in DER.
    pub public_key: &'a [u8],
    /// The number that its authority gave it, as DER writes it.
    pub serial: &'a [u8],
    /// What follows the public key.
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Which of its authority's keys signed it, if it says so.
    pub fn authority_key(&self) -> Option<&'a [u8]> {
        // Two unique identifiers may come before; nobody has used them since version 3.
        let (extensions, _) = take(self.rest, EXTENSIONS)?;
        let (mut extensions, _) = take(extensions, SEQUENCE)?;
        while !extensions.is_empty() {
            let (extension, others) = take(extensions, SEQUENCE)?;
            let (name, value) = take(extension, OBJECT_IDENTIFIER)?;
            if name == AUTHORITY_KEY_IDENTIFIER {
                let value = take(value, BOOLEAN).map_or(value, |(_, rest)| rest);
                let (identifier, _) = take(take(value, OCTET_STRING)?.0, SEQUENCE)?;
                return take(identifier, KEY_IDENTIFIER).map(|(key, _)| key);
            }
            extensions = others;
        }
        None
    }
}

/// The fields of a certificate in DER, or `None` when it is not one.
pub fn read(certificate: &[u8]) -> Option<Fields<'_>> {
    let (certificate, _) = take(certificate, SEQUENCE)?;
    let (body, _) = take(certificate, SEQUENCE)?;
    // The version is left out of version 1 certificates.
    let body = take(body, VERSION).map_or(body, |(_, rest)| rest);
    let (serial, body) = take(body, INTEGER)?;
    let (_algorithm, body) = take(body, SEQUENCE)?;
    let (_issuer, body) = take(body, SEQUENCE)?;
    let (validity, body) = take(body, SEQUENCE)?;
    let (_subject, body) = take(body, SEQUENCE)?;
    let (_public_key, rest) = take(body, SEQUENCE)?;
    let public_key = body.get(..body.len() - rest.len())?;
    let (not_before, end) = moment(validity)?;
    let (not_after, end) = moment(end)?;
    end.is_empty().then_some(Fields { validity: Validity { not_before, not_after }, public_key, serial, rest })
}

/// The contents of the element at the beginning, when it has that tag, and what follows it.
pub(crate) fn take(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
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
    if found == tag { rest.split_at_checked(length) } else { None }
}

fn moment(der: &[u8]) -> Option<(Timestamp, &[u8])> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn certificate(from: i32, until: i32) -> Vec<u8> {
        let mut parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(from, 2, 3);
        parameters.not_after = rcgen::date_time_ymd(until, 12, 31);
        let key = rcgen::KeyPair::generate().unwrap();
        parameters.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn both_forms_of_time_are_read() {
        for (from, until) in [(1995, 2026), (2026, 2049), (2026, 2050), (2050, 4095)] {
            let expected = |date: time::OffsetDateTime| Timestamp(u64::try_from(date.unix_timestamp()).unwrap());
            let certificate = certificate(from, until);
            let validity = read(&certificate).unwrap().validity;
            assert_eq!(validity.not_before, expected(rcgen::date_time_ymd(from, 2, 3)));
            assert_eq!(validity.not_after, expected(rcgen::date_time_ymd(until, 12, 31)));
        }
    }

    #[test]
    fn the_public_key_is_the_one_that_was_certified() {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        assert_eq!(read(certificate.der()).unwrap().public_key, rcgen::PublicKeyData::subject_public_key_info(&key));
    }

    #[test]
    fn a_certificate_tells_its_number_and_whose_key_signed_it() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        parameters.serial_number = Some(rcgen::SerialNumber::from_slice(&[0xca, 0xfe]));
        let plain = parameters.clone().self_signed(&key).unwrap();
        assert_eq!(read(plain.der()).unwrap().authority_key(), None);
        let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
        authority.key_identifier_method = rcgen::KeyIdMethod::PreSpecified(vec![0xc0, 0xff, 0xee]);
        let issuer = rcgen::Issuer::new(authority, rcgen::KeyPair::generate().unwrap());
        parameters.use_authority_key_identifier_extension = true;
        let signed = parameters.signed_by(&key, &issuer).unwrap();
        let fields = read(signed.der()).unwrap();
        // A number that is not negative begins with a zero where its first bit is set.
        assert_eq!((fields.serial, fields.authority_key()), (&[0, 0xca, 0xfe][..], Some(&[0xc0, 0xff, 0xee][..])));
    }

    #[test]
    fn half_a_certificate_has_no_dates() {
        let whole = certificate(2026, 2027);
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), None, "{length}");
        }
    }

    proptest! {
        #[test]
        fn noise_is_no_certificate_and_no_panic(noise: Vec<u8>) {
            prop_assert_eq!(read(&noise), None);
        }

        #[test]
        fn a_damaged_certificate_is_no_panic(position: prop::sample::Index, byte: u8) {
            let mut damaged = certificate(2026, 2027);
            let index = position.index(damaged.len());
            damaged[index] = byte;
            let _ = read(&damaged).map(|fields| fields.authority_key());
        }
    }
}
