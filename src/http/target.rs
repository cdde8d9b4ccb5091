//! The request target, read once into one canonical form, or refused.
//!
//! An app behind us decides by its own reading of the path. Where readings can differ (dot segments, escaped
//! slashes, doubled slashes, parameters after `;`) a rule for one path can be walked around by spelling it as
//! another: CVE-2019-9901, CVE-2026-33494, CVE-2026-41059 and their like. So a target is parsed once, what was
//! judged *is* what is forwarded, dot segments are refused in every encoding, and whatever else can be read in
//! two ways carries its second reading along, which has to lead to the same route (`route::Routes::find`).
//! Called by `gateway` for every request.

use hyper::http::uri::PathAndQuery;
use hyper::{Method, Uri, Version, header};

use super::fields::Fields;

/// A target in canonical form: escapes of unreserved characters decoded (RFC 3986 section 6.2.2.2), other
/// escapes in upper case, no dot segment in any encoding, visible ASCII only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    path_and_query: PathAndQuery,
    second_reading: Option<String>,
}

/// Why a target or its host is refused; each is a sentence for the page and the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// `CONNECT`, `*` or a target without a path.
    #[error("the address is not one of a page")]
    Form,
    /// A `.` or `..` segment, plain or escaped, before or after parameters.
    #[error("the path has a dot segment")]
    DotSegment,
    /// A control byte, escaped or not; a backslash or a byte beyond ASCII that is not escaped.
    #[error("the path has a forbidden character")]
    ForbiddenCharacter,
    /// `%` without two hexadecimal digits.
    #[error("the path has a broken percent escape")]
    BrokenEscape,
    /// Readings lead to different routes.
    #[error("the path can be read in two ways")]
    Ambiguous,
    /// No `Host`, several, an unreadable one, or one that contradicts the target.
    #[error("the Host is missing, repeated or contradicted")]
    Host,
}

impl Target {
    /// Reads the target of `uri`. Copies nothing when it is already canonical, as nearly all are.
    ///
    /// # Errors
    /// [`BadTarget`] when no single meaning can be given to it.
    pub fn parse(method: &Method, uri: &Uri) -> Result<Self, BadTarget> {
        let whole = uri.path_and_query().ok_or(BadTarget::Form)?;
        if *method == Method::CONNECT || !whole.path().starts_with('/') {
            return Err(BadTarget::Form);
        }
        // No early end: the whole is compared in wide steps.
        if !whole.as_str().bytes().fold(true, |graphic, byte| graphic & byte.is_ascii_graphic()) {
            return Err(BadTarget::ForbiddenCharacter);
        }
        // The path of `http://host?query` is the root: "the client MUST send "/" as the path" (RFC 9112 section 3.2.1).
        if is_plain(whole.path()) && whole.as_str().starts_with('/') {
            return Ok(Self { path_and_query: whole.clone(), second_reading: None });
        }
        let path = canonical(whole.path())?;
        let second_reading = second_reading(&path)?;
        let path_and_query = match whole.query() {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        let path_and_query = PathAndQuery::try_from(path_and_query).map_err(|_| BadTarget::Form)?;
        Ok(Self { path_and_query, second_reading })
    }

    /// The root, for pages that belong to no target.
    pub fn root() -> Self {
        Self { path_and_query: PathAndQuery::from_static("/"), second_reading: None }
    }

    /// The path: begins with `/`.
    pub fn path(&self) -> &str {
        self.path_and_query.path()
    }

    /// The query, as sent.
    pub fn query(&self) -> Option<&str> {
        self.path_and_query.query()
    }

    /// The path as a lenient app might read it, where that differs from [`Self::path`].
    pub fn second_reading(&self) -> Option<&str> {
        self.second_reading.as_deref()
    }

    /// What is forwarded.
    pub fn path_and_query(&self) -> &PathAndQuery {
        &self.path_and_query
    }
}

/// Whether a path needs no second look: no escape, no parameter, no empty segment, none that begins or ends
/// with a dot.
fn is_plain(path: &str) -> bool {
    let mut previous = b'x';
    for byte in path.bytes() {
        match byte {
            b'%' | b';' | b'\\' => return false,
            b'/' | b'.' if previous == b'/' => return false,
            b'/' if previous == b'.' => return false,
            _ => previous = byte,
        }
    }
    previous != b'.'
}

fn canonical(path: &str) -> Result<String, BadTarget> {
    let mut out = String::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let decoded = escape(rest.next(), rest.next()).ok_or(BadTarget::BrokenEscape)?;
                if decoded.is_ascii_control() {
                    return Err(BadTarget::ForbiddenCharacter);
                }
                if decoded.is_ascii_alphanumeric() || matches!(decoded, b'-' | b'.' | b'_' | b'~') {
                    out.push(char::from(decoded));
                } else {
                    out.push_str(&format!("%{decoded:02X}"));
                }
            }
            b'\\' => return Err(BadTarget::ForbiddenCharacter),
            _ => out.push(char::from(byte)),
        }
    }
    if has_dot_segment(&out) { Err(BadTarget::DotSegment) } else { Ok(out) }
}

