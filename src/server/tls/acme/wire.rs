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
use hyper::header::RETRY_AFTER;
use hyper::{HeaderMap, Request};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use time::PrimitiveDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::fault::RetryAfter;
use crate::clock::Timestamp;
use crate::http::client::Client;

/// RFC 9110 section 5.6.7, the form that everybody has to send.
const DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

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
            let body = body.collect().await.map_err(|never| Error::Other(Box::new(never)))?.to_bytes();
            let answer = client.send(Request::from_parts(head, body.to_vec())).await;
            let answer = answer.map_err(|problem| Error::Other(Box::new(problem)))?;
            let refuses = answer.status().is_client_error() || answer.status().is_server_error();
            let after = if refuses { retry_after(answer.headers()) } else { None };
            *heard.lock().unwrap_or_else(PoisonError::into_inner) = after;
            Ok(BytesResponse::from(answer.map(|body| Full::new(Bytes::from(body)))))
        })
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
}
