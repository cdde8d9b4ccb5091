//! TLS at the door: certificate and key from files, as a configuration of rustls.
//!
//! TLS 1.2 and 1.3 by aws-lc-rs, named explicitly so that no process-wide default decides. No early data: a
//! replayed first flight would be a replayed signed-in request (RFC 8446 section 8). Called by `gateway` and by
//! `cli check`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ServerSessionMemoryCache;
use rustls::{InconsistentKeys, ServerConfig};

pub use crate::x509::Validity;

/// Sessions that can be resumed without a ticket, in entries; the default of 256 is too few for one busy minute.
const RESUMABLE_SESSIONS: usize = 20_000;

/// Where certificate and key lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// PEM: our certificate, then the intermediate ones.
    pub certificate: PathBuf,
    /// PEM: the certificate's private key, not encrypted.
    pub private_key: PathBuf,
}

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A file is not there or not ours to read.
    #[error("{} cannot be read: {cause}", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// The system's words.
        cause: io::Error,
    },
    /// A file is no PEM file.
    #[error("{} is not a PEM file: it has no readable -----BEGIN ...----- section", file.display())]
    NotPem {
        /// Which.
        file: PathBuf,
    },
    /// No certificate in the certificate file.
    #[error("{} holds no certificate (no -----BEGIN CERTIFICATE-----)", file.display())]
    NoCertificate {
        /// Which.
        file: PathBuf,
    },
    /// What stands in the certificate file is no X.509 certificate.
    #[error("the first certificate in {} cannot be read", file.display())]
    UnreadableCertificate {
        /// Which.
        file: PathBuf,
    },
    /// No usable key in the key file.
    #[error("{} holds no private key (an encrypted key cannot be used: decrypt it first)", file.display())]
    NoKey {
        /// Which.
        file: PathBuf,
    },
    /// The key is not the certificate's.
    #[error("the private key in {} does not belong to the first certificate in {}", private_key.display(), certificate.display())]
    Mismatch {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        private_key: PathBuf,
    },
    /// rustls refuses the pair.
    #[error("{} and {} cannot be used: {cause}", certificate.display(), private_key.display())]
    Refused {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        private_key: PathBuf,
        /// In the words of rustls.
        cause: rustls::Error,
    },
}

impl Settings {
    /// Reads both files and checks that they belong together.
    ///
    /// # Errors
    /// [`Problem`], which names the file and what is wrong with it.
    pub fn load(&self) -> Result<Arc<ServerConfig>, Problem> {
        let refused = |cause| Problem::Refused {
            certificate: self.certificate.clone(),
            private_key: self.private_key.clone(),
            cause,
        };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(refused)?
            .with_no_client_auth()
            .with_single_cert(self.certificates()?, self.key()?)
            .map_err(|cause| match cause {
                rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                    Problem::Mismatch { certificate: self.certificate.clone(), private_key: self.private_key.clone() }
                }
                cause => refused(cause),
            })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.session_storage = ServerSessionMemoryCache::new(RESUMABLE_SESSIONS);
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(refused)?;
        config.max_early_data_size = 0;
        config.ignore_client_order = true;
        Ok(Arc::new(config))
    }

    /// From when until when our certificate (the first in the file) is valid.
    ///
    /// # Errors
    /// [`Problem`], when it cannot be read.
    pub fn validity(&self) -> Result<Validity, Problem> {
        let certificates = self.certificates()?;
        let ours =
            certificates.first().and_then(|certificate| crate::x509::read(certificate)).map(|fields| fields.validity);
        ours.ok_or_else(|| Problem::UnreadableCertificate { file: self.certificate.clone() })
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Problem> {
        let pem = read(&self.certificate)?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let certificates = certificates.map_err(|_| Problem::NotPem { file: self.certificate.clone() })?;
        if certificates.is_empty() {
            return Err(Problem::NoCertificate { file: self.certificate.clone() });
        }
        Ok(certificates)
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

fn read(file: &Path) -> Result<Vec<u8>, Problem> {
    std::fs::read(file).map_err(|cause| Problem::Unreadable { file: file.to_owned(), cause })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(folder: &Path, certificate: &str, key: &str) -> Settings {
        let settings = Settings { certificate: folder.join("crt.pem"), private_key: folder.join("key.pem") };
        std::fs::write(&settings.certificate, certificate).unwrap();
        std::fs::write(&settings.private_key, key).unwrap();
        settings
    }

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn another_certificates_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let problem = settings(folder.path(), &pair().0, &pair().1).load().unwrap_err();
        assert!(matches!(problem, Problem::Mismatch { .. }), "{problem}");
        assert!(problem.to_string().contains("key.pem") && problem.to_string().contains("crt.pem"));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(folder.path(), &pair().0, &pair().1);
        settings.certificate = folder.path().join("gone.pem");
        let problem = settings.load().unwrap_err();
        assert!(matches!(problem, Problem::Unreadable { .. }) && problem.to_string().contains("gone.pem"), "{problem}");
    }

    #[test]
    fn swapped_and_empty_files_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = pair();
        let swapped = settings(folder.path(), &key, &certificate).load().unwrap_err();
        assert!(matches!(swapped, Problem::NoCertificate { .. }), "{swapped}");
        let keyless = settings(folder.path(), &certificate, &certificate).load().unwrap_err();
        assert!(matches!(keyless, Problem::NoKey { .. }), "{keyless}");
        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let encrypted = settings(folder.path(), &certificate, &encrypted).load().unwrap_err();
        assert!(encrypted.to_string().contains("decrypt it first"), "{encrypted}");
        let broken = settings(folder.path(), &certificate, &key.replace("-----END", "")).load().unwrap_err();
        assert!(matches!(broken, Problem::NotPem { .. }), "{broken}");
    }

    #[test]
    fn the_certificates_dates_can_be_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = pair();
        let validity = settings(folder.path(), &certificate, &key).validity().unwrap();
        assert!(validity.not_before < validity.not_after);
        let nonsense = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        let problem = settings(folder.path(), nonsense, &key).validity().unwrap_err();
        assert!(matches!(problem, Problem::UnreadableCertificate { .. }), "{problem}");
    }

    #[test]
    fn no_request_is_ever_taken_from_early_data() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = pair();
        let config = settings(folder.path(), &certificate, &key).load().unwrap();
        assert_eq!(config.max_early_data_size, 0);
        assert!(config.ticketer.enabled());
    }
}
