//! Opens an encrypted assertion (XML Encryption 1.1, SAML core section 6).
//!
//! Encryption says nothing about who wrote something, so what comes out is as trusted as where it was found, and
//! [`Opened::vouch`] is the only way to carry that trust over. All failures are one: telling a wrong key from a wrong
//! padding is how ciphertexts are read by asking (Jager and Somorovsky, 2011). For the same reason CBC, which has no
//! integrity of its own, is touched only within a verified message (SAML errata E93), and RSA 1.5 and 3DES not at
//! all. Called by `identity::saml`.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm};
use roxmltree::Document;

use super::key::DecryptionKey;
use super::prescan::Kind;
use super::tree::{self, NotXml, elements, is, only, parse};
use super::{DSIG, Node, Verified, XENC, base64};

/// It cannot be decrypted. There is no second reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the encrypted assertion cannot be decrypted")]
pub struct Undecryptable;

/// Where an encrypted element was found.
#[derive(Clone, Copy, Debug)]
pub enum Within<'a> {
    /// In something whose signature was verified.
    Verified(Verified<'a>),
    /// In something that is not signed; what comes out must be.
    Unverified(Node<'a>),
}

/// What was encrypted, as text; make a tree of it with [`Opened::parse`].
#[derive(Debug)]
pub struct Opened {
    text: String,
    vouched: bool,
}

impl Opened {
    /// The tree: one element without meaning, and in it what was encrypted.
    ///
    /// # Errors
    /// [`NotXml`], when it is none, or too much.
    pub fn parse(&self) -> Result<Document<'_>, NotXml> {
        parse(&self.text, Kind::Message)
    }

    /// `element` as verified, when it stood encrypted within something verified.
    pub fn vouch<'a>(&self, element: Node<'a>) -> Option<Verified<'a>> {
        let ours = std::ptr::eq(element.document().input_text(), self.text.as_str());
        (self.vouched && ours).then(|| Verified::decrypted(element))
    }
}

/// Opens an `EncryptedAssertion`.
///
/// # Errors
/// [`Undecryptable`], whatever was wrong.
pub fn decrypt(encrypted: Within<'_>, key: &DecryptionKey) -> Result<Opened, Undecryptable> {
    let (node, vouched) = match encrypted {
        Within::Verified(element) => (element.node(), true),
        Within::Unverified(node) => (node, false),
    };
    let message = Message::read(node).ok_or(Undecryptable)?;
    if matches!(message.cipher, Cipher::Cbc(_)) && !vouched {
        return Err(Undecryptable);
    }
    let mut buffer = vec![0; key.oaep().min_output_size()];
    let session = key.oaep().decrypt(message.transport, &message.key, &mut buffer, None);
    let plain = session.ok().and_then(|session| message.cipher.open(session, message.data));
    let plain = plain.and_then(|plain| String::from_utf8(plain).ok()).ok_or(Undecryptable)?;
    Ok(Opened { text: wrap(node, &plain), vouched })
}

/// The plaintext may use prefixes that were declared around the ciphertext.
fn wrap(node: Node<'_>, plain: &str) -> String {
    let mut text = "<w".to_owned();
    for namespace in node.namespaces().filter(|namespace| namespace.name() != Some("xml")) {
        // The nearest declaration of a prefix is the one in force.
        if node.lookup_namespace_uri(namespace.name()) != Some(namespace.uri()) {
            continue;
        }
        text.push_str(namespace.name().map_or(" xmlns", |_| " xmlns:"));
        text.push_str(namespace.name().unwrap_or_default());
        text.push_str("=\"");
        super::escape_attribute(namespace.uri(), &mut text);
        text.push('"');
    }
    text + ">" + plain + "</w>"
}

/// The two ciphertexts of an encrypted element.
struct Message {
    transport: &'static OaepAlgorithm,
    key: Vec<u8>,
    cipher: Cipher,
    data: Vec<u8>,
}

