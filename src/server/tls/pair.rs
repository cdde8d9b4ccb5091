//! One certificate with its chain and its private key, from two files.
//!
//! Whom it was made for is asked of webpki, the verifier that rustls uses itself: its list of names chooses
//! between certificates, its own comparison (RFC 9525) judges. Called by `server::tls`, `config` and `cli check`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use super::problem::Problem;
use crate::x509::{self, Validity};

/// Where a certificate and its key lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// PEM: our certificate, then the intermediate ones.
    pub certificate: PathBuf,
    /// PEM: the certificate's private key, not encrypted.
    pub private_key: PathBuf,
}

/// A certificate that can be shown, because its key is at hand.
#[derive(Debug)]
pub struct Pair {
    pub(super) key: Arc<CertifiedKey>,
    names: Vec<String>,
    chain: Vec<Validity>,
}

impl Files {
    /// Reads both files and checks that they belong together.
    ///
    /// # Errors
    /// [`Problem`], which names the file and what is wrong with it.
    pub fn load(&self) -> Result<Pair, Problem> {
        let chain = certificates(&self.certificate)?;
        let unreadable = || Problem::UnreadableCertificate { file: self.certificate.clone() };
        let dates = chain.iter().map(|one| x509::read(one).map(|fields| fields.validity));
        let dates: Vec<_> = dates.collect::<Option<_>>().ok_or_else(unreadable)?;
        let ours = chain.first().and_then(|first| webpki::EndEntityCert::try_from(first).ok());
        let names = ours.ok_or_else(unreadable)?.valid_dns_names().map(str::to_ascii_lowercase).collect();
        let key = CertifiedKey::from_der(chain, self.key()?, &aws_lc_rs::default_provider());
        let key = key.map_err(|cause| match cause {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                Problem::Mismatch { certificate: self.certificate.clone(), private_key: self.private_key.clone() }
            }
            cause => Problem::Refused { file: self.certificate.clone(), cause },
        })?;
        Ok(Pair { key: Arc::new(key), names, chain: dates })
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, Problem> {
        let mut pem = read(&self.private_key)?;
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| match error {
            pem::Error::NoItemsFound => Problem::NoKey { file: self.private_key.clone() },
            // Its words could quote a line of the file, which may be the key.
            _ => Problem::NotPem { file: self.private_key.clone() },
        });
        zeroize::Zeroize::zeroize(&mut pem);
        key
    }
}

impl Pair {
    /// The host names that our certificate was made for, lower case, `*.example.com` as written; addresses are not
    /// among them, because nobody asks for them by name.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether it was made for `host`, a name or an address (RFC 9525).
    pub fn covers(&self, host: &str) -> bool {
        let Some(certificate) = self.key.cert.first() else { return false };
        let Ok(parsed) = ParsedCertificate::try_from(certificate) else { return false };
        ServerName::try_from(host).is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
    }

    /// When our certificate is valid, and then the rest of its chain.
    pub fn chain(&self) -> &[Validity] {
        &self.chain
    }

    /// When our certificate is valid.
    pub fn validity(&self) -> Option<Validity> {
        self.chain.first().copied()
    }

    /// Whether the same certificates are shown; one certificate has one key.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert
    }
}

/// The certificates of a PEM file; at least one.
pub(super) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let pem = read(file)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|_| Problem::NotPem { file: file.to_owned() })?;
    if certificates.is_empty() {
        return Err(Problem::NoCertificate { file: file.to_owned() });
    }
    Ok(certificates)
}

pub(super) fn read(file: &Path) -> Result<Vec<u8>, Problem> {
    std::fs::read(file).map_err(|cause| Problem::Unreadable { file: file.to_owned(), cause })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{made_for, write};
    use super::*;

    #[test]
    fn another_certificates_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let problem = write(folder.path(), "a", &made_for(&["a"]).0, &made_for(&["a"]).1).load().unwrap_err();
        assert!(matches!(problem, Problem::Mismatch { .. }), "{problem}");
        assert!(problem.to_string().contains("a.key") && problem.to_string().contains("a.crt"));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = write(folder.path(), "a", &made_for(&["a"]).0, &made_for(&["a"]).1);
        files.certificate = folder.path().join("gone.pem");
        let problem = files.load().unwrap_err();
        assert!(matches!(problem, Problem::Unreadable { .. }) && problem.to_string().contains("gone.pem"), "{problem}");
    }

    #[test]
    fn swapped_and_empty_files_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = made_for(&["localhost"]);
        let load = |certificate: &str, key: &str| write(folder.path(), "a", certificate, key).load().unwrap_err();
        let swapped = load(&key, &certificate);
        assert!(matches!(swapped, Problem::NoCertificate { .. }), "{swapped}");
        let keyless = load(&certificate, &certificate);
        assert!(matches!(keyless, Problem::NoKey { .. }), "{keyless}");
        let encrypted = load(&certificate, &key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"));
        assert!(encrypted.to_string().contains("decrypt it first"), "{encrypted}");
        let broken = load(&certificate, &key.replace("-----END", ""));
        assert!(matches!(broken, Problem::NotPem { .. }), "{broken}");
        let nonsense = load("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", &key);
        assert!(matches!(nonsense, Problem::UnreadableCertificate { .. }), "{nonsense}");
    }

    #[test]
    fn a_certificate_tells_its_names_and_dates() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = made_for(&["Wiki.example.com", "*.Apps.example.com", "192.0.2.7"]);
        let pair = write(folder.path(), "a", &certificate, &key).load().unwrap();
        assert_eq!(pair.names(), ["wiki.example.com", "*.apps.example.com"]);
        let validity = pair.validity().unwrap();
        assert!(validity.not_before < validity.not_after && pair.chain() == [validity]);
        for (host, covered) in [
            ("wiki.example.com", true),
            ("WIKI.example.com", true),
            ("ci.apps.example.com", true),
            ("a.b.apps.example.com", false),
            ("apps.example.com", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("", false),
        ] {
            assert_eq!(pair.covers(host), covered, "{host}");
        }
    }
}