/// How often escapes are decoded until none is left; beyond it a path is refused.
const MOST_DECODINGS: usize = 3;

/// The path as the most lenient app might read it: every escape decoded until none is left, characters that
/// only look like `/`, `\`, `.` or `;` taken for them, parameters dropped, slashes merged, and dots and spaces
/// at the end of a segment dropped, as Windows does. `None` when that is the path itself.
fn second_reading(path: &str) -> Result<Option<String>, BadTarget> {
    let decoded = decode_fully(path)?;
    if has_overlong_character(&decoded) || has_wide_escape(&decoded) {
        return Err(BadTarget::ForbiddenCharacter);
    }
    let decoded: String = String::from_utf8_lossy(&decoded).chars().map(without_disguise).collect();
    if decoded.chars().any(|character| character.is_ascii_control()) {
        return Err(BadTarget::ForbiddenCharacter);
    }
    let mut reading = String::with_capacity(decoded.len());
    for segment in decoded.split(['/', '\\']) {
        let bare = segment.split(';').next().unwrap_or_default();
        if matches!(bare.trim_end_matches(' '), "." | "..") {
            return Err(BadTarget::DotSegment);
        }
        let bare = bare.trim_end_matches(['.', ' ']);
        if !bare.is_empty() {
            reading.push('/');
            reading.push_str(bare);
        }
    }
    if reading.is_empty() || (path.ends_with('/') && path.len() > 1) {
        reading.push('/');
    }
    Ok((reading != path).then_some(reading))
}

fn has_dot_segment(path: &str) -> bool {
    path.split('/').any(|segment| {
        let bare = segment.split(';').next().unwrap_or_default();
        bare == "." || bare == ".."
    })
}

fn decode_fully(path: &str) -> Result<Vec<u8>, BadTarget> {
    let mut bytes = path.as_bytes().to_vec();
    for _ in 0..=MOST_DECODINGS {
        let decoded: Vec<u8> = percent_encoding::percent_decode(&bytes).collect();
        if decoded.len() == bytes.len() {
            return Ok(bytes);
        }
        bytes = decoded;
    }
    Err(BadTarget::Ambiguous)
}

/// Whether there is a character in a longer form than it needs, which RFC 3629 section 3 forbids: decoders that
/// do not mind read `%C0%AE` as a dot.
fn has_overlong_character(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| matches!(pair, [0xC0 | 0xC1, 0x80..=0xBF] | [0xE0, 0x80..=0x9F] | [0xF0, 0x80..=0x8F]))
}

/// Whether an escape of Windows' own kind (`%u002e`) is left, which could only hide behind another escape.
fn has_wide_escape(bytes: &[u8]) -> bool {
    bytes.windows(6).any(|six| six.starts_with(b"%u") && six[2..].iter().all(u8::is_ascii_hexdigit))
}

