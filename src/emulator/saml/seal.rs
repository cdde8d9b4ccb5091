//! Signs and encrypts a Response: as Salesforce does, or as nobody should.
//!
//! The right signatures are made by `xmldsig`; the wrong ones are right ones whose `SignedInfo` is rewritten and
//! signed again, so that nothing but the one thing is wrong with them. Called by `saml` and `logout`.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::app::{Encryption, SamlApp, Signed};
use super::identity::{Pair, SamlKeys};
use super::message::{Carries, Message, write_assertion, write_response};
use super::mischief::SamlMischief;
use super::spoil;
use crate::identity::xmldsig::{
    Certificate, Cipher, DSIG, Inclusive, Kind, Lines, Shape, canonicalize, encrypt_assertion, only, parse,
    sign_enveloped,
};

// behaviour 29: the prefixes that Salesforce lists
const RESPONSE_PREFIXES: &str = "ds saml samlp xs xsi";
const ASSERTION_PREFIXES: &str = "ds saml xs xsi";
const RSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";
const RSA_SHA1: &str = "http://www.w3.org/2000/09/xmldsig#rsa-sha1";
const HMAC_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256";
const SHA256: &str = "http://www.w3.org/2001/04/xmlenc#sha256";
const SHA1: &str = "http://www.w3.org/2000/09/xmldsig#sha1";
const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
const XPATH: &str = "<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xpath-19991116\">\
                     <ds:XPath>not(ancestor-or-self::ds:Signature)</ds:XPath></ds:Transform>";

/// Whoever signs for the org.
pub(super) struct Signer<'a> {
    pair: &'a Pair,
    stranger: &'a Pair,
    lines: Lines,
    mischief: Option<SamlMischief>,
}

impl<'a> Signer<'a> {
    /// With the certificate in use.
    pub(super) fn new(keys: &'a SamlKeys, app: &SamlApp, mischief: Option<SamlMischief>) -> Self {
        let lines = match mischief {
            Some(SamlMischief::CarriageReturns) => Lines::CarriageReturns,
            Some(SamlMischief::OneLine) => Lines::One,
            _ => app.lines,
        };
        Self { pair: keys.in_use(app.certificate), stranger: keys.stranger(), lines, mischief }
    }

