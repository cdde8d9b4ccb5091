//! The dates and names of the certificate that the gateway will show.
//!
//! Read by asking rustls' own verifier at the beginning and at the end of time and taking the dates out of its
//! refusals: one parser of certificates less, and the one that browsers' kind of checks come from. Called by
//! `cli::check::live`.

use std::path::Path;
use std::time::Duration;

use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};

use crate::clock::Timestamp;

/// Later than any certificate ends: the year 9999 is the last that one can name.
const END_OF_TIME: u64 = 300_000_000_000;

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dates {
    pub(super) begins: Timestamp,
    pub(super) ends: Timestamp,
}

/// Why a certificate could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    /// No readable PEM.
    #[error("the certificate cannot be read: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// No readable X.509.
    #[error("the certificate cannot be read: {0}")]
    Certificate(#[from] Error),
    /// The verifier said nothing of its dates.
    #[error("the certificate's dates cannot be read")]
    Dates,
}

/// The certificates of a PEM file, ours first.
pub(super) fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    Ok(CertificateDer::pem_file_iter(file)?.collect::<Result<_, _>>()?)
}

/// When `certificate` is valid.
pub(super) fn dates(certificate: &CertificateDer<'_>) -> Result<Dates, Problem> {
    let parsed = ParsedCertificate::try_from(certificate)?;
    let at = |seconds| {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        verify_server_cert_signed_by_trust_anchor(&parsed, &RootCertStore::empty(), &[], now, algorithms.all)
    };
    match (at(0), at(END_OF_TIME)) {
        (
            // A certificate from before 1970 begins with the epoch, which is soon enough.
            Err(Error::InvalidCertificate(early)),
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })),
        ) => {
            let begins = match early {
                CertificateError::NotValidYetContext { not_before, .. } => Timestamp(not_before.as_secs()),
                _ => Timestamp(0),
            };
            Ok(Dates { begins, ends: Timestamp(not_after.as_secs()) })
        }
        _ => Err(Problem::Dates),
    }
}

/// Whether `certificate` was made for `host` (RFC 9525).
pub(super) fn covers(certificate: &CertificateDer<'_>, host: &str) -> bool {
    let Ok(parsed) = ParsedCertificate::try_from(certificate) else { return false };
    let Ok(name) = ServerName::try_from(host) else { return false };
    verify_server_name(&parsed, &name).is_ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A self-signed certificate for `host` between two dates.
    pub(in crate::cli::check) fn certificate(
        host: &str,
        begins: (i32, u8, u8),
        ends: (i32, u8, u8),
    ) -> (String, String) {
        let mut parameters = rcgen::CertificateParams::new([host.to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(begins.0, begins.1, begins.2);
        parameters.not_after = rcgen::date_time_ymd(ends.0, ends.1, ends.2);
        let key = rcgen::KeyPair::generate().unwrap();
        (parameters.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn dates_are_those_that_the_certificate_was_made_with() {
        let (pem, _) = certificate("wiki.example.com", (2020, 1, 1), (2030, 1, 1));
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let expected = Dates { begins: Timestamp(1_577_836_800), ends: Timestamp(1_893_456_000) };
        assert_eq!(dates(&certificate).unwrap(), expected);
    }

    #[test]
    fn an_authoritys_certificate_has_dates_too() {
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        parameters.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let authority = parameters.self_signed(&key).unwrap();
        assert_eq!(dates(authority.der()).unwrap().ends, Timestamp(1_893_456_000));
    }

    #[test]
    fn a_certificate_covers_the_names_that_it_was_made_for() {
        let (pem, _) = certificate("*.example.com", (2020, 1, 1), (2030, 1, 1));
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        assert!(covers(&certificate, "wiki.example.com"));
        assert!(!covers(&certificate, "wiki.example.org"));
        assert!(!covers(&certificate, "a.b.example.com"));
        assert!(!covers(&certificate, ""));
    }
}
