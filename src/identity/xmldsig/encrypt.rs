//! Encrypts an assertion to a certificate, as an identity provider does.
//!
//! The gateway never encrypts; the emulator does, and so do the tests of `decrypt`.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, AES_256, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey};

use super::key::Certificate;
use super::prescan::Kind;
use super::tree::{elements, is, parse};
use super::{ASSERTION, DSIG, XENC, base64};
use crate::secret::random;

/// What the assertion is encrypted with; the key itself always by RSA-OAEP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    /// AES-128 in GCM.
    Aes128Gcm,
    /// AES-256 in GCM.
    Aes256Gcm,
    /// AES-128 in CBC.
    Aes128Cbc,
    /// AES-256 in CBC.
    Aes256Cbc,
}

impl Cipher {
    fn address(self) -> &'static str {
        match self {
            Self::Aes128Gcm => "http://www.w3.org/2009/xmlenc11#aes128-gcm",
            Self::Aes256Gcm => "http://www.w3.org/2009/xmlenc11#aes256-gcm",
            Self::Aes128Cbc => "http://www.w3.org/2001/04/xmlenc#aes128-cbc",
            Self::Aes256Cbc => "http://www.w3.org/2001/04/xmlenc#aes256-cbc",
        }
    }

    /// A fresh key, and the text encrypted with it.
    fn seal(self, text: &str) -> Option<(Vec<u8>, Vec<u8>)> {
        let whole: [u8; 32] = random().ok()?;
        match self {
            Self::Aes128Gcm => gcm(&AES_128_GCM, &whole[..16], text),
            Self::Aes256Gcm => gcm(&AES_256_GCM, &whole, text),
            Self::Aes128Cbc => cbc(&AES_128, &whole[..16], text),
            Self::Aes256Cbc => cbc(&AES_256, &whole, text),
        }
    }
}

fn gcm(algorithm: &'static Algorithm, key: &[u8], text: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let sealing = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
    let nonce: [u8; NONCE_LEN] = random().ok()?;
    let mut sealed = text.as_bytes().to_vec();
    let tag = Nonce::assume_unique_for_key(nonce);
    sealing.seal_in_place_append_tag(tag, Aad::empty(), &mut sealed).ok()?;
    Some((key.to_vec(), [&nonce[..], &sealed].concat()))
}

fn cbc(algorithm: &'static aws_lc_rs::cipher::Algorithm, key: &[u8], text: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let sealing = PaddedBlockEncryptingKey::cbc_pkcs7(UnboundCipherKey::new(algorithm, key).ok()?).ok()?;
    let mut sealed = text.as_bytes().to_vec();
    let context = sealing.encrypt(&mut sealed).ok()?;
    let vector: &[u8] = (&context).try_into().ok()?;
    Some((key.to_vec(), [vector, &sealed].concat()))
}

/// The response, its assertion encrypted; `None` when it has not exactly one, or nothing can be encrypted.
///
/// The assertion's text is kept as it stands: whoever decrypts must know the prefixes declared around it.
pub fn encrypt_assertion(response: &str, recipient: &Certificate, cipher: Cipher) -> Option<String> {
    let tree = parse(response, Kind::Message).ok()?;
    let mut assertions = elements(tree.root_element()).filter(|child| is(*child, ASSERTION, "Assertion"));
    let (Some(assertion), None) = (assertions.next(), assertions.next()) else { return None };
    let (key, data) = cipher.seal(&response[assertion.range()])?;
    let public = OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(recipient.public_key()).ok()?).ok()?;
    let mut sealed = vec![0; public.ciphertext_size()];
    let sealed = public.encrypt(&OAEP_SHA1_MGF1SHA1, &key, &mut sealed, None).ok()?;
    let encrypted = format!(
        "<saml:EncryptedAssertion xmlns:saml=\"{ASSERTION}\">\
         <xenc:EncryptedData xmlns:xenc=\"{XENC}\" Type=\"{XENC}Element\">\
         <xenc:EncryptionMethod Algorithm=\"{}\"/><ds:KeyInfo xmlns:ds=\"{DSIG}\"><xenc:EncryptedKey>\
         <xenc:EncryptionMethod Algorithm=\"{XENC}rsa-oaep-mgf1p\"><ds:DigestMethod Algorithm=\"{DSIG}sha1\"/>\
         </xenc:EncryptionMethod><xenc:CipherData><xenc:CipherValue>{}</xenc:CipherValue></xenc:CipherData>\
         </xenc:EncryptedKey></ds:KeyInfo><xenc:CipherData><xenc:CipherValue>{}</xenc:CipherValue></xenc:CipherData>\
         </xenc:EncryptedData></saml:EncryptedAssertion>",
        cipher.address(),
        base64::encode(sealed),
        base64::encode(&data),
    );
    let range = assertion.range();
    Some(format!("{}{encrypted}{}", &response[..range.start], &response[range.end..]))
}
