//! Reading a tree by positions: this child, once, with text and nothing else.
//!
//! Searching for an element by its name anywhere in a message is how a verifier and a reader come to look at two
//! different elements (Somorovsky and others, "On Breaking SAML", 2012). Called by `verify`, `decrypt` and `saml`.

use std::borrow::Cow;

use roxmltree::{Document, ParsingOptions};

use super::prescan::{Excess, Kind, prescan};
use super::{DSIG, Node};

/// No tree can be made of a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotXml {
    /// It was refused before it was parsed.
    #[error(transparent)]
    Excess(#[from] Excess),
    /// It is not well-formed.
    #[error("it is not well-formed: {0}")]
    Malformed(String),
}

/// What is odd about an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Oddity {
    /// A child that must be unique is there more than once.
    #[error("an element is there more than once")]
    Repeated,
    /// Elements where only text may be.
    #[error("an element holds elements instead of text")]
    NotText,
}

/// The one tree of a text.
///
/// # Errors
/// [`NotXml`], when the text is too much, too clever, or not well-formed.
pub fn parse(text: &str, kind: Kind) -> Result<Document<'_>, NotXml> {
    prescan(text, kind)?;
    let options = ParsingOptions { allow_dtd: false, nodes_limit: 20_000, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|error| NotXml::Malformed(error.to_string()))
}

/// The child elements.
pub(crate) fn elements(node: Node<'_>) -> impl Iterator<Item = Node<'_>> {
    node.children().filter(Node::is_element)
}

/// Whether an element has that name.
pub(crate) fn is(node: Node<'_>, namespace: &str, name: &str) -> bool {
    node.is_element() && node.tag_name().name() == name && node.tag_name().namespace() == Some(namespace)
}

/// The child of that name, if there is one.
///
/// # Errors
/// [`Oddity::Repeated`], when there are several.
pub fn only<'a>(node: Node<'a>, namespace: &str, name: &str) -> Result<Option<Node<'a>>, Oddity> {
    let mut found = elements(node).filter(|child| is(*child, namespace, name));
    let first = found.next();
    if found.next().is_some() { Err(Oddity::Repeated) } else { Ok(first) }
}

/// The whole text of an element that holds nothing else.
///
/// # Errors
/// [`Oddity::NotText`], when it holds an element.
pub fn text(node: Node<'_>) -> Result<Cow<'_, str>, Oddity> {
    let mut whole = Cow::Borrowed("");
    for child in node.children() {
        match child.text() {
            Some(_) if !child.is_text() => return Err(Oddity::NotText),
            Some(text) if whole.is_empty() => whole = Cow::Borrowed(text),
            Some(text) => whole.to_mut().push_str(text),
            None => return Err(Oddity::NotText),
        }
    }
    Ok(whole)
}

/// The signature that is a child of this element.
pub(super) fn signature_of(node: Node<'_>) -> Result<Option<Node<'_>>, Oddity> {
    only(node, DSIG, "Signature")
}
