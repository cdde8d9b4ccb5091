//! Interim answers of an app on their way to the client, while the answer itself is awaited.
//!
//! Their heads are cleaned as an answer's is. A client whose door has no way for them gets none, and can do without:
//! they say nothing that the answer depends on (RFC 9110 section 15.2). Called by `proxy::upstream` for whichever way
//! an app is spoken to.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use hyper::{HeaderMap, StatusCode};
use tokio::sync::Notify;

use super::headers::clean_response;
use crate::http::Request;
use crate::http::interim::{Sender, is_passed_on};
use crate::session::cookie;

/// How many interim answers an app may give to one request.
pub(super) const MOST: usize = 64;

/// Passes one on.
pub(super) fn pass(to: Option<&Sender>, status: StatusCode, mut fields: HeaderMap) {
    let Some(sender) = to.filter(|_| is_passed_on(status)) else { return };
    clean_response(&mut fields);
    cookie::drop_impostors(&mut fields);
    // "A server MUST NOT send a Content-Length header field in any response with a status code of 1xx" (RFC 9110
    // section 8.6), nor a Transfer-Encoding (RFC 9112 section 6.1).
    fields.remove(CONTENT_LENGTH);
    fields.remove(TRANSFER_ENCODING);
    sender.send(status, fields);
}

/// What is heard on a connection that hyper speaks on, in a task of its own.
#[derive(Default)]
pub(super) struct Heard {
    bell: Notify,
    count: AtomicUsize,
}

/// There are more than anybody needs.
#[derive(Debug, thiserror::Error)]
#[error("more than {MOST} interim answers came")]
pub(super) struct TooMany;

/// Has hyper's client pass on what it receives before the answer, if the client takes that, and count it.
pub(super) fn listen(request: &mut Request) -> Arc<Heard> {
    let (sender, heard) = (request.extensions().get::<Sender>().cloned(), Arc::<Heard>::default());
    let ring = Arc::clone(&heard);
    hyper::ext::on_informational(request, move |answer| {
        if ring.count.fetch_add(1, Ordering::Relaxed) < MOST {
            pass(sender.as_ref(), answer.status(), answer.headers().clone());
        }
        ring.bell.notify_one();
    });
    heard
}

impl Heard {
    /// Waits for the answer, and has its turn whenever something came before: the door looks then.
    ///
    /// # Errors
    /// [`TooMany`]; the answer is then not waited for.
    pub(super) async fn until<F: Future>(&self, answer: F) -> Result<F::Output, TooMany> {
        let mut answer = pin!(answer);
        loop {
            let answered = tokio::select! {
                biased;
                answered = answer.as_mut() => Some(answered),
                () = self.bell.notified() => None,
            };
            if self.count.load(Ordering::Relaxed) > MOST {
                return Err(TooMany);
            }
            if let Some(answered) = answered {
                return Ok(answered);
            }
        }
    }
}

/// Whether the client has been sent any. An app that said something has begun to answer: nobody else is asked.
pub(super) fn has_begun(heard_by: Option<&Sender>) -> bool {
    heard_by.is_some_and(Sender::has_sent)
}
