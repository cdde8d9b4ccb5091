//! Declining a gRPC call in gRPC's own words.
//!
//! A gRPC client takes its status from trailers and not from HTTP's status, which it only falls back to, without our
//! words; so a refusal is a whole answer of its protocol: HTTP 200 and a head alone that holds the status
//! ("Trailers-Only", gRPC over HTTP/2). Codes follow the project's own table from HTTP's statuses. Called by
//! `gateway`.

use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::http::grpc::MEDIA_TYPE;
use crate::http::{Body, Response};
use crate::refusal::Refusal;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// What `grpc-message` escapes: all but `%x20-%x24 / %x26-%x7E`.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// The answer to a call that was declined.
pub(super) fn answer(refusal: &Refusal, request_id: &str) -> Response {
    let words = refusal.words();
    let message = format!("{}: {} (request {request_id})", refusal.code(), words.happened);
    let mut response = Response::new(Body::Empty);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(GRPC_STATUS, HeaderValue::from_static(status(refusal.status())));
    if let Ok(message) = HeaderValue::try_from(utf8_percent_encode(&message, ESCAPED).to_string()) {
        headers.insert(GRPC_MESSAGE, message);
    }
    response
}

/// gRPC's status where HTTP has this one: what a client would conclude by itself, and where that is UNKNOWN, what
/// is known here.
fn status(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "16",
        StatusCode::FORBIDDEN => "7",
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => "12",
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "8",
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => "14",
        status if status.is_client_error() => "13",
        _ => "2",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_status_that_is_an_error() {
        for refusal in Refusal::samples() {
            let response = answer(&refusal, "01AB");
            assert_eq!(response.status(), StatusCode::OK);
            assert_ne!(response.headers()[GRPC_STATUS], "0", "{refusal}");
            let message = response.headers()[GRPC_MESSAGE].to_str().unwrap();
            assert!(message.starts_with(refusal.code()) && message.ends_with("(request 01AB)"), "{message}");
        }
        assert_eq!(answer(&Refusal::SignInRequired, "x").headers()[GRPC_STATUS], "16");
    }
}
