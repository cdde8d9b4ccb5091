//! One linear look at a text before anything parses it.
//!
//! Whoever can reach the sign-in page can post here, so what a message may cost is bounded before a tree is made of
//! it: every XML parser has some shape that takes it from milliseconds to a minute (60,000 attributes in one element,
//! 200,000 levels). What has no business in a SAML message is refused by name: document types bring entities, and
//! comments, CDATA and processing instructions are how two readers come to see two different texts. Called by `parse`.

/// The longest message, in bytes.
pub const MAX_SIZE: usize = 256 * 1024;
const MAX_DEPTH: usize = 32;
const MAX_ELEMENTS: usize = 4096;
const MAX_ATTRIBUTES: usize = 32;
/// Each element keeps a list of the namespaces in its scope.
const MAX_NAMESPACES: usize = 512;

/// What kind of document a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// From a browser.
    Message,
    /// From the operator: people write comments into metadata.
    Metadata,
}

/// What is too much in a text, or has no business there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    /// More than [`MAX_SIZE`].
    #[error("it is larger than 256 KiB")]
    Size,
    /// More than 32 levels.
    #[error("its elements are nested too deep")]
    Depth,
    /// More than 4,096 elements.
    #[error("it has too many elements")]
    Elements,
    /// More than 32 attributes in one element.
    #[error("an element has too many attributes")]
    Attributes,
    /// More than 512 namespace declarations.
    #[error("it declares too many namespaces")]
    Namespaces,
    /// A document type, and with it entities.
    #[error("it has a document type (<!DOCTYPE)")]
    DocumentType,
    /// A comment.
    #[error("it has a comment")]
    Comment,
    /// A CDATA section.
    #[error("it has a CDATA section")]
    CharacterData,
    /// A processing instruction.
    #[error("it has a processing instruction")]
    Instruction,
    /// A declaration of another encoding than UTF-8.
    #[error("it declares an encoding other than UTF-8")]
    Encoding,
    /// A tag that does not end, a declaration in another form, or a namespace that is declared twice, with a prefix of
    /// its own, or as something else than an absolute URI.
    #[error("it is not well-formed")]
    Malformed,
}

/// Refuses what is too much, in one pass and without recursion.
///
/// # Errors
/// [`Excess`], the first one found.
pub fn prescan(text: &str, kind: Kind) -> Result<(), Excess> {
    if text.len() > MAX_SIZE {
        return Err(Excess::Size);
    }
    let mut rest = declaration(text)?;
    let mut depth = 0_usize;
    let mut elements = 0_usize;
    let mut namespaces = 0_usize;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        match rest.as_bytes().first() {
            Some(b'/') => depth = depth.saturating_sub(1),
            Some(b'?') => return Err(Excess::Instruction),
            Some(b'!') => rest = marked(rest, kind)?,
            _ => {
                let tag = Tag::read(rest)?;
                namespaces += tag.namespaces;
                elements += 1;
                if namespaces > MAX_NAMESPACES {
                    return Err(Excess::Namespaces);
                }
                if elements > MAX_ELEMENTS {
                    return Err(Excess::Elements);
                }
                if depth >= MAX_DEPTH {
                    return Err(Excess::Depth);
                }
                depth += usize::from(!tag.empty);
                rest = &rest[tag.length..];
            }
        }
    }
    Ok(())
}

/// Skips the XML declaration, which may stand only at the very beginning; the parser takes nearly any for one.
fn declaration(text: &str) -> Result<&str, Excess> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Some(rest) = text.strip_prefix("<?xml ") else { return Ok(text) };
    let (declaration, rest) = rest.split_once("?>").ok_or(Excess::Malformed)?;
    let mut parts = declaration.split_ascii_whitespace();
    if parts.next().and_then(|part| quoted(part, "version")) != Some("1.0") {
        return Err(Excess::Malformed);
    }
    for part in parts {
        match (quoted(part, "encoding"), quoted(part, "standalone")) {
            (Some(encoding), _) if encoding.eq_ignore_ascii_case("utf-8") => {}
            (Some(_), _) => return Err(Excess::Encoding),
            (None, Some("yes" | "no")) => {}
            (None, _) => return Err(Excess::Malformed),
        }
    }
    Ok(rest)
}

/// The value of `name="value"`, in either kind of quotes.
fn quoted<'t>(part: &'t str, name: &str) -> Option<&'t str> {
    let value = part.strip_prefix(name)?.strip_prefix('=')?;
    let inside = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote).filter(|inside| !inside.contains(quote));
    inside('"').or_else(|| inside('\''))
}

