//! How the library's questions reach the authority: by the gateway's own client.
//!
//! One connection and one deadline for each question, no redirects, bounded answers, https alone, and the trust of
//! this machine: what holds for identity providers holds here. The library keeps no header of an answer that
//! refuses, so what is said about coming back is noted on the way. Called by `order`.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::http::uri::Scheme;
use hyper::{HeaderMap, Request};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use time::PrimitiveDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::fault::RetryAfter;
use crate::clock::Timestamp;
use crate::http::client::{Client, Problem};

/// RFC 9110 section 5.6.7, the form that everybody has to send.
const DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// The longest span that is handed on, in seconds: nobody here waits longer, and the library adds it to its clock,
/// which has an end.
const LONGEST: u64 = 24 * 60 * 60;

/// The way to one authority.
#[derive(Clone)]
pub(super) struct Wire {
    client: Client,
    heard: Arc<Mutex<Option<RetryAfter>>>,
}

impl Wire {
    pub(super) fn new(client: Client) -> Self {
        Self { client, heard: Arc::default() }
    }

    /// What the last answer that refused said about coming back.
    pub(super) fn heard(&self) -> Option<RetryAfter> {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpClient for Wire {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let Self { client, heard } = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            // Where to go comes from the authority's directory.
            if head.uri.scheme() != Some(&Scheme::HTTPS) {
                return Err(Error::Other(Box::new(Problem::Address("an authority is asked by https alone"))));
            }
            let body = body.collect().await.map_err(|never| Error::Other(Box::new(never)))?.to_bytes();
            let answer = client.send(Request::from_parts(head, body.to_vec())).await;
            let mut answer = answer.map_err(|problem| Error::Other(Box::new(problem)))?;
            let refuses = answer.status().is_client_error() || answer.status().is_server_error();
            let after = if refuses { retry_after(answer.headers()) } else { None };
            *heard.lock().unwrap_or_else(PoisonError::into_inner) = after;
            shorten(answer.headers_mut());
            Ok(BytesResponse::from(answer.map(|body| Full::new(Bytes::from(body)))))
        })
    }
}

fn shorten(headers: &mut HeaderMap) {
    let span = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
    if span.is_some_and(|seconds| seconds > LONGEST) {
        headers.insert(RETRY_AFTER, HeaderValue::from(LONGEST));
    }
}

fn retry_after(headers: &HeaderMap) -> Option<RetryAfter> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(RetryAfter::Span(Duration::from_secs(seconds)));
    }
    let moment = PrimitiveDateTime::parse(text, DATE).ok()?.assume_utc().unix_timestamp();
    Some(RetryAfter::Moment(Timestamp(u64::try_from(moment).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_say_when_are_understood_and_others_are_not() {
        let read = |text: &str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]));
        assert_eq!(read("3600"), Some(RetryAfter::Span(Duration::from_secs(3_600))));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(RetryAfter::Moment(Timestamp(784_111_777))));
        for odd in ["", "-1", "soon", "Sun, 06 Nov 1894 08:49:37 GMT", "1e9"] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }

    #[test]
    fn nobody_is_told_to_wait_beyond_the_end_of_the_clock() {
        for (said, left) in
            [("18446744073709551615", "86400"), ("86401", "86400"), ("86400", "86400"), ("soon", "soon")]
        {
            let mut headers = HeaderMap::from_iter([(RETRY_AFTER, said.parse().unwrap())]);
            shorten(&mut headers);
            assert_eq!(headers[RETRY_AFTER], left);
        }
    }

    #[tokio::test]
    async fn an_authority_is_asked_by_https_alone_also_on_this_machine() {
        let wire = Wire::new(Client::new(Duration::from_secs(5), None).unwrap());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/renewal", listener.local_addr().unwrap());
        let request = Request::get(address).body(BodyWrapper::from(Vec::new())).unwrap();
        let refused = HttpClient::request(&wire, request).await.err().unwrap();
        assert!(refused.to_string().contains("https alone"), "{refused}");
    }
}
