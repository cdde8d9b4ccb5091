//! The keys that the operator configured: certificates to believe, and our own key to sign and to decrypt with.
//!
//! A certificate counts for its key alone, as SAML metadata means it: nobody issued it, its dates bind nobody, and a
//! message that brings its own is not asked about it. The dates are kept for `check --live`, since an expiring
//! certificate at Salesforce is one about to be exchanged. Called by `config`, `saml` and the emulator.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, OaepPrivateDecryptingKey, PrivateDecryptingKey, PublicEncryptingKey};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::x509::der::{OBJECT_IDENTIFIER, SEQUENCE, take};
use crate::x509::{self, Validity};

/// Why a certificate cannot be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCertificate {
    /// There is none in the text.
    #[error("there is no certificate (no -----BEGIN CERTIFICATE-----)")]
    None,
    /// It is no X.509 certificate.
    #[error("it is no certificate that can be read")]
    Unreadable,
    /// Its key is neither RSA nor on P-256 or P-384.
    #[error("its key is neither RSA nor ECDSA on P-256 or P-384")]
    Kind,
    /// Its RSA key is too short, or absurdly long.
    #[error("its RSA key does not have between 2048 and 8192 bits")]
    Size,
}

/// Why a private key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no RSA key of 2048 to 8192 bits in PEM (an encrypted one cannot be used)")]
pub struct BadKey;

/// What kind of key a certificate carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    Rsa,
    P256,
    P384,
}

/// A certificate whose key is believed.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    public_key: Vec<u8>,
    kind: KeyKind,
    validity: Validity,
}

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const ELLIPTIC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];

fn kind_of(public_key: &[u8]) -> Option<KeyKind> {
    let (body, _) = take(public_key, SEQUENCE)?;
    let (algorithm, _) = take(body, SEQUENCE)?;
    let (family, parameters) = take(algorithm, OBJECT_IDENTIFIER)?;
    let curve = || take(parameters, OBJECT_IDENTIFIER).map(|(curve, _)| curve);
    match family {
        RSA => Some(KeyKind::Rsa),
        ELLIPTIC if curve()? == P256 => Some(KeyKind::P256),
        ELLIPTIC if curve()? == P384 => Some(KeyKind::P384),
        _ => None,
    }
}

impl Certificate {
    /// All certificates of a PEM text, in their order.
    ///
    /// # Errors
    /// [`BadCertificate`], for the first that cannot be believed, or when there is none.
    pub fn from_pem(text: &str) -> Result<Vec<Self>, BadCertificate> {
        let mut found = Vec::new();
        for der in CertificateDer::pem_slice_iter(text.as_bytes()) {
            found.push(Self::from_der(&der.map_err(|_| BadCertificate::Unreadable)?)?);
        }
        if found.is_empty() { Err(BadCertificate::None) } else { Ok(found) }
    }

    /// A certificate in DER.
    ///
    /// # Errors
    /// [`BadCertificate`], when it cannot be believed.
    pub fn from_der(der: &[u8]) -> Result<Self, BadCertificate> {
        let fields = x509::read(der).ok_or(BadCertificate::Unreadable)?;
        let kind = kind_of(fields.public_key).ok_or(BadCertificate::Kind)?;
        if kind == KeyKind::Rsa {
            PublicEncryptingKey::from_der(fields.public_key).map_err(|_| BadCertificate::Size)?;
        }
        Ok(Self { der: der.to_vec(), public_key: fields.public_key.to_vec(), kind, validity: fields.validity })
    }

    /// From when until when its owner means it to be used.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// In DER, for metadata.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// `SubjectPublicKeyInfo` in DER.
    pub(super) fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    pub(super) fn kind(&self) -> KeyKind {
        self.kind
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("kind", &self.kind)
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

/// An RSA key from PEM, PKCS#8 or PKCS#1.
fn rsa_from_pem(text: &str) -> Result<KeyPair, BadKey> {
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| BadKey)?;
    let pair = match key {
        PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()),
        _ => return Err(BadKey),
    };
    pair.map_err(|_| BadKey)
}

/// Our key for signing.
pub struct SigningKey(KeyPair);

impl SigningKey {
    /// An RSA key in PEM.
    ///
    /// # Errors
    /// [`BadKey`], when it is none.
    pub fn from_pem(text: &str) -> Result<Self, BadKey> {
        rsa_from_pem(text).map(Self)
    }

    /// Whether a certificate was made for this key.
    pub fn belongs_to(&self, certificate: &Certificate) -> bool {
        // The certificate has the key inside an envelope that ends with it.
        certificate.kind == KeyKind::Rsa && certificate.public_key.ends_with(self.0.public_key().as_ref())
    }

    /// RSA PKCS#1 with SHA-256.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).ok()?;
        Some(signature)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

/// Our key for assertions that were encrypted to us.
pub struct DecryptionKey(OaepPrivateDecryptingKey);

impl DecryptionKey {
    /// An RSA key in PEM.
    ///
    /// # Errors
    /// [`BadKey`], when it is none.
    pub fn from_pem(text: &str) -> Result<Self, BadKey> {
        let pair = rsa_from_pem(text)?;
        let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).map_err(|_| BadKey)?;
        let key = PrivateDecryptingKey::from_pkcs8(der.as_ref()).map_err(|_| BadKey)?;
        OaepPrivateDecryptingKey::new(key).map(Self).map_err(|_| BadKey)
    }

    pub(super) fn oaep(&self) -> &OaepPrivateDecryptingKey {
        &self.0
    }
}

impl fmt::Debug for DecryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DecryptionKey")
    }
}
