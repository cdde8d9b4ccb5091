//! Base64 as XML has it: wrapped, indented, with the carriage returns of other systems (XML Schema, base64Binary).
//!
//! Strict in everything else: padding must be there and unused bits must be zero, so that one value has one spelling.
//! Called by `xmldsig` and `saml`.

use ::base64::{Engine, engine::general_purpose::STANDARD};

/// The bytes of a text, whitespace aside.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut packed = text.as_bytes().to_vec();
    packed.retain(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    STANDARD.decode(packed).ok()
}

/// In one line.
pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
