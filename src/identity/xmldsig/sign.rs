//! Makes the same one shape of signature that `verify` reads.
//!
//! The element is canonicalized in its place, and so is `SignedInfo`, by the very code that verifies: what differs
//! between identity providers (prefix lists, wrapped base64) is a [`Shape`]. Called by `saml` for our own messages,
//! by the emulator, and by tests.

use aws_lc_rs::digest::{SHA256, digest};

use super::algorithm::{Algorithm, DIGEST_SHA256};
use super::c14n::{Inclusive, canonicalize};
use super::key::{Certificate, SigningKey};
use super::prescan::Kind;
use super::tree::{NotXml, elements, is, parse, signature_of};
use super::{ASSERTION, DSIG, ENVELOPED, EXCLUSIVE, base64};

/// How base64 is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lines {
    /// In one line.
    #[default]
    One,
    /// A newline first, then lines of 76, as Salesforce does.
    Wrapped,
    /// The same with `&#13;` before each newline, as Salesforce did in Summer '22.
    CarriageReturns,
}

/// What differs between signers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shape<'s> {
    /// `PrefixList` of `InclusiveNamespaces`; none when empty.
    pub prefixes: &'s str,
    /// How base64 is laid out.
    pub lines: Lines,
    /// To be put into `KeyInfo`.
    pub certificate: Option<&'s Certificate>,
}

/// Why something cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum CannotSign {
    /// It is no XML.
    #[error(transparent)]
    NotXml(#[from] NotXml),
    /// No single element has the id, or it is signed already.
    #[error("no element without a signature has this ID")]
    NoElement,
    /// The key did not.
    #[error("the key could not sign")]
    Key,
}

/// The text, with the element of that `ID` signed: the signature comes after its issuer, where the schema wants it.
///
/// # Errors
/// [`CannotSign`] says why not.
pub fn sign_enveloped(xml: &str, id: &str, key: &SigningKey, shape: &Shape<'_>) -> Result<String, CannotSign> {
    let tree = parse(xml, Kind::Message)?;
    let mut named = tree.descendants().filter(|node| node.attribute("ID") == Some(id));
    let (Some(element), None) = (named.next(), named.next()) else { return Err(CannotSign::NoElement) };
    if signature_of(element).ok().flatten().is_some() || !element.has_children() {
        return Err(CannotSign::NoElement);
    }
    let issuer = elements(element).next().filter(|first| is(*first, ASSERTION, "Issuer"));
    let place = match (issuer, element.first_child()) {
        (Some(issuer), _) => issuer.range().end,
        (None, Some(first)) => first.range().start,
        (None, None) => return Err(CannotSign::NoElement),
    };
    let covered = canonicalize(element, None, &Inclusive::parse(shape.prefixes));
    let digest = base64::encode(digest(&SHA256, covered.as_bytes()).as_ref());
    let (before, after) = xml.split_at(place);
    let mut id_escaped = String::new();
    super::escape_attribute(id, &mut id_escaped);
    let with = |value: &str| format!("{before}{}{after}", signature(&id_escaped, &digest, value, shape));
    let value = {
        let unsigned = with("");
        let tree = parse(&unsigned, Kind::Message)?;
        let element = tree.descendants().find(|node| node.attribute("ID") == Some(id)).ok_or(CannotSign::NoElement)?;
        let signature = signature_of(element).ok().flatten().ok_or(CannotSign::NoElement)?;
        let signed = elements(signature).next().ok_or(CannotSign::NoElement)?;
        key.sign(canonicalize(signed, None, &Inclusive::default()).as_bytes()).ok_or(CannotSign::Key)?
    };
    Ok(with(&lay_out(&value, shape.lines)))
}

fn signature(id: &str, digest: &str, value: &str, shape: &Shape<'_>) -> String {
    let prefixes = match shape.prefixes {
        "" => String::new(),
        list => format!("<ec:InclusiveNamespaces xmlns:ec=\"{EXCLUSIVE}\" PrefixList=\"{list}\"/>"),
    };
    let key = shape.certificate.map_or_else(String::new, |certificate| {
        let der = lay_out(certificate.der(), shape.lines);
        format!("<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{der}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>")
    });
    format!(
        "<ds:Signature xmlns:ds=\"{DSIG}\"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm=\"{EXCLUSIVE}\"/>\
         <ds:SignatureMethod Algorithm=\"{}\"/><ds:Reference URI=\"#{id}\"><ds:Transforms>\
         <ds:Transform Algorithm=\"{ENVELOPED}\"/><ds:Transform Algorithm=\"{EXCLUSIVE}\">{prefixes}</ds:Transform>\
         </ds:Transforms><ds:DigestMethod Algorithm=\"{DIGEST_SHA256}\"/><ds:DigestValue>{digest}</ds:DigestValue>\
         </ds:Reference></ds:SignedInfo><ds:SignatureValue>{value}</ds:SignatureValue>{key}</ds:Signature>",
        Algorithm::RSA_SHA256
    )
}

fn lay_out(bytes: &[u8], lines: Lines) -> String {
    let end = match lines {
        Lines::One => return base64::encode(bytes),
        Lines::Wrapped => "\n",
        Lines::CarriageReturns => "&#13;\n",
    };
    // 57 bytes make 76 characters.
    bytes.chunks(57).fold(end.to_owned(), |text, line| text + &base64::encode(line) + end)
}