/// A character whose compatibility form (Unicode NFKC, or Windows' best fit) is one that cuts paths.
fn without_disguise(character: char) -> char {
    match character {
        '\u{2024}' | '\u{FE52}' | '\u{FF0E}' => '.',
        '\u{2044}' | '\u{2215}' | '\u{FF0F}' => '/',
        '\u{2216}' | '\u{FE68}' | '\u{FF3C}' => '\\',
        '\u{037E}' | '\u{FE54}' | '\u{FF1B}' => ';',
        other => other,
    }
}

fn escape(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// The authority that a request is for, as sent.
///
/// "A server MUST respond with a 400 status code to any HTTP/1.1 request message that lacks a Host header
/// field and to any request message that contains more than one" (RFC 9112 section 3.2). Where the target
/// names an authority as well (absolute form, HTTP/2's `:authority`), a differing `Host` is refused, so that
/// no two readers can believe different ones.
///
/// # Errors
/// [`BadTarget::Host`].
pub fn authority<'a>(version: Version, uri: &'a Uri, fields: Fields<'a>) -> Result<&'a str, BadTarget> {
    let mut hosts = fields.values(&header::HOST);
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(BadTarget::Host);
    }
    let authority = match (uri.authority(), host) {
        (Some(named), Some(host)) if named.as_str().as_bytes().eq_ignore_ascii_case(host) => host,
        (Some(named), None) if version == Version::HTTP_2 => named.as_str().as_bytes(),
        (None, Some(host)) => host,
        _ => return Err(BadTarget::Host),
    };
    let readable = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']' | b'_');
    if authority.is_empty() || !authority.iter().all(readable) {
        return Err(BadTarget::Host);
    }
    let authority = std::str::from_utf8(authority).map_err(|_| BadTarget::Host)?;
    Ok(authority)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::HeaderMap;
    use proptest::prelude::*;

    fn parse(target: &str) -> Result<Target, BadTarget> {
        Target::parse(&Method::GET, &target.parse().map_err(|_| BadTarget::Form)?)
    }

    #[test]
    fn ordinary_targets_pass_untouched() {
        for target in
            ["/", "/a/b", "/a/b/", "/.well-known/x", "/a.b/..c", "/a?x=../..//;%2f", "/caf%C3%A9", "/a%20b", "/..."]
        {
            let parsed = parse(target).unwrap();
            assert_eq!(parsed.path_and_query().as_str(), target);
        }
        assert_eq!(parse("/a/b?x=1").unwrap().second_reading(), None);
    }

    #[test]
    fn escapes_of_unreserved_characters_are_decoded() {
        assert_eq!(parse("/%61dmin/%7euser%2dx?q=%61").unwrap().path_and_query().as_str(), "/admin/~user-x?q=%61");
        assert_eq!(parse("/a%c3%a9").unwrap().path(), "/a%C3%A9");
    }

    #[test]
    fn dot_segments_are_refused_in_every_encoding() {
        let dotted = [
            "/..",
            "/.",
            "/a/../b",
            "/a/./b",
            "/a/%2e%2e/b",
            "/a/.%2E/b",
            "/%2e/a",
            "/a/..;/b",
            "/a/%2e%2e;x=1/b",
            "/a/..%2fb",
            "/a%2f..%2fb",
            "/a/%252e%252e/b",
            "/a%2f%2e%2e",
            "/a/..%3b/b",
            "/a/%25252e%25252e/b",
            "/a/%EF%BC%8E%EF%BC%8E/b",
            "/a/%E2%80%A4%E2%80%A4%EF%BC%8Fb",
            "/a/..%20/b",
            "/a/..%5cb",
            "/a%5c..%5cb",
        ];
        for target in dotted {
            assert_eq!(parse(target), Err(BadTarget::DotSegment), "{target}");
        }
    }

    #[test]
    fn forbidden_characters_are_refused() {
        for target in
            ["/a%00", "/a%0d%0aX", "/a%7f", "/a%250a", "/%c0%ae%c0%ae/a", "/%e0%80%af", "/%25c0%25ae", "/%25u002e"]
        {
            assert_eq!(parse(target), Err(BadTarget::ForbiddenCharacter), "{target}");
        }
        for target in ["/a%", "/a%2", "/a%zz"] {
            assert_eq!(parse(target), Err(BadTarget::BrokenEscape), "{target}");
        }
        let backslash = Target::parse(&Method::GET, &Uri::from_static("/a\\b"));
        assert_eq!(backslash, Err(BadTarget::ForbiddenCharacter));
    }

    #[test]
    fn a_second_reading_is_carried_along() {
        assert_eq!(parse("//admin").unwrap().second_reading(), Some("/admin"));
        assert_eq!(parse("/pub%2Fadmin").unwrap().second_reading(), Some("/pub/admin"));
        assert_eq!(parse("/admin;x=1/y").unwrap().second_reading(), Some("/admin/y"));
        assert_eq!(parse("/pub%5cadmin").unwrap().second_reading(), Some("/pub/admin"));
        assert_eq!(parse("/pub%252Fadmin").unwrap().second_reading(), Some("/pub/admin"));
        assert_eq!(parse("/pub%EF%BC%8Fadmin").unwrap().second_reading(), Some("/pub/admin"));
        assert_eq!(parse("/admin%20/x").unwrap().second_reading(), Some("/admin/x"));
        assert_eq!(parse("/%2525252561").unwrap_err(), BadTarget::Ambiguous);
    }

    #[test]
    fn an_address_without_a_path_is_that_of_the_root() {
        for (target, canonical) in
            [("http://a.example", "/"), ("http://a.example?x=1", "/?x=1"), ("http://a.example?", "/?")]
        {
            assert_eq!(parse(target).unwrap().path_and_query().as_str(), canonical, "{target}");
        }
    }

    #[test]
    fn other_forms_are_refused() {
        assert_eq!(Target::parse(&Method::OPTIONS, &Uri::from_static("*")), Err(BadTarget::Form));
        assert_eq!(Target::parse(&Method::CONNECT, &Uri::from_static("a.example:443")), Err(BadTarget::Form));
    }

    #[test]
    fn the_host_is_one_and_the_same() {
        let host = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::HOST, value.parse().unwrap());
            }
            headers
        };
        let read = |version, uri: &'static str, values: &[&'static str]| {
            authority(version, &Uri::from_static(uri), (&host(values)).into()).map(str::to_owned)
        };
        assert_eq!(read(Version::HTTP_11, "/", &["a.example"]).unwrap(), "a.example");
        assert_eq!(read(Version::HTTP_11, "http://a.example/", &["A.example"]).unwrap(), "A.example");
        assert_eq!(read(Version::HTTP_2, "https://a.example/", &[]).unwrap(), "a.example");
        for (version, uri, values) in [
            (Version::HTTP_11, "/", &[][..]),
            (Version::HTTP_11, "/", &["a.example", "a.example"]),
            (Version::HTTP_11, "http://evil.example/", &["a.example"]),
            (Version::HTTP_11, "http://evil.example/", &[]),
            (Version::HTTP_2, "https://evil.example/", &["a.example"]),
            (Version::HTTP_11, "/", &["a.example/b"]),
            (Version::HTTP_11, "/", &["user@a.example"]),
            (Version::HTTP_11, "/", &[""]),
        ] {
            assert_eq!(read(version, uri, values), Err(BadTarget::Host), "{uri} {values:?}");
        }
    }

    proptest! {
        #[test]
        fn parsing_is_idempotent_and_never_leaves_dots(path in "/[a-c./%;2eEfF5cC\\-]{0,24}") {
            if let Ok(first) = parse(&path) {
                prop_assert!(!has_dot_segment(first.path()));
                let again = parse(first.path_and_query().as_str()).unwrap();
                prop_assert_eq!(again, first);
            }
        }
    }
}
