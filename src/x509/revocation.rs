//! What a revocation list says of itself: whose it is, and until when it holds (RFC 5280 section 5.1).
//!
//! Which certificates it names, and whether it was signed by whom it says, is webpki's to judge in each handshake.
//! Called by `server::tls::revocation`.

use super::der::{INTEGER, SEQUENCE, moment, take};
use super::name;
use crate::clock::Timestamp;

/// The fields of a revocation list that somebody here needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List<'a> {
    /// The contents of the name of whose it is.
    pub issuer: &'a [u8],
    /// When the next one is due, and this one is no longer believed.
    pub next_update: Timestamp,
}

/// The fields of a list in DER, or `None` when it is not one, or never ends.
pub fn read(list: &[u8]) -> Option<List<'_>> {
    let (list, rest) = take(list, SEQUENCE)?;
    let (body, _) = take(list, SEQUENCE)?;
    let body = take(body, INTEGER).map_or(body, |(_, rest)| rest);
    let (_algorithm, body) = take(body, SEQUENCE)?;
    let (issuer, body) = take(body, SEQUENCE)?;
    let (_this_update, body) = moment(body)?;
    let (next_update, _) = moment(body)?;
    rest.is_empty().then_some(List { issuer, next_update })
}

/// The contents of a `Name` as text (RFC 4514).
pub fn written(name: &[u8]) -> Option<String> {
    name::write(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> (rcgen::Certificate, Vec<u8>) {
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "devices");
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let list = rcgen::CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2026, 1, 1),
            next_update: rcgen::date_time_ymd(2026, 2, 1),
            crl_number: rcgen::SerialNumber::from_slice(&[1]),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&rcgen::Issuer::new(parameters, key)).unwrap();
        (certificate, list.der().to_vec())
    }

    #[test]
    fn a_list_tells_whose_it_is_and_until_when() {
        let (certificate, der) = made();
        let list = read(&der).unwrap();
        let end = rcgen::date_time_ymd(2026, 2, 1).unix_timestamp();
        assert_eq!(list.next_update, Timestamp(u64::try_from(end).unwrap()));
        assert_eq!(list.issuer, super::super::read(certificate.der()).unwrap().subject);
        assert!(written(list.issuer).unwrap().starts_with("CN=devices"));
        assert_eq!(read(certificate.der()), None);
        for length in 0..der.len() {
            assert_eq!(read(&der[..length]), None, "{length}");
        }
        assert_eq!(read(&[&der[..], &der[..]].concat()), None);
    }
}
