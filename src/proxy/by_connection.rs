//! What one request leaves behind on a connection to an app, and who may follow it there: nobody.
//!
//! Sign-ins that an app ties to a connection, NTLM and Negotiate where it is kept (RFC 4559 section 6), break with what
//! HTTP is, where each request stands for itself (RFC 9110 section 3.3): after one, everything on the connection is
//! that person's to the app. And of a body that an app leaves unread it may take what is in it for the next request,
//! with whatever identity headers its author wrote. So either is the last thing on its connection, and an app that
//! gets a body is told so: "close" forbids it to process anything that follows (RFC 9112 section 9.6). Called by
//! `proxy` and `proxy::upstream`.

use hyper::header::{AUTHORIZATION, CONNECTION, HeaderValue, TE, WWW_AUTHENTICATE};
use hyper::{HeaderMap, StatusCode};

use crate::http::arrival::Outline;
use crate::http::fields::Fields;

/// The schemes; `Nego2` is Windows' own Negotiate.
const SCHEMES: [&[u8]; 3] = [b"ntlm", b"negotiate", b"nego2"];

/// What becomes of a connection of HTTP/1.1 when a request with a body was answered on it. Of strangers' it is always
/// the end: they need not even be known to write one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterBody {
    /// It ends, and the app is told so beforehand.
    Close,
    /// It is kept: the app reads every body to its end.
    Keep,
}

/// What closes a connection, and says so.
const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// Tells the app that nothing follows this request, if it is asked by HTTP/1.1. The client's own options are gone by now,
/// but for that of `TE`.
pub(super) fn say_last(headers: &mut HeaderMap) {
    headers.append(CONNECTION, CLOSE);
}

/// Whether the app is told so.
pub(super) fn is_last(headers: &HeaderMap) -> bool {
    headers.get_all(CONNECTION).into_iter().any(|option| option == CLOSE)
}

/// Has a request say so by one line that says nothing else, because some apps look at the first, others at the last, and
/// others compare the whole. `TE` goes with the option that it needs (RFC 9110 section 10.1.4). For HTTP/1.1 alone: gRPC
/// asks with it.
pub(super) fn settle(headers: &mut HeaderMap) {
    if is_last(headers) {
        headers.insert(CONNECTION, CLOSE);
        headers.remove(TE);
    }
}

/// Whether a request's fields sign somebody in so.
pub(super) fn is_asked(fields: Fields<'_>) -> bool {
    fields.values(&AUTHORIZATION).any(names_one)
}

/// Whether an answer wants that.
pub(super) fn is_offered(head: &Outline) -> bool {
    head.status == StatusCode::UNAUTHORIZED && head.fields().values(&WWW_AUTHENTICATE).any(names_one)
}

/// Whether a word of `value`, which may be a list of challenges, is one of the schemes.
fn names_one(value: &[u8]) -> bool {
    let mut words = value.split(|byte| matches!(byte, b' ' | b'\t' | b','));
    words.any(|word| SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_is_found_among_others() {
        for value in ["NTLM", "ntlm TlRMTVNTUAAB", "Negotiate", "Basic realm=\"a\", Negotiate", "NEGO2 x", "Basic,NTLM"]
        {
            assert!(names_one(value.as_bytes()), "{value}");
        }
        for value in ["", "Basic TlRMTQ==", "Bearer ntlm.negotiate", "Digest realm=\"Negotiated\""] {
            assert!(!names_one(value.as_bytes()), "{value}");
        }
    }
}
