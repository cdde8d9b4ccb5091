//! What is said about an app's certificate: why it was not believed, and the verifier that believes any.
//!
//! The operator reads these words in the log, so each names the certificate's fault and the key that answers it.
//! Called by `proxy::upstream::tls` and `proxy::upstream::dial`.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

/// Why a certificate was not believed, when that is why a handshake failed.
pub(in super::super) fn words(error: &Error) -> Option<String> {
    let Error::InvalidCertificate(fault) = error else { return None };
    let words = match fault {
        CertificateError::UnknownIssuer => {
            "no authority that is trusted signed it: write the file of its authority's certificate as ca in [route.tls]"
                .to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("{fault}: write one of its names as server_name in [route.tls], if that is the app")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("{fault}: renew it, or set this machine's clock")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("{fault}: set this machine's clock, or wait")
        }
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "it is an authority's own certificate (CA:TRUE), which no server may show: make one for the app".to_owned()
        }
        fault => fault.to_string(),
    };
    Some(words)
}

/// Believes any certificate; the handshake itself still has to be signed with its key.
#[derive(Debug)]
pub(super) struct Anybody(Arc<CryptoProvider>);

impl Anybody {
    pub(super) fn new(provider: &Arc<CryptoProvider>) -> Self {
        Self(Arc::clone(provider))
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
