//! The request target, read once into one canonical form, or refused.
//!
//! An app behind us decides by its own reading of the path. Where readings can differ (dot segments, escaped
//! slashes, doubled slashes, parameters after `;`) a rule for one path can be walked around by spelling it as
//! another: CVE-2019-9901, CVE-2026-33494, CVE-2026-41059 and their like. So a target is parsed once, what was
//! judged *is* what is forwarded, dot segments are refused in every encoding, and whatever else can be read in
//! two ways carries its second reading along, which has to lead to the same route (`route::Routes::find`).
//! Called by `gateway` for every request.

mod readings;

use hyper::http::uri::PathAndQuery;
use hyper::{Method, Uri, Version, header};

use super::fields::Fields;
use readings::Readings;

/// A target in canonical form: escapes of unreserved characters decoded (RFC 3986 section 6.2.2.2), other
/// escapes in upper case, no dot segment in any encoding, visible ASCII only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    path_and_query: PathAndQuery,
    /// Boxed: few have any, and every request makes room for it.
    readings: Option<Box<Readings>>,
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
            return Ok(Self { path_and_query: whole.clone(), readings: None });
        }
        let path = canonical(whole.path())?;
        let readings = Readings::of(&path)?.map(Box::new);
        let path_and_query = match whole.query() {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        let path_and_query = PathAndQuery::try_from(path_and_query).map_err(|_| BadTarget::Form)?;
        Ok(Self { path_and_query, readings })
    }

    /// The root, for pages that belong to no target.
    pub fn root() -> Self {
        Self { path_and_query: PathAndQuery::from_static("/"), readings: None }
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
        self.readings.as_ref().map(|readings| readings.usual.as_str())
    }

    /// The path as apps might read it that do things in another order, or look for a host in it.
    pub fn odd_readings(&self) -> impl Iterator<Item = &str> {
        self.readings.iter().flat_map(|readings| &readings.odd).map(String::as_str)
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

fn has_dot_segment(path: &str) -> bool {
    path.split('/').any(|segment| {
        let bare = segment.split(';').next().unwrap_or_default();
        bare == "." || bare == ".."
    })
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
mod tests;
