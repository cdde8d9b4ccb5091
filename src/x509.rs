//! What a certificate says: from when until when it is valid, whose it is, and whose public key it carries.
//!
//! rustls judges the dates of other people's certificates and never shows them, least of all those of the
//! certificate it presents itself; and a SAML certificate is no link of a chain but a key in a box, which nobody
//! judges at all. So this reads the fields that are needed (RFC 5280 section 4.1), strictly, and nothing else.
//! Called by `server::tls`, also for `cli check`, by `identity::xmldsig`, and by `proxy::introduce` for clients'.

pub(crate) mod der;
mod name;
pub mod revocation;

use aws_lc_rs::digest::{SHA256, digest};

use self::der::{BOOLEAN, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, element, moment, take};
use crate::clock::Timestamp;

const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const KEY_IDENTIFIER: u8 = 0x80;
/// The name of the authority key identifier (RFC 5280 section 4.2.1.1): 2.5.29.35.
const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 0x23];
/// The name of the subject's alternative names (RFC 5280 section 4.2.1.6): 2.5.29.17.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

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
    /// The contents of the name of who signed it.
    issuer: &'a [u8],
    /// The contents of the name of whose it is.
    subject: &'a [u8],
    /// What follows the public key.
    rest: &'a [u8],
}

/// A kind of alternative names (RFC 5280 section 4.2.1.6), all of which are ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alternative {
    /// Mail addresses.
    Email,
    /// Host names.
    Dns,
    /// Addresses of anything, such as SPIFFE's.
    Uri,
}

impl Alternative {
    fn tag(self) -> u8 {
        match self {
            Self::Email => 0x81,
            Self::Dns => 0x82,
            Self::Uri => 0x86,
        }
    }
}

impl<'a> Fields<'a> {
    /// Whose it is (RFC 4514); empty where alternative names say it alone.
    pub fn subject(&self) -> Option<String> {
        name::write(self.subject)
    }

    /// Who signed it (RFC 4514).
    pub fn issuer(&self) -> Option<String> {
        name::write(self.issuer)
    }

    /// Its number in lower-case hexadecimal digits, without the zero that a sign would need.
    pub fn number(&self) -> String {
        match self.serial {
            [0, rest @ ..] if !rest.is_empty() => name::hex(rest),
            all => name::hex(all),
        }
    }

    /// Its subject's other names of one kind, as they are written; `None` where they cannot be read.
    pub fn alternatives(&self, kind: Alternative) -> Option<Vec<&'a str>> {
        let Some(value) = self.extension(ALTERNATIVE_NAMES)? else { return Some(Vec::new()) };
        let (mut names, _) = take(value, SEQUENCE)?;
        let mut found = Vec::new();
        while !names.is_empty() {
            let (tag, content, others) = element(names)?;
            if tag == kind.tag() {
                found.push(std::str::from_utf8(content).ok().filter(|text| text.is_ascii())?);
            }
            names = others;
        }
        Some(found)
    }

    /// Which of its authority's keys signed it, if it says so.
    pub fn authority_key(&self) -> Option<&'a [u8]> {
        let (identifier, _) = take(self.extension(AUTHORITY_KEY_IDENTIFIER)??, SEQUENCE)?;
        take(identifier, KEY_IDENTIFIER).map(|(key, _)| key)
    }

    /// What an extension of that name says, if there is one; `None` where they cannot be read.
    fn extension(&self, wanted: &[u8]) -> Option<Option<&'a [u8]>> {
        if self.rest.is_empty() {
            return Some(None);
        }
        // Two unique identifiers may come before; nobody has used them since version 3.
        let (extensions, _) = take(self.rest, EXTENSIONS)?;
        let (mut extensions, _) = take(extensions, SEQUENCE)?;
        while !extensions.is_empty() {
            let (extension, others) = take(extensions, SEQUENCE)?;
            let (name, value) = take(extension, OBJECT_IDENTIFIER)?;
            if name == wanted {
                let value = take(value, BOOLEAN).map_or(value, |(_, rest)| rest);
                return Some(Some(take(value, OCTET_STRING)?.0));
            }
            extensions = others;
        }
        Some(None)
    }
}

/// What tells a certificate from all others: the SHA-256 of its DER, in lower-case hexadecimal digits.
pub fn fingerprint(certificate: &[u8]) -> String {
    name::hex(digest(&SHA256, certificate).as_ref())
}

/// The fields of a certificate in DER, or `None` when it is not one.
pub fn read(certificate: &[u8]) -> Option<Fields<'_>> {
    let (certificate, _) = take(certificate, SEQUENCE)?;
    let (body, _) = take(certificate, SEQUENCE)?;
    // The version is left out of version 1 certificates.
    let body = take(body, VERSION).map_or(body, |(_, rest)| rest);
    let (serial, body) = take(body, INTEGER)?;
    let (_algorithm, body) = take(body, SEQUENCE)?;
    let (issuer, body) = take(body, SEQUENCE)?;
    let (validity, body) = take(body, SEQUENCE)?;
    let (subject, body) = take(body, SEQUENCE)?;
    let (_public_key, rest) = take(body, SEQUENCE)?;
    let public_key = body.get(..body.len() - rest.len())?;
    let (not_before, end) = moment(validity)?;
    let (not_after, end) = moment(end)?;
    end.is_empty().then_some(Fields {
        validity: Validity { not_before, not_after },
        public_key,
        serial,
        issuer,
        subject,
        rest,
    })
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
    fn a_certificate_tells_whose_it_is_in_every_way() {
        let key = rcgen::KeyPair::generate().unwrap();
        let text = |text: &str| text.try_into().unwrap();
        let mut parameters = rcgen::CertificateParams::new(["a.example".to_owned(), "192.0.2.7".to_owned()]).unwrap();
        parameters.subject_alt_names.push(rcgen::SanType::Rfc822Name(text("ada@example.com")));
        parameters.subject_alt_names.push(rcgen::SanType::URI(text("spiffe://example.com/a,b")));
        parameters.subject_alt_names.push(rcgen::SanType::DnsName(text("b.example")));
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "ada");
        parameters.serial_number = Some(rcgen::SerialNumber::from_slice(&[0xca, 0x0e]));
        let made = parameters.self_signed(&key).unwrap();
        let fields = read(made.der()).unwrap();
        assert_eq!((fields.subject(), fields.issuer()), (Some("CN=ada".to_owned()), Some("CN=ada".to_owned())));
        assert_eq!(fields.number(), "ca0e");
        assert_eq!(fields.alternatives(Alternative::Dns).unwrap(), ["a.example", "b.example"]);
        assert_eq!(fields.alternatives(Alternative::Email).unwrap(), ["ada@example.com"]);
        assert_eq!(fields.alternatives(Alternative::Uri).unwrap(), ["spiffe://example.com/a,b"]);
        let none = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
        assert_eq!(read(none.der()).unwrap().alternatives(Alternative::Dns), Some(Vec::new()));
        // FIPS 180-2, appendix B.1
        assert_eq!(fingerprint(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
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
            let Some(fields) = read(&damaged) else { return Ok(()) };
            let _ = (fields.authority_key(), fields.subject(), fields.issuer(), fields.alternatives(Alternative::Dns));
        }
    }
}