/// What begins with `<!`: all of it is refused in messages.
fn marked(rest: &str, kind: Kind) -> Result<&str, Excess> {
    let Some(comment) = rest.strip_prefix("!--") else {
        let data = rest.starts_with("![CDATA[");
        return Err(if data { Excess::CharacterData } else { Excess::DocumentType });
    };
    match kind {
        Kind::Message => Err(Excess::Comment),
        Kind::Metadata => comment.split_once("-->").map(|(_, rest)| rest).ok_or(Excess::Malformed),
    }
}

/// A start tag, as far as its size goes.
struct Tag {
    length: usize,
    namespaces: usize,
    empty: bool,
}

impl Tag {
    /// Reads from behind `<` to behind `>`; an attribute's value may hold `>`.
    fn read(rest: &str) -> Result<Self, Excess> {
        let bytes = rest.as_bytes();
        let mut position = 0;
        let mut attributes = 0;
        let mut namespaces = 0;
        let mut default = false;
        let mut name = 0;
        loop {
            match bytes.get(position) {
                None | Some(b'<') => return Err(Excess::Malformed),
                Some(b'>') => {
                    let empty = position.checked_sub(1).is_some_and(|last| bytes[last] == b'/');
                    return Ok(Self { length: position + 1, namespaces, empty });
                }
                Some(&quote @ (b'"' | b'\'')) => {
                    let value = &rest[position + 1..];
                    let length = value.find(char::from(quote)).ok_or(Excess::Malformed)?;
                    let declared = rest[name..position].trim().trim_end_matches('=').trim_end();
                    // The parser takes any `PREFIX:xmlns` for a declaration, and several defaults in one element: two
                    // ways to disagree with whoever signed.
                    if declared == "xmlns" || declared.starts_with("xmlns:") {
                        let none = declared == "xmlns" && length == 0;
                        let twice = declared == "xmlns" && std::mem::replace(&mut default, true);
                        if twice || !(none || is_absolute(&value[..length])) {
                            return Err(Excess::Malformed);
                        }
                        namespaces += 1;
                    } else if declared.ends_with(":xmlns") {
                        return Err(Excess::Malformed);
                    }
                    attributes += 1;
                    if attributes > MAX_ATTRIBUTES {
                        return Err(Excess::Attributes);
                    }
                    position += length + 2;
                    name = position;
                }
                Some(byte) => {
                    // The element's own name ends at the first space.
                    if attributes == 0 && byte.is_ascii_whitespace() && name == 0 {
                        name = position;
                    }
                    position += 1;
                }
            }
        }
    }
}

/// Whether a namespace is named by an absolute URI: canonical XML fails with any other (section 1.1), and so do others
/// with what no URI has.
fn is_absolute(namespace: &str) -> bool {
    let Some((scheme, rest)) = namespace.split_once(':') else { return false };
    let scheme_fits = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
        && scheme.starts_with(|first: char| first.is_ascii_alphabetic());
    let fits = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}&%[]".contains(&byte);
    let fragments = rest.bytes().filter(|byte| *byte == b'#').count();
    scheme_fits && !rest.is_empty() && rest.bytes().all(fits) && fragments < 2 && authority_fits(rest)
}

