//! The one shape of a signature, and the proof that one was good.
//!
//! In this order: the shape (nothing is followed, everything is compared), then the signature over `SignedInfo` with
//! a configured key, and only then the digest of what it points to, so that a stranger's message costs one public-key
//! operation and chooses nothing. [`Verified`] has no other constructor. Called by `identity::saml`.

use std::borrow::Cow;

use super::algorithm::{self, Sha1};
use super::c14n::{Inclusive, canonicalize, is_blank};
use super::key::Certificate;
use super::tree::{self, Oddity, elements, is, signature_of};
use super::{DSIG, ENVELOPED, EXCLUSIVE, Node, base64};

/// Why a signature is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// It is not the one shape that a SAML sign-in needs.
    #[error("the signature has another shape than SAML allows: {0}")]
    Shape(&'static str),
    /// It covers something else than the element that it stands in.
    #[error("the signature covers another element than the one it stands in")]
    Reference,
    /// SHA-1 is not believed.
    #[error("the signature was made with SHA-1")]
    Sha1,
    /// An algorithm that is not in the list.
    #[error("the signature was made with an algorithm that is not accepted")]
    Algorithm,
    /// No configured certificate made it.
    #[error("the signature was not made with the key of a configured certificate")]
    Key,
    /// What it covers was changed afterwards.
    #[error("what was signed was changed afterwards")]
    Digest,
}

/// Whose signatures are believed, and how they may be made.
#[derive(Clone, Copy, Debug)]
pub struct Trust<'t> {
    /// Several, while one is being exchanged for the next.
    pub certificates: &'t [Certificate],
    /// Whether SHA-1 will do.
    pub sha1: Sha1,
}

/// An element that somebody whom we trust has signed, or a part of one.
#[derive(Clone, Copy, Debug)]
pub struct Verified<'a>(Node<'a>);

impl<'a> Verified<'a> {
    /// The element, for finding it in the tree again.
    pub fn node(self) -> Node<'a> {
        self.0
    }

    /// An attribute without a namespace.
    pub fn attribute(self, name: &str) -> Option<&'a str> {
        self.0.attribute(name)
    }

    /// The child elements that the signature covers: the signature itself is not among them.
    pub fn elements(self) -> impl Iterator<Item = Self> {
        elements(self.0).filter(|child| child.tag_name().namespace() != Some(DSIG)).map(Self)
    }

    /// Whether it has that name.
    pub fn is(self, namespace: &str, name: &str) -> bool {
        is(self.0, namespace, name)
    }

    /// The name, without its namespace.
    pub fn name(self) -> &'a str {
        self.0.tag_name().name()
    }

    /// The child of that name, if there is one.
    ///
    /// # Errors
    /// [`Oddity::Repeated`], when there are several.
    pub fn only(self, namespace: &str, name: &str) -> Result<Option<Self>, Oddity> {
        let mut found = self.elements().filter(|child| child.is(namespace, name));
        let first = found.next();
        if found.next().is_some() { Err(Oddity::Repeated) } else { Ok(first) }
    }

    /// The whole text.
    ///
    /// # Errors
    /// [`Oddity::NotText`], when it holds an element.
    pub fn text(self) -> Result<Cow<'a, str>, Oddity> {
        tree::text(self.0)
    }

    /// What was decrypted from within a verified element.
    pub(super) fn decrypted(node: Node<'a>) -> Self {
        Self(node)
    }
}

/// Verifies the signature that is a child of `element` and covers it.
///
/// `None`, when it has no signature.
///
/// # Errors
/// [`BadSignature`], when it has one that is not to be believed.
pub fn verify<'a>(element: Node<'a>, trust: &Trust<'_>) -> Result<Option<Verified<'a>>, BadSignature> {
    let signature = signature_of(element).map_err(|_| BadSignature::Shape("two signatures in one element"))?;
    let Some(signature) = signature else { return Ok(None) };
    let read = Signature::read(signature, trust.sha1)?;
    let id = element.attribute("ID").filter(|id| !id.is_empty()).ok_or(BadSignature::Reference)?;
    if read.reference.strip_prefix('#') != Some(id) {
        return Err(BadSignature::Reference);
    }
    let message = canonicalize(read.signed, None, &read.over_signed);
    if !read.algorithm.verify(trust.certificates, message.as_bytes(), &read.value) {
        return Err(BadSignature::Key);
    }
    let covered = canonicalize(element, Some(signature), &read.over_element);
    let digest = algorithm::digest(read.digest_method, trust.sha1, covered.as_bytes())?;
    if digest == read.digest { Ok(Some(Verified(element))) } else { Err(BadSignature::Digest) }
}

