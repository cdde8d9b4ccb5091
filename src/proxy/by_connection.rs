//! Sign-ins that an app ties to a connection: NTLM, and Negotiate where it is kept (RFC 4559 section 6).
//!
//! They break with what HTTP is, where each request stands for itself (RFC 9110 section 3.3): after one, everything on
//! the connection is that person's to the app. Ours carry one visitor's request after another's, so whatever has to do
//! with such a sign-in is the last thing on its connection. Called by `proxy`.

use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, WWW_AUTHENTICATE};

use crate::http::arrival::Outline;
use crate::http::fields::Fields;

/// The schemes; `Nego2` is Windows' own Negotiate.
const SCHEMES: [&[u8]; 3] = [b"ntlm", b"negotiate", b"nego2"];

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