/// Whether what may stand behind `//` (RFC 3986 section 3.2) is a host, with a port of digits or none: libxml2 calls an
/// empty port no URI, and nobody names a namespace with a user in it.
fn authority_fits(rest: &str) -> bool {
    let Some(rest) = rest.strip_prefix("//") else { return true };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = authority.split_once(':').unwrap_or((authority, "0"));
    let port_fits = (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    !host.is_empty() && !host.contains('@') && port_fits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(text: &str) -> Result<(), Excess> {
        prescan(text, Kind::Message)
    }

    #[test]
    fn an_ordinary_message_is_let_through() {
        let text = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<a xmlns='b:b' xmlns:c=\"d:d\" c:e='/>'>&lt;<f/></a>";
        assert_eq!(message(text), Ok(()));
        assert_eq!(prescan("<a><!-- <!DOCTYPE --><b/></a>", Kind::Metadata), Ok(()));
        assert_eq!(message("<a xmlns='http://b.example:8443/c?d=e#f' xmlns:g='http://h'/>"), Ok(()));
    }

    #[test]
    fn what_has_no_business_in_a_message_is_refused_by_name() {
        for (text, excess) in [
            ("<!DOCTYPE a><a/>", Excess::DocumentType),
            ("<a><!doctype b></a>", Excess::DocumentType),
            ("<a><!ENTITY b 'c'></a>", Excess::DocumentType),
            ("<a>x<!-- y --></a>", Excess::Comment),
            ("<a>x<![CDATA[y]]></a>", Excess::CharacterData),
            ("<a><?php?></a>", Excess::Instruction),
            (" <?xml version='1.0'?><a/>", Excess::Instruction),
            ("<?xml version='1.0' encoding='UTF-7'?><a/>", Excess::Encoding),
            ("<?xml version='1.0' encoding='UTF-16'?><a/>", Excess::Encoding),
            ("<?xml version='1.0' encoding=\"'UTF-8\"?><a/>", Excess::Encoding),
            ("<?xml version='1.0' encoding=UTF-8?><a/>", Excess::Malformed),
            ("<?xml version='1.1'?><a/>", Excess::Malformed),
            ("<?xml encoding='UTF-8'?><a/>", Excess::Malformed),
            ("<?xml version='1.0' standalone='maybe'?><a/>", Excess::Malformed),
            ("<?xml version='1.0'", Excess::Malformed),
            ("<a xmlns='b:b' xmlns='c:c'/>", Excess::Malformed),
            ("<a xmlns:b='c:c' b:xmlns='d:d'/>", Excess::Malformed),
            ("<a xmlns='b'/>", Excess::Malformed),
            ("<a xmlns:b='../c'/>", Excess::Malformed),
            ("<a xmlns:b='c:'/>", Excess::Malformed),
            ("<a xmlns:b='urn:c d'/>", Excess::Malformed),
            ("<a xmlns:b='urn:&#x63;'/>", Excess::Malformed),
            ("<a xmlns:b='http://c#d#e'/>", Excess::Malformed),
            ("<a xmlns:b='http://c:/d'/>", Excess::Malformed),
            ("<a xmlns:b='http://c:3.org/d'/>", Excess::Malformed),
            ("<a xmlns:b='http://c@d/e'/>", Excess::Malformed),
            ("<a xmlns:b='http:///c'/>", Excess::Malformed),
            ("<a xmlns:b=''/>", Excess::Malformed),
            ("<a b='", Excess::Malformed),
            ("<a <b/>", Excess::Malformed),
        ] {
            assert_eq!(message(text), Err(excess), "{text}");
        }
    }

    #[test]
    fn each_limit_is_held_at_its_edge() {
        let nested = |depth: usize| "<a>".repeat(depth) + &"</a>".repeat(depth);
        assert_eq!(message(&nested(32)), Ok(()));
        assert_eq!(message(&nested(33)), Err(Excess::Depth));
        assert_eq!(message(&format!("{}<b/>{}", "<a>".repeat(32), "</a>".repeat(32))), Err(Excess::Depth));
        let wide = |count: usize| format!("<a>{}</a>", "<b/>".repeat(count - 1));
        assert_eq!(message(&wide(4096)), Ok(()));
        assert_eq!(message(&wide(4097)), Err(Excess::Elements));
        let attributes = |count: usize| (0..count).fold("<a".to_owned(), |tag, n| format!("{tag} a{n}='>'")) + "/>";
        assert_eq!(message(&attributes(32)), Ok(()));
        assert_eq!(message(&attributes(33)), Err(Excess::Attributes));
        let namespaces = |count: usize| format!("<a>{}</a>", "<b xmlns='c:c' xmlns:d='e:e'/>".repeat(count / 2));
        assert_eq!(message(&namespaces(512)), Ok(()));
        assert_eq!(message(&namespaces(514)), Err(Excess::Namespaces));
        let long = |size: usize| format!("<a>{}</a>", "x".repeat(size - 7));
        assert_eq!(message(&long(MAX_SIZE)), Ok(()));
        assert_eq!(message(&long(MAX_SIZE + 1)), Err(Excess::Size));
    }

    proptest! {
        #[test]
        fn noise_is_no_panic(noise in "([<>/!?'\"= a-]|xmlns|:|\\PC)*") {
            let _ = message(&noise);
            let _ = prescan(&noise, Kind::Metadata);
        }

        #[test]
        fn whatever_is_parsed_was_counted(text in "(<a( xmlns(:b)?='c:c'| b='>'){0,3}/?>|</a>|x|&lt;){0,12}") {
            if let (Ok(()), Ok(tree)) = (message(&text), roxmltree::Document::parse(&text)) {
                prop_assert!(tree.descendants().filter(roxmltree::Node::is_element).count() <= MAX_ELEMENTS);
            }
        }
    }
}
