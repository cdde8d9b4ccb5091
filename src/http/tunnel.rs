//! The sides of a tunnel: promised with the request, there when the answer that agrees to it has gone out.
//!
//! In HTTP/1.1 a side is the whole connection, which hyper lets go of after a 101; in HTTP/2 it is one stream (RFC
//! 8441), which the door hands over after its 200. Whoever carries bytes need not know which. Made by `server` for
//! clients and by `proxy` for apps, joined by `proxy::upgrade`.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use super::duplex::Duplex;
use super::{BodyError, Request};

/// One side of a tunnel that is to come.
#[derive(Debug)]
pub enum Promise {
    /// Of hyper.
    Upgrade(OnUpgrade),
    /// Of the door.
    Stream(oneshot::Receiver<Duplex>),
    /// There already.
    Kept(Box<Duplex>),
}

/// No tunnel came about: it was answered otherwise, or somebody left.
#[derive(Debug, thiserror::Error)]
#[error("one side of a tunnel did not come about: {0}")]
pub struct Broken(BodyError);

/// What a request carries until somebody wants it.
#[derive(Clone)]
struct Offered(Arc<Mutex<Option<oneshot::Receiver<Duplex>>>>);

/// Keeps the promise that goes with a request.
#[derive(Debug)]
pub struct Keeper(oneshot::Sender<Duplex>);

impl Keeper {
    /// Promises that the stream of this request may become a tunnel.
    pub fn promise(request: &mut Request) -> Self {
        let (tell, told) = oneshot::channel();
        request.extensions_mut().insert(Offered(Arc::new(Mutex::new(Some(told)))));
        Self(tell)
    }

    /// Hands it over. Without anybody who wants it, the stream is reset.
    pub fn keep(self, stream: Duplex) {
        drop(self.0.send(stream));
    }
}

impl Promise {
    /// What was promised with a request.
    pub fn of(request: &mut Request) -> Self {
        let offered = request.extensions_mut().remove::<Offered>();
        let stream = offered.and_then(|Offered(promise)| promise.lock().unwrap_or_else(PoisonError::into_inner).take());
        stream.map_or_else(|| Self::Upgrade(hyper::upgrade::on(request)), Self::Stream)
    }

    /// The tunnel.
    ///
    /// # Errors
    /// [`Broken`] when it does not come about.
    pub async fn kept(self) -> Result<Side, Broken> {
        match self {
            Self::Upgrade(upgrade) => match upgrade.await {
                Ok(connection) => Ok(Side::Connection(TokioIo::new(connection))),
                Err(error) => Err(Broken(error.into())),
            },
            Self::Kept(stream) => Ok(Side::Stream(*stream)),
            Self::Stream(told) => told.await.map(Side::Stream).map_err(|error| Broken(error.into())),
        }
    }
}

/// One side of a tunnel.
#[derive(Debug)]
pub enum Side {
    /// A connection.
    Connection(TokioIo<Upgraded>),
    /// One of its streams.
    Stream(Duplex),
}

impl AsyncRead for Side {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Connection(connection) => Pin::new(connection).poll_read(cx, buffer),
            Self::Stream(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Side {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Connection(connection) => Pin::new(connection).poll_write(cx, bytes),
            Self::Stream(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Connection(connection) => Pin::new(connection).poll_flush(cx),
            Self::Stream(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Connection(connection) => Pin::new(connection).poll_shutdown(cx),
            Self::Stream(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
