//! A request's body on its way into a stream, as fast as the app takes it.
//!
//! A task, because both directions move at their own pace: an app may read everything before it answers, or answer
//! before it has read. It ends with the answer; nothing of a body is held but the piece under way. Called by
//! `proxy::upstream::h2`.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::{Body as _, Frame};
use tokio::task::JoinHandle;

use crate::http::{Body, BodyError, BodyFault};

/// A body that is being sent; dropped, it is sent no further and its stream is reset.
pub(super) struct Upload {
    task: JoinHandle<()>,
    broken: Arc<OnceLock<BodyFault>>,
}

impl Upload {
    /// Begins to send.
    pub(super) fn start(body: Body, stream: SendStream<Bytes>) -> Self {
        let broken = Arc::new(OnceLock::new());
        let task = tokio::spawn(send(body, stream, Arc::clone(&broken)));
        Self { task, broken }
    }

    /// Why the body itself broke off, if it did.
    pub(super) fn cause(&self) -> Option<BodyFault> {
        self.broken.get().cloned()
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What comes next of a body.
enum Next {
    Frame(Frame<Bytes>),
    End,
    Broken(BodyError),
    /// The app wants no more of it.
    Unwanted,
}

async fn send(mut body: Body, mut stream: SendStream<Bytes>, broken: Arc<OnceLock<BodyFault>>) {
    loop {
        let frame = match next(&mut body, &mut stream).await {
            Next::Frame(frame) => frame,
            Next::Unwanted => return,
            Next::End => {
                _ = stream.send_data(Bytes::new(), true);
                return;
            }
            Next::Broken(error) => {
                _ = broken.set(BodyFault::of(&*error));
                stream.send_reset(Reason::CANCEL);
                return;
            }
        };
        match frame.into_data() {
            Ok(data) => {
                let is_last = body.is_end_stream();
                if send_piece(data, is_last, &mut stream).await.is_none() || is_last {
                    return;
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    _ = stream.send_trailers(trailers);
                    return;
                }
            }
        }
    }
}

async fn next(body: &mut Body, stream: &mut SendStream<Bytes>) -> Next {
    poll_fn(|cx| {
        if stream.poll_reset(cx).is_ready() {
            return Poll::Ready(Next::Unwanted);
        }
        Pin::new(&mut *body).poll_frame(cx).map(|frame| match frame {
            Some(Ok(frame)) => Next::Frame(frame),
            Some(Err(error)) => Next::Broken(error),
            None => Next::End,
        })
    })
    .await
}

/// Sends a piece as the app's window allows; `None` when the app wants no more.
async fn send_piece(mut data: Bytes, is_last: bool, stream: &mut SendStream<Bytes>) -> Option<()> {
    if data.is_empty() {
        return if is_last { stream.send_data(data, true).ok() } else { Some(()) };
    }
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        while stream.capacity() == 0 {
            poll_fn(|cx| match stream.poll_capacity(cx) {
                Poll::Ready(grown) => Poll::Ready(grown.and_then(Result::ok)),
                Poll::Pending => stream.poll_reset(cx).map(|_| None),
            })
            .await?;
        }
        let piece = data.split_to(stream.capacity().min(data.len()));
        stream.send_data(piece, is_last && data.is_empty()).ok()?;
    }
    Some(())
}