impl Message {
    fn read(node: Node<'_>) -> Option<Self> {
        let data = only(node, XENC, "EncryptedData").ok()??;
        let inside = match only(data, DSIG, "KeyInfo").ok()? {
            Some(info) => only(info, XENC, "EncryptedKey").ok()?,
            None => None,
        };
        // Some put the key beside the data and point there.
        let beside = only(node, XENC, "EncryptedKey").ok()?;
        let (Some(key), None) = (inside.or(beside), inside.and(beside)) else { return None };
        Some(Self { transport: transport(key)?, key: ciphertext(key)?, cipher: cipher(data)?, data: ciphertext(data)? })
    }
}

fn ciphertext(node: Node<'_>) -> Option<Vec<u8>> {
    let data = only(node, XENC, "CipherData").ok()??;
    let value = only(data, XENC, "CipherValue").ok()??;
    base64::decode(&tree::text(value).ok()?)
}

fn method<'a>(node: Node<'a>) -> Option<(Node<'a>, &'a str)> {
    let method = only(node, XENC, "EncryptionMethod").ok()??;
    Some((method, method.attribute("Algorithm")?))
}

fn transport(key: Node<'_>) -> Option<&'static OaepAlgorithm> {
    let (method, address) = method(key)?;
    let mut digest = None;
    let mut mask = None;
    for parameter in elements(method) {
        let slot = if is(parameter, DSIG, "DigestMethod") {
            &mut digest
        } else if parameter.tag_name().name() == "MGF" {
            &mut mask
        } else {
            return None;
        };
        if slot.replace(parameter.attribute("Algorithm")?).is_some() {
            return None;
        }
    }
    let digest = digest.unwrap_or("http://www.w3.org/2000/09/xmldsig#sha1");
    let mask = mask.unwrap_or("http://www.w3.org/2009/xmlenc11#mgf1sha1");
    match (address, digest, mask) {
        (
            "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p" | "http://www.w3.org/2009/xmlenc11#rsa-oaep",
            "http://www.w3.org/2000/09/xmldsig#sha1",
            "http://www.w3.org/2009/xmlenc11#mgf1sha1",
        ) => Some(&OAEP_SHA1_MGF1SHA1),
        (
            "http://www.w3.org/2009/xmlenc11#rsa-oaep",
            "http://www.w3.org/2001/04/xmlenc#sha256",
            "http://www.w3.org/2009/xmlenc11#mgf1sha256",
        ) => Some(&OAEP_SHA256_MGF1SHA256),
        _ => None,
    }
}

enum Cipher {
    Gcm(&'static Algorithm),
    Cbc(&'static aws_lc_rs::cipher::Algorithm),
}

fn cipher(data: Node<'_>) -> Option<Cipher> {
    match method(data)?.1 {
        "http://www.w3.org/2009/xmlenc11#aes128-gcm" => Some(Cipher::Gcm(&AES_128_GCM)),
        "http://www.w3.org/2009/xmlenc11#aes256-gcm" => Some(Cipher::Gcm(&AES_256_GCM)),
        "http://www.w3.org/2001/04/xmlenc#aes128-cbc" => Some(Cipher::Cbc(&AES_128)),
        "http://www.w3.org/2001/04/xmlenc#aes256-cbc" => Some(Cipher::Cbc(&AES_256)),
        _ => None,
    }
}

impl Cipher {
    fn open(&self, key: &[u8], mut data: Vec<u8>) -> Option<Vec<u8>> {
        match self {
            Self::Gcm(algorithm) => {
                let key = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
                let (nonce, sealed) = data.split_at_mut_checked(algorithm.nonce_len())?;
                let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
                key.open_in_place(nonce, Aad::empty(), sealed).ok().map(|plain| plain.to_vec())
            }
            Self::Cbc(algorithm) => {
                let key = DecryptingKey::cbc(UnboundCipherKey::new(algorithm, key).ok()?).ok()?;
                let (vector, sealed) = data.split_first_chunk_mut::<16>()?;
                let vector = DecryptionContext::Iv128(FixedLength::from(&*vector));
                let plain = key.decrypt(sealed, vector).ok()?;
                // Only the last byte of the padding means anything.
                let padding = usize::from(*plain.last()?);
                let length = plain.len().checked_sub(padding).filter(|_| (1..=16).contains(&padding))?;
                Some(plain[..length].to_vec())
            }
        }
    }
}
