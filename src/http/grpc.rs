//! What a call by gRPC looks like from outside.
//!
//! Asked by `gateway`, which declines calls in gRPC's own words, and by `server`, which lets them be quiet.

use hyper::Method;
use hyper::header::CONTENT_TYPE;

use super::fields::Fields;

/// gRPC over HTTP/2; gRPC-Web's clients are browsers, and read JSON.
pub const MEDIA_TYPE: &str = "application/grpc";

/// Whether a request is a call: a POST of that media type, with or without the name of a codec.
pub fn is_call(method: &Method, fields: Fields<'_>) -> bool {
    if *method != Method::POST {
        return false;
    }
    is_spoken(fields)
}

/// Whether a message is of that media type.
pub fn is_spoken(fields: Fields<'_>) -> bool {
    let kind = fields.value(&CONTENT_TYPE).and_then(|kind| kind.split_at_checked(MEDIA_TYPE.len()));
    kind.is_some_and(|(name, rest)| {
        name.eq_ignore_ascii_case(MEDIA_TYPE.as_bytes()) && matches!(rest.first(), None | Some(b'+' | b';'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::HeaderMap;
    use hyper::header::HeaderValue;

    #[test]
    fn a_call_is_a_post_of_grpc_and_nothing_that_only_begins_so() {
        let is = |method: Method, kind: &'static str| {
            let fields = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
            is_call(&method, (&fields).into())
        };
        for kind in ["application/grpc", "application/grpc+proto", "Application/gRPC;x=y"] {
            assert!(is(Method::POST, kind), "{kind}");
            assert!(!is(Method::GET, kind), "{kind}");
        }
        for kind in ["application/grpc-web", "application/grpc-web+proto", "application/grpcx", "application/json", ""]
        {
            assert!(!is(Method::POST, kind), "{kind}");
        }
        assert!(!is_call(&Method::POST, (&HeaderMap::new()).into()));
    }
}
