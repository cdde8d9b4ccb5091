//! The identity provider's keys, each with the self-signed certificate that Salesforce would make for it.
//!
//! Subject and dates are those of salesforce.md 6.4: `SelfSignedCert_...`, the org's 15-character id as the
//! organizational unit, 2048 bits, one year, a CA. Made once for each `KeyRing`; used by `seal` and `metadata`.

use std::io;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, PKCS_RSA_SHA256};
use rustls::pki_types::PrivatePkcs8KeyDer;
use time::macros::format_description;
use time::{Duration, OffsetDateTime};

use super::app::InUse;
use crate::clock::Timestamp;
use crate::emulator::people::HOME_ORGANIZATION;
use crate::identity::xmldsig::{Certificate, SigningKey};

/// A signing key and its certificate.
pub(super) struct Pair {
    pub(super) key: SigningKey,
    pub(super) certificate: Certificate,
    pem: String,
}

impl Pair {
    fn generate(now: Timestamp) -> io::Result<Self> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(io::Error::other)?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(io::Error::other)?;
        let certificate = self_signed(der.as_ref(), now).map_err(io::Error::other)?;
        let key = SigningKey::from_pem(&pem("PRIVATE KEY", der.as_ref())).map_err(io::Error::other)?;
        let pem = pem("CERTIFICATE", &certificate);
        let certificate = Certificate::from_der(&certificate).map_err(io::Error::other)?;
        Ok(Self { key, certificate, pem })
    }
}

/// Every key that signs SAML messages at one pretend org.
pub struct SamlKeys {
    first: Pair,
    renewed: Pair,
    stranger: Pair,
}

impl SamlKeys {
    /// Fresh keys.
    ///
    /// # Errors
    /// When a key or a certificate cannot be made.
    pub fn generate(now: Timestamp) -> io::Result<Self> {
        Ok(Self { first: Pair::generate(now)?, renewed: Pair::generate(now)?, stranger: Pair::generate(now)? })
    }

    /// The pair that the org uses.
    pub(super) fn in_use(&self, which: InUse) -> &Pair {
        match which {
            InUse::First => &self.first,
            InUse::Renewed => &self.renewed,
        }
    }

    /// A pair that nobody has configured.
    pub(super) fn stranger(&self) -> &Pair {
        &self.stranger
    }

    /// The certificate, as an administrator downloads it.
    pub fn certificate(&self, which: InUse) -> &str {
        &self.in_use(which).pem
    }
}

fn self_signed(key: &[u8], now: Timestamp) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let made = OffsetDateTime::from_unix_timestamp(i64::try_from(now.0)?)?;
    let stamp = made.format(format_description!("[day][month repr:short][year]_[hour][minute][second]"))?;
    let mut wanted = CertificateParams::default();
    for (what, value) in [
        (DnType::CommonName, format!("SelfSignedCert_{stamp}").as_str()),
        (DnType::OrganizationalUnitName, HOME_ORGANIZATION.get(..15).unwrap_or_default()),
        (DnType::OrganizationName, "Salesforce.com"),
        (DnType::LocalityName, "San Francisco"),
        (DnType::StateOrProvinceName, "CA"),
        (DnType::CountryName, "USA"),
    ] {
        wanted.distinguished_name.push(what, value);
    }
    wanted.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    wanted.not_before = made;
    wanted.not_after = made + Duration::days(365);
    let key = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(key), &PKCS_RSA_SHA256)?;
    Ok(wanted.self_signed(&key)?.der().to_vec())
}

fn pem(label: &str, der: &[u8]) -> String {
    let lines: Vec<String> = der.chunks(48).map(|line| STANDARD.encode(line)).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
