//! Exclusive canonical XML 1.0 without comments: the bytes that are hashed and signed.
//!
//! Written down by the W3C recommendation of 18 July 2002, on top of Canonical XML 1.0. `InclusiveNamespaces` is
//! needed: Salesforce signs with a prefix list, and ignoring it is an old interoperability fault (passport-saml#7).
//! Trees here have neither comments nor processing instructions, [`prescan`](super::prescan()) saw to that; neither
//! would be part of the result. Called by `verify` and `sign`.

use std::collections::BTreeSet;

use super::{EXCLUSIVE, Node};

/// The prefixes whose declarations are kept even where nothing visible uses them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inclusive<'a>(BTreeSet<&'a str>);

impl<'a> Inclusive<'a> {
    /// Reads a `PrefixList`: prefixes, or `#default`, between spaces.
    pub fn parse(list: &'a str) -> Self {
        let prefixes = list.split_ascii_whitespace();
        Self(prefixes.map(|prefix| if prefix == "#default" { "" } else { prefix }).collect())
    }

    /// Reads the children of a transform: at most one `InclusiveNamespaces` with a `PrefixList`.
    pub(super) fn of_transform(transform: Node<'a>) -> Option<Self> {
        let mut children = transform.children().filter(|child| !is_blank(*child));
        let Some(child) = children.next() else { return Some(Self::default()) };
        let fits = super::tree::is(child, EXCLUSIVE, "InclusiveNamespaces") && child.attributes().len() == 1;
        if !fits || children.next().is_some() || child.has_children() {
            return None;
        }
        child.attribute("PrefixList").map(Self::parse)
    }
}

/// Whether a node is space between elements.
pub(super) fn is_blank(node: Node<'_>) -> bool {
    node.is_text() && node.text().is_some_and(|text| text.chars().all(|c| matches!(c, ' ' | '\t' | '\r' | '\n')))
}

/// An element and all within it in canonical form, one element (the enveloped signature) left out.
pub fn canonicalize<'a>(apex: Node<'a>, without: Option<Node<'a>>, inclusive: &Inclusive<'_>) -> String {
    let mut writer = Writer { out: String::with_capacity(apex.range().len()), without, inclusive, shown: Vec::new() };
    writer.element(apex);
    writer.out
}

struct Writer<'w, 'a> {
    out: String,
    without: Option<Node<'a>>,
    inclusive: &'w Inclusive<'w>,
    /// The declarations written so far by this element and those around it; the last of a prefix counts.
    shown: Vec<(&'a str, &'a str)>,
}

impl<'a> Writer<'_, 'a> {
    /// The depth of a tree is bounded before it is parsed, and with it this recursion.
    fn element(&mut self, element: Node<'a>) {
        let name = qualified_name(element.document().input_text(), element.range().start + 1);
        let before = self.shown.len();
        self.out.push('<');
        self.out.push_str(name);
        self.namespaces(element, name);
        self.attributes(element);
        self.out.push('>');
        for child in element.children() {
            if Some(child) == self.without {
                continue;
            }
            if child.is_element() {
                self.element(child);
            } else if child.is_text() {
                escape_text(child.text().unwrap_or_default(), &mut self.out);
            }
        }
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
        self.shown.truncate(before);
    }

    fn namespaces(&mut self, element: Node<'a>, name: &'a str) {
        let text = element.document().input_text();
        // By prefix, the default first: the order of the result.
        let mut wanted: BTreeSet<&'a str> = BTreeSet::from([prefix_of(name)]);
        for attribute in element.attributes() {
            let prefix = prefix_of(qualified_name(text, attribute.range().start));
            if !matches!(prefix, "" | "xml") {
                wanted.insert(prefix);
            }
        }
        for namespace in element.namespaces() {
            let prefix = namespace.name().unwrap_or_default();
            if self.inclusive.0.contains(prefix) {
                wanted.insert(prefix);
            }
        }
        wanted.remove("xml");
        for prefix in wanted {
            let uri = element.lookup_namespace_uri((!prefix.is_empty()).then_some(prefix)).unwrap_or_default();
            let shown = self.shown.iter().rev().find(|(other, _)| *other == prefix).map_or("", |(_, uri)| *uri);
            if uri == shown {
                continue;
            }
            self.shown.push((prefix, uri));
            self.out.push_str(if prefix.is_empty() { " xmlns" } else { " xmlns:" });
            self.out.push_str(prefix);
            self.value(uri);
        }
    }

    fn attributes(&mut self, element: Node<'a>) {
        let text = element.document().input_text();
        let mut attributes: Vec<_> = element.attributes().collect();
        attributes.sort_by_key(|attribute| (attribute.namespace().unwrap_or_default(), attribute.name()));
        for attribute in attributes {
            self.out.push(' ');
            self.out.push_str(qualified_name(text, attribute.range().start));
            self.value(attribute.value());
        }
    }

    fn value(&mut self, value: &str) {
        self.out.push_str("=\"");
        escape_attribute(value, &mut self.out);
        self.out.push('"');
    }
}

/// The name at a position of the text, prefix and all: the tree keeps only what prefixes stand for.
fn qualified_name(text: &str, position: usize) -> &str {
    let rest = text.get(position..).unwrap_or_default();
    let end = rest.find([' ', '\t', '\r', '\n', '=', '/', '>']).unwrap_or(rest.len());
    &rest[..end]
}

