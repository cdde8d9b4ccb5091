//! What apps are told about the certificate that a client has shown.
//!
//! It was verified in the handshake, and what it says is its authority's word. Values follow the rules of identity
//! headers (`inject`); names keep the escapes of RFC 4514, so that nobody's common name reads as another part. Made
//! with the [`super::inject::Injector`], called by `proxy` once for each connection.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderName;

use super::inject::{finish, join};
use crate::http::ClientCertificate;
use crate::http::lines::Lines;
use crate::x509::{self, Alternative};

/// What of a certificate a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Whose it is (RFC 4514).
    Subject,
    /// Who signed it (RFC 4514).
    Issuer,
    /// Its number, in hexadecimal digits.
    Serial,
    /// The SHA-256 of it all, in hexadecimal digits.
    Fingerprint,
    /// Alternative names of one kind.
    Alternatives(Alternative),
    /// All of it, as `Client-Cert` has it (RFC 9440 section 2.2).
    Whole,
}

impl Part {
    fn read(self, der: &[u8], fields: &x509::Fields<'_>) -> Option<String> {
        match self {
            Self::Subject => fields.subject().map(|name| finish(&name)),
            Self::Issuer => fields.issuer().map(|name| finish(&name)),
            Self::Serial => Some(fields.number()),
            Self::Fingerprint => Some(x509::fingerprint(der)),
            Self::Alternatives(kind) => fields.alternatives(kind).map(join),
            Self::Whole => Some(format!(":{}:", STANDARD.encode(der))),
        }
    }
}

/// Which headers tell what.
#[derive(Clone, Debug)]
pub struct Introducer {
    names: Arc<[HeaderName]>,
    parts: Arc<[Part]>,
}

impl Introducer {
    pub(super) fn new(told: Vec<(HeaderName, Part)>) -> Self {
        let (names, parts): (Vec<_>, Vec<_>) = told.into_iter().unzip();
        Self { names: names.into(), parts: parts.into() }
    }

    /// What is told about a client's certificate; nothing of who has none.
    pub fn introduce<'a>(&self, certificate: Option<&'a ClientCertificate>) -> Option<&'a Lines> {
        if self.names.is_empty() { None } else { Some(certificate?.told(|der| self.render(der))) }
    }

    fn render(&self, der: &[u8]) -> Lines {
        let fields = x509::read(der);
        let render = |(name, part): (&HeaderName, &Part)| {
            let value = fields.as_ref().and_then(|fields| part.read(der, fields));
            match value {
                // Many certificates have no alternative names, and those that do may have no subject.
                Some(value) if value.is_empty() => None,
                Some(value) if value.len() <= super::inject::MAX_VALUE => Some(value),
                Some(value) => {
                    let length = value.len();
                    tracing::warn!(header = %name, length, "a header about a client's certificate is left out: too long");
                    None
                }
                None => {
                    tracing::warn!(header = %name, "a header about a client's certificate is left out: it cannot be read");
                    None
                }
            }
        };
        let texts: Vec<Option<String>> = self.names.iter().zip(&*self.parts).map(render).collect();
        Lines::new(Arc::clone(&self.names), &texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(&str, Part); 8] = [
        ("x-subject", Part::Subject),
        ("x-issuer", Part::Issuer),
        ("x-serial", Part::Serial),
        ("x-fingerprint", Part::Fingerprint),
        ("x-dns", Part::Alternatives(Alternative::Dns)),
        ("x-email", Part::Alternatives(Alternative::Email)),
        ("x-uri", Part::Alternatives(Alternative::Uri)),
        ("client-cert", Part::Whole),
    ];

    fn told(der: &[u8]) -> Vec<(String, String)> {
        let introducer = Introducer::new(ALL.map(|(name, part)| (HeaderName::from_static(name), part)).to_vec());
        let certificate = ClientCertificate::verified(der);
        let text = introducer.introduce(Some(&certificate)).unwrap().text().to_vec();
        let text = String::from_utf8(text).unwrap();
        let line = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap();
        text.split_terminator("\r\n").map(line).collect()
    }

    fn made(change: impl FnOnce(&mut rcgen::CertificateParams)) -> Vec<u8> {
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.serial_number = Some(rcgen::SerialNumber::from_slice(&[0x9a]));
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        change(&mut parameters);
        parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn uri(text: &str) -> rcgen::SanType {
        rcgen::SanType::URI(text.try_into().unwrap())
    }

    #[test]
    fn a_certificate_is_told_in_every_part_that_it_has() {
        let der = made(|wishes| {
            wishes.distinguished_name.push(rcgen::DnType::CommonName, "Zoë\r\nx-evil: 1, 100%");
            wishes.subject_alt_names.extend([uri("spiffe://a,b"), uri("spiffe://c%2C")]);
        });
        let name = "CN=Zo%C3%AB%0D%0Ax-evil: 1\\, 100%25";
        let expected = [
            ("x-subject", name),
            ("x-issuer", name),
            ("x-serial", "9a"),
            ("x-fingerprint", &x509::fingerprint(&der)),
            ("x-uri", "spiffe://a%2Cb,spiffe://c%252C"),
            ("client-cert", &format!(":{}:", STANDARD.encode(&der))),
        ];
        assert_eq!(told(&der), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_is_empty_too_long_or_unreadable_is_left_out() {
        let names = |told: Vec<(String, String)>| told.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let bare = made(|_| ());
        assert_eq!(names(told(&bare)), ["x-serial", "x-fingerprint", "client-cert"]);
        let large = made(|wishes| wishes.subject_alt_names.push(uri(&format!("spiffe://{}", "a".repeat(5000)))));
        assert_eq!(names(told(&large)), ["x-serial", "x-fingerprint"]);
        assert_eq!(told(b"no certificate"), []);
    }

    #[test]
    fn who_has_none_is_told_nothing_about_and_nobody_asks_in_vain() {
        let introducer = Introducer::new(vec![(HeaderName::from_static("x-subject"), Part::Subject)]);
        assert!(introducer.introduce(None).is_none());
        let certificate = ClientCertificate::verified(&made(|_| ()));
        assert!(Introducer::new(Vec::new()).introduce(Some(&certificate)).is_none());
    }
}