    /// The pair that signs.
    pub(super) fn pair(&self) -> &'a Pair {
        let foreign = [SamlMischief::ForeignKey, SamlMischief::EmbeddedKey, SamlMischief::LogoutForeignKey];
        if self.mischief.is_some_and(|mischief| foreign.contains(&mischief)) { self.stranger } else { self.pair }
    }

    /// Signs the element of that id.
    pub(super) fn sign(&self, xml: &str, id: &str, prefixes: &str) -> Option<String> {
        let prefixes = if self.mischief == Some(SamlMischief::PlainCanonical) { "" } else { prefixes };
        let certificate = match self.mischief {
            Some(SamlMischief::MissingKeyInfo) => None,
            Some(SamlMischief::EmbeddedKey | SamlMischief::StrangeKeyInfo) => Some(&self.stranger.certificate),
            _ => Some(&self.pair.certificate),
        };
        let shape = Shape { prefixes, lines: self.lines, certificate };
        let signed = sign_enveloped(xml, id, &self.pair().key, &shape).ok()?;
        self.respoil(signed, id, prefixes)
    }

    fn respoil(&self, signed: String, id: &str, prefixes: &str) -> Option<String> {
        let with_key = |message: &[u8]| self.pair.key.sign(message);
        let resign = |from: &str, to: &str| sign_again(&signed, id, &|info| info.replace(from, to), &with_key);
        let reference = format!("URI=\"#{id}\"");
        match self.mischief {
            Some(SamlMischief::EmptyReference) => resign(&reference, "URI=\"\""),
            Some(SamlMischief::MissingReference) => resign(&reference, ""),
            Some(SamlMischief::XpathTransform) => {
                let last = format!("<ds:Transform Algorithm=\"{EXCLUSIVE}\"");
                resign(&last, &format!("{XPATH}{last}"))
            }
            Some(SamlMischief::CommentsKept) => {
                resign(&format!("Algorithm=\"{EXCLUSIVE}\""), &format!("Algorithm=\"{EXCLUSIVE}WithComments\""))
            }
            Some(SamlMischief::Sha1Named) => resign(RSA_SHA256, RSA_SHA1),
            Some(SamlMischief::TwoReferences) => {
                let twice = |info: &str| {
                    let Some(start) = info.find("<ds:Reference ") else { return info.to_owned() };
                    let (before, from) = info.split_at(start);
                    let one = from.strip_suffix("</ds:SignedInfo>").unwrap_or(from);
                    format!("{before}{one}{from}")
                };
                sign_again(&signed, id, &twice, &with_key)
            }
            Some(SamlMischief::Sha1Digest) => {
                let weak = weak_digest(&signed, id, prefixes)?;
                let change = |info: &str| {
                    let info = info.replace(SHA256, SHA1);
                    between(&info, "<ds:DigestValue>", "</ds:DigestValue>")
                        .map_or(info.clone(), |strong| info.replace(strong, &weak))
                };
                sign_again(&signed, id, &change, &with_key)
            }
            Some(SamlMischief::HmacWithCertificate) => {
                let secret = hmac::Key::new(hmac::HMAC_SHA256, self.pair.certificate.der());
                let tag = |message: &[u8]| Some(hmac::sign(&secret, message).as_ref().to_vec());
                sign_again(&signed, id, &|info| info.replace(RSA_SHA256, HMAC_SHA256), &tag)
            }
            _ => Some(signed),
        }
    }

    /// The whole Response: its assertions signed and encrypted, then itself.
    pub(super) fn seal(&self, message: &Message, app: &SamlApp) -> Option<String> {
        let signed = self.signed(app);
        let mut assertions = String::new();
        for id in self.ids(message) {
            let facts = super::message::Assertion { id: id.clone(), ..message.assertion.clone() };
            let text = self.laid_out(write_assertion(&facts), message);
            let text = if signed.assertion() { self.sign(&text, &id, ASSERTION_PREFIXES)? } else { text };
            assertions.push_str(&text);
        }
        let mut response = self.laid_out(write_response(message, "<assertions/>"), message);
        if self.mischief == Some(SamlMischief::Undeclared)
            && let Some((_, bare)) = response.split_once("?>")
        {
            response = bare.to_owned();
        }
        let mut response = response.replace("<assertions/>", &assertions);
        if let Some(encryption) = &app.encryption {
            response = self.encrypt(&response, encryption)?;
        }
        if signed.response() { self.sign(&response, &message.id, RESPONSE_PREFIXES) } else { Some(response) }
    }

    fn ids(&self, message: &Message) -> Vec<String> {
        let id = message.assertion.id.clone();
        match message.carries {
            Carries::Nothing => Vec::new(),
            Carries::One => vec![id],
            Carries::Two => vec![format!("{id}0"), id],
        }
    }

    fn signed(&self, app: &SamlApp) -> Signed {
        match self.mischief {
            Some(
                SamlMischief::Xsw1
                | SamlMischief::Xsw2
                | SamlMischief::InjectedAssertion
                | SamlMischief::SignatureObject
                | SamlMischief::TwoSignatures
                | SamlMischief::ResponseSigned,
            ) => Signed::Response,
            Some(
                SamlMischief::Xsw3
                | SamlMischief::Xsw4
                | SamlMischief::Xsw5
                | SamlMischief::Xsw6
                | SamlMischief::Xsw7
                | SamlMischief::Xsw8
                | SamlMischief::SiblingSignature
                | SamlMischief::DuplicateIds
                | SamlMischief::EncryptedCbcUnsigned
                | SamlMischief::AssertionSigned,
            ) => Signed::Assertion,
            _ => app.signed,
        }
    }

    fn laid_out(&self, text: String, message: &Message) -> String {
        match self.mischief {
            Some(mischief) => spoil::respell(text, message.issued, mischief),
            None => text,
        }
    }

    fn encrypt(&self, response: &str, encryption: &Encryption) -> Option<String> {
        let configured = Certificate::from_pem(&encryption.certificate).ok()?;
        let (recipient, cipher) = match self.mischief {
            Some(SamlMischief::EncryptedToStranger) => (&self.stranger.certificate, encryption.cipher),
            Some(SamlMischief::EncryptedCbcUnsigned) => (configured.first()?, Cipher::Aes256Cbc),
            _ => (configured.first()?, encryption.cipher),
        };
        let sealed = encrypt_assertion(response, recipient, cipher)?;
        if self.mischief != Some(SamlMischief::EncryptedBroken) {
            return Some(sealed);
        }
        // the last value is the data's; the first is the key's
        let start = sealed.rfind("<xenc:CipherValue>")? + "<xenc:CipherValue>".len() + 30;
        Some(super::tamper::another_character(&sealed, start))
    }
}

/// Rewrites the `SignedInfo` of that element's signature, and signs it again.
fn sign_again(
    signed: &str,
    id: &str,
    change: &dyn Fn(&str) -> String,
    key: &dyn Fn(&[u8]) -> Option<Vec<u8>>,
) -> Option<String> {
    let rewritten = {
        let info = part_of_signature(signed, id, "SignedInfo")?;
        format!("{}{}{}", &signed[..info.start], change(&signed[info.clone()]), &signed[info.end..])
    };
    let tree = parse(&rewritten, Kind::Message).ok()?;
    let element = tree.descendants().find(|node| node.attribute("ID") == Some(id))?;
    let signature = only(element, DSIG, "Signature").ok()??;
    let info = only(signature, DSIG, "SignedInfo").ok()??;
    let value = only(signature, DSIG, "SignatureValue").ok()??.range();
    let made = STANDARD.encode(key(canonicalize(info, None, &Inclusive::default()).as_bytes())?);
    let value_text = format!("<ds:SignatureValue>{made}</ds:SignatureValue>");
    Some(format!("{}{value_text}{}", &rewritten[..value.start], &rewritten[value.end..]))
}

fn part_of_signature(xml: &str, id: &str, name: &str) -> Option<std::ops::Range<usize>> {
    let tree = parse(xml, Kind::Message).ok()?;
    let element = tree.descendants().find(|node| node.attribute("ID") == Some(id))?;
    let signature = only(element, DSIG, "Signature").ok()??;
    only(signature, DSIG, name).ok()?.map(|part| part.range())
}

fn weak_digest(signed: &str, id: &str, prefixes: &str) -> Option<String> {
    let tree = parse(signed, Kind::Message).ok()?;
    let element = tree.descendants().find(|node| node.attribute("ID") == Some(id))?;
    let signature = only(element, DSIG, "Signature").ok()?;
    let covered = canonicalize(element, signature, &Inclusive::parse(prefixes));
    Some(STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, covered.as_bytes())))
}

/// The text between two others, the first time.
pub(super) fn between<'t>(text: &'t str, start: &str, end: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once(end).map(|(inner, _)| inner)
}