fn prefix_of(name: &str) -> &str {
    name.split_once(':').map_or("", |(prefix, _)| prefix)
}

/// Writes text as canonical XML has it.
pub fn escape_text(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\r' => out.push_str("&#xD;"),
            other => out.push(other),
        }
    }
}

/// Writes an attribute's value as canonical XML has it, between double quotes.
pub fn escape_attribute(value: &str, out: &mut String) {
    for character in value.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '"' => out.push_str("&quot;"),
            '\t' => out.push_str("&#x9;"),
            '\n' => out.push_str("&#xA;"),
            '\r' => out.push_str("&#xD;"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use roxmltree::Document;

    /// The canonical form of the element `name`.
    fn canonical(text: &str, name: &str, list: &str) -> String {
        let tree = Document::parse(text).unwrap();
        let apex = tree.descendants().find(|node| node.tag_name().name() == name).unwrap();
        canonicalize(apex, None, &Inclusive::parse(list))
    }

    #[test]
    fn the_examples_of_the_recommendation_come_out_as_printed() {
        // Exclusive XML Canonicalization, section 2.2: the same element in two surroundings.
        let alone = "<n1:elem2 xmlns:n1=\"http://example.net\" xml:lang=\"en\">\n<n3:stuff xmlns:n3=\"ftp://example.org\"></n3:stuff>\n</n1:elem2>";
        let first = "<n0:local xmlns:n0=\"foo:bar\" xmlns:n3=\"ftp://example.org\"><n1:elem2 xmlns:n1=\"http://example.net\" xml:lang=\"en\">\n<n3:stuff xmlns:n3=\"ftp://example.org\"/>\n</n1:elem2></n0:local>";
        let second = "<n2:pdu xmlns:n1=\"http://example.com\" xmlns:n2=\"http://foo.example\" xml:lang=\"fr\" xml:space=\"retain\"><n1:elem2 xmlns:n1=\"http://example.net\" xml:lang=\"en\">\n<n3:stuff xmlns:n3=\"ftp://example.org\"/>\n</n1:elem2></n2:pdu>";
        assert_eq!(canonical(first, "elem2", ""), alone);
        assert_eq!(canonical(second, "elem2", ""), alone);
    }

    #[test]
    fn a_listed_prefix_is_declared_though_nothing_uses_it() {
        let text = "<a xmlns:xs='x' xmlns:ds='d' xmlns='z'><b:b xmlns:b='y'><c xmlns:xs='other'/></b:b></a>";
        assert_eq!(canonical(text, "b", ""), "<b:b xmlns:b=\"y\"><c xmlns=\"z\"></c></b:b>");
        assert_eq!(
            canonical(text, "b", "xs\n ds  nowhere"),
            "<b:b xmlns:b=\"y\" xmlns:ds=\"d\" xmlns:xs=\"x\"><c xmlns=\"z\" xmlns:xs=\"other\"></c></b:b>"
        );
        assert_eq!(canonical(text, "b", "#default"), "<b:b xmlns=\"z\" xmlns:b=\"y\"><c></c></b:b>");
    }

    #[test]
    fn an_undeclared_default_is_said_only_where_one_was_shown() {
        let text = "<a xmlns='z'><b xmlns=''><c/></b></a>";
        assert_eq!(canonical(text, "a", ""), "<a xmlns=\"z\"><b xmlns=\"\"><c></c></b></a>");
        assert_eq!(canonical(text, "b", ""), "<b><c></c></b>");
        assert_eq!(
            canonical("<a:a xmlns:a='y' xmlns='z'><b xmlns=''/></a:a>", "a", ""),
            "<a:a xmlns:a=\"y\"><b></b></a:a>"
        );
    }

    #[test]
    fn attributes_are_ordered_by_namespace_then_name() {
        let text = "<a xmlns:b='2' xmlns:c='1' b:x='1' c:y='2' z='3' A='4' c:B='5'/>";
        let expected = "<a xmlns:b=\"2\" xmlns:c=\"1\" A=\"4\" z=\"3\" c:B=\"5\" c:y=\"2\" b:x=\"1\"></a>";
        assert_eq!(canonical(text, "a", ""), expected);
    }

    #[test]
    fn characters_are_written_in_their_one_way() {
        let text = "<a b='&quot;&apos;&lt;>&amp;&#9;&#10;&#13; x\ty'>\"'&lt;>&gt;&amp;&#13;\r\n\t&#x1F600;</a>";
        let expected = "<a b=\"&quot;'&lt;>&amp;&#x9;&#xA;&#xD; x y\">\"'&lt;&gt;&gt;&amp;&#xD;\n\t\u{1f600}</a>";
        assert_eq!(canonical(text, "a", ""), expected);
    }

    #[test]
    fn only_the_signature_named_is_left_out() {
        let tree = Document::parse("<a><s/><b><s/></b></a>").unwrap();
        let signature = tree.root_element().first_child();
        assert_eq!(canonicalize(tree.root_element(), signature, &Inclusive::default()), "<a><b><s></s></b></a>");
    }
}