/// What a signature says, when it has the one shape.
struct Signature<'a> {
    signed: Node<'a>,
    over_signed: Inclusive<'a>,
    algorithm: algorithm::Algorithm,
    value: Vec<u8>,
    reference: &'a str,
    over_element: Inclusive<'a>,
    digest_method: &'a str,
    digest: Vec<u8>,
}

impl<'a> Signature<'a> {
    fn read(signature: Node<'a>, sha1: Sha1) -> Result<Self, BadSignature> {
        let wrong = BadSignature::Shape("not exactly SignedInfo, SignatureValue and KeyInfo");
        let (signed, value) = match children(signature)?[..] {
            [signed, value] => (signed, value),
            // Whatever key the message brings is not even read.
            [signed, value, key] if is(key, DSIG, "KeyInfo") => (signed, value),
            _ => return Err(wrong),
        };
        if !is(signed, DSIG, "SignedInfo") || !is(value, DSIG, "SignatureValue") {
            return Err(wrong);
        }
        let wrong = BadSignature::Shape("not exactly one Reference");
        let [canonicalization, method, reference] = children(signed)?[..] else { return Err(wrong) };
        if !is(canonicalization, DSIG, "CanonicalizationMethod")
            || !is(method, DSIG, "SignatureMethod")
            || !is(reference, DSIG, "Reference")
        {
            return Err(wrong);
        }
        let over_signed = exclusive(canonicalization)?;
        let algorithm = algorithm::algorithm_of_signature(bare(method)?, sha1)?;
        let wrong = BadSignature::Shape("a Reference without exactly Transforms, DigestMethod and DigestValue");
        let [transforms, digest_method, digest] = children(reference)?[..] else { return Err(wrong) };
        if !is(transforms, DSIG, "Transforms")
            || !is(digest_method, DSIG, "DigestMethod")
            || !is(digest, DSIG, "DigestValue")
        {
            return Err(wrong);
        }
        let wrong = BadSignature::Shape("transforms other than enveloped-signature, then exclusive canonical XML");
        let [enveloped, canonical] = children(transforms)?[..] else { return Err(wrong) };
        if !is(enveloped, DSIG, "Transform") || !is(canonical, DSIG, "Transform") || bare(enveloped)? != ENVELOPED {
            return Err(wrong);
        }
        Ok(Self {
            signed,
            over_signed,
            algorithm,
            value: bytes(value)?,
            reference: reference.attribute("URI").ok_or(BadSignature::Reference)?,
            over_element: exclusive(canonical)?,
            digest_method: bare(digest_method)?,
            digest: bytes(digest)?,
        })
    }
}

/// The child elements, when there is nothing but space between them.
fn children(node: Node<'_>) -> Result<Vec<Node<'_>>, BadSignature> {
    if node.children().any(|child| !child.is_element() && !is_blank(child)) {
        return Err(BadSignature::Shape("text between its elements"));
    }
    Ok(elements(node).collect())
}

/// The algorithm of an element that has neither parameters nor anything else.
fn bare(node: Node<'_>) -> Result<&str, BadSignature> {
    if !children(node)?.is_empty() {
        return Err(BadSignature::Shape("parameters where there are none"));
    }
    node.attribute("Algorithm").ok_or(BadSignature::Algorithm)
}

/// The prefix list of exclusive canonical XML, the only canonical form there is.
fn exclusive(node: Node<'_>) -> Result<Inclusive<'_>, BadSignature> {
    if node.attribute("Algorithm") != Some(EXCLUSIVE) {
        return Err(BadSignature::Shape("a canonical form other than exclusive canonical XML"));
    }
    Inclusive::of_transform(node).ok_or(BadSignature::Shape("a canonical form with parameters that it does not have"))
}

fn bytes(node: Node<'_>) -> Result<Vec<u8>, BadSignature> {
    let text = tree::text(node).map_err(|_| BadSignature::Shape("elements in place of base64"))?;
    base64::decode(&text).ok_or(BadSignature::Shape("no base64 where there should be"))
}

/// Verifies a message that was signed beside its text: `root` must be the tree of the very bytes in `octets` (the
/// Redirect binding signs the query, SAML bindings section 3.4.4.1).
///
/// # Errors
/// [`BadSignature`], when no configured certificate made the signature, or with an algorithm that is not accepted.
pub(crate) fn verify_detached<'a>(
    root: Node<'a>,
    octets: &[u8],
    algorithm: &str,
    signature: &[u8],
    trust: &Trust<'_>,
) -> Result<Verified<'a>, BadSignature> {
    let algorithm = algorithm::algorithm_of_signature(algorithm, trust.sha1)?;
    if algorithm.verify(trust.certificates, octets, signature) { Ok(Verified(root)) } else { Err(BadSignature::Key) }
}
