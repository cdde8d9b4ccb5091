//! The algorithms that a signature may name: a closed list, each with the one kind of key that it goes with.
//!
//! An algorithm is picked by its address in the message, but whether it fits is decided by the configured key: an
//! HMAC, whose key would be the public certificate, has no place in the list at all. Called by `verify`, `sign` and
//! `saml` (for the Redirect binding).

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, SHA512};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    UnparsedPublicKey, VerificationAlgorithm,
};

use super::BadSignature;
use super::key::{Certificate, KeyKind};

/// Whether SHA-1, for which collisions can be bought, is believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sha1 {
    /// It is not.
    #[default]
    Refused,
    /// It is, because the operator wrote a key named `dangerous_...`.
    DangerouslyBelieved,
}

/// How a signature was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    RsaSha1,
    RsaSha256,
    RsaSha384,
    RsaSha512,
    RsaPssSha256,
    EcdsaSha256,
    EcdsaSha384,
}

/// The algorithm of an address, such as `SignatureMethod` or `SigAlg` has.
pub(crate) fn algorithm_of_signature(address: &str, sha1: Sha1) -> Result<Algorithm, BadSignature> {
    match address {
        "http://www.w3.org/2000/09/xmldsig#rsa-sha1" => match sha1 {
            Sha1::Refused => Err(BadSignature::Sha1),
            Sha1::DangerouslyBelieved => Ok(Algorithm::RsaSha1),
        },
        Algorithm::RSA_SHA256 => Ok(Algorithm::RsaSha256),
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384" => Ok(Algorithm::RsaSha384),
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512" => Ok(Algorithm::RsaSha512),
        "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1" => Ok(Algorithm::RsaPssSha256),
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256" => Ok(Algorithm::EcdsaSha256),
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384" => Ok(Algorithm::EcdsaSha384),
        "http://www.w3.org/2000/09/xmldsig#dsa-sha1" | "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha1" => {
            Err(BadSignature::Sha1)
        }
        _ => Err(BadSignature::Algorithm),
    }
}

impl Algorithm {
    /// The address of the algorithm that we sign with.
    pub(crate) const RSA_SHA256: &'static str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";

    fn goes_with(self, kind: KeyKind) -> bool {
        match self {
            Self::EcdsaSha256 => kind == KeyKind::P256,
            Self::EcdsaSha384 => kind == KeyKind::P384,
            _ => kind == KeyKind::Rsa,
        }
    }

    fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::RsaSha1 => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            Self::RsaSha256 => &RSA_PKCS1_2048_8192_SHA256,
            Self::RsaSha384 => &RSA_PKCS1_2048_8192_SHA384,
            Self::RsaSha512 => &RSA_PKCS1_2048_8192_SHA512,
            Self::RsaPssSha256 => &RSA_PSS_2048_8192_SHA256,
            Self::EcdsaSha256 => &ECDSA_P256_SHA256_FIXED,
            Self::EcdsaSha384 => &ECDSA_P384_SHA384_FIXED,
        }
    }

    /// Whether one of the certificates' keys made this signature over this message.
    pub(crate) fn verify(self, certificates: &[Certificate], message: &[u8], signature: &[u8]) -> bool {
        certificates.iter().filter(|certificate| self.goes_with(certificate.kind())).any(|certificate| {
            UnparsedPublicKey::new(self.verification(), certificate.public_key()).verify(message, signature).is_ok()
        })
    }
}

/// The digest of `message` by the algorithm of an address.
pub(super) fn digest(address: &str, sha1: Sha1, message: &[u8]) -> Result<Vec<u8>, BadSignature> {
    let algorithm = match address {
        "http://www.w3.org/2000/09/xmldsig#sha1" => match sha1 {
            Sha1::Refused => return Err(BadSignature::Sha1),
            Sha1::DangerouslyBelieved => &SHA1_FOR_LEGACY_USE_ONLY,
        },
        DIGEST_SHA256 => &SHA256,
        "http://www.w3.org/2001/04/xmldsig-more#sha384" => &SHA384,
        "http://www.w3.org/2001/04/xmlenc#sha512" => &SHA512,
        _ => return Err(BadSignature::Algorithm),
    };
    let mut context = Context::new(algorithm);
    context.update(message);
    Ok(context.finish().as_ref().to_vec())
}

/// The address of the digest that we sign with.
pub(super) const DIGEST_SHA256: &str = "http://www.w3.org/2001/04/xmlenc#sha256";
