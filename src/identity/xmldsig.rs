//! XML signatures, as far as a SAML sign-in needs them and not a step further.
//!
//! A signature library that can do everything (XML-DSig, Core 1.1) can also be talked into everything: references to
//! other elements, files or addresses, XPath and XSLT before anybody checked a key, keys out of the message. Twenty
//! years of SAML bypasses came from there. So this verifier knows one shape (SAML core section 5.4): an enveloped
//! signature, child of the very element that it covers, exclusive canonical XML, SHA-2, a key that the operator
//! configured. Whatever else a signature says is refused, not interpreted.
//!
//! - [`prescan()`] reads the text once and refuses what is too much or too clever; only then [`parse()`] makes the one
//!   tree that is both verified and read.
//! - [`verify()`] gives a [`Verified`], the only way in which `identity::saml` can read who somebody is.
//! - [`decrypt()`](decrypt()) opens an encrypted assertion; [`sign_enveloped`] signs our own messages, and those of the
//!   emulator.
//!
//! All of it is pure and takes no clock. Primitives are aws-lc's. Called by `identity::saml` and the emulator.

mod algorithm;
mod base64;
mod c14n;
mod decrypt;
mod encrypt;
mod key;
mod prescan;
mod sign;

mod tree;
mod verify;

pub use algorithm::Sha1;
pub use c14n::{Inclusive, canonicalize, escape_attribute, escape_text};
pub use decrypt::{Opened, Undecryptable, Within, decrypt};
pub use encrypt::{Cipher, encrypt_assertion};
pub use key::{BadCertificate, BadKey, Certificate, DecryptionKey, SigningKey};
pub use prescan::{Excess, Kind, MAX_SIZE, prescan};
pub use sign::{CannotSign, Lines, Shape, sign_enveloped};
pub use tree::{NotXml, Oddity, only, parse, text};
pub use verify::{BadSignature, Trust, Verified, verify};

pub(crate) use algorithm::Algorithm;
pub(crate) use base64::{decode, encode};
pub(crate) use tree::{elements, is};
pub(crate) use verify::verify_detached;

/// An element, in the tree that it was parsed into.
pub type Node<'a> = roxmltree::Node<'a, 'a>;

/// XML Signature.
pub const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
/// XML Encryption.
pub const XENC: &str = "http://www.w3.org/2001/04/xmlenc#";
/// SAML assertions.
pub const ASSERTION: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
/// SAML requests and responses.
pub const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";

const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
