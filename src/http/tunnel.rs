//! The sides of a tunnel: promised with the request, there when the answer that agrees to it has gone out.
//!
//! In HTTP/1.1 a side is the whole connection, which hyper lets go of after a 101; in HTTP/2 it is one stream (RFC
//! 8441), which the door hands over after its 200. Whoever carries bytes need not know which. What hyper and its
//! adapters cost each piece is taken off a connection again: whoever gave it to hyper says how ([`Unwrap`]). Made by
//! `server` for clients and by `proxy` for apps, joined by `proxy::upgrade`.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;

use super::duplex::Duplex;
use super::{BodyError, Request};

/// Both directions of a tunnel's side, whatever they go over.
pub trait Carrier: AsyncRead + AsyncWrite + Send + Unpin {
    /// The socket below, as long as what is read and written there is what would be here.
    fn socket(&self) -> Option<Socket<'_>> {
        None
    }
}

/// A socket, for what does not wait.
#[derive(Clone, Copy, Debug)]
pub enum Socket<'a> {
    /// Over the network.
    Tcp(&'a TcpStream),
    /// Within this machine.
    Unix(&'a UnixStream),
}

impl Socket<'_> {
    /// Reads what there is: false when that is nothing. At the end, nothing is read and it is true.
    ///
    /// # Errors
    /// As the socket says.
    pub fn try_read(self, piece: &mut ReadBuf<'_>) -> io::Result<bool> {
        let (before, room) = (piece.filled().len(), piece.remaining());
        // Less than there was room for is all that there was: tokio is told so with the only word that it takes, and
        // nobody asks the socket in vain.
        let all = |read: io::Result<usize>| match read {
            Ok(count) if 0 < count && count < room => Err(io::ErrorKind::WouldBlock.into()),
            read => read.map(drop),
        };
        let read = match self {
            Self::Tcp(stream) => stream.try_io(Interest::READABLE, || all(stream.try_read_buf(piece))),
            Self::Unix(stream) => stream.try_io(Interest::READABLE, || all(stream.try_read_buf(piece))),
        };
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(piece.filled().len() > before),
            read => read.map(|()| true),
        }
    }

    /// Writes what is taken at once, and says how much that was.
    ///
    /// # Errors
    /// As the socket says.
    pub fn try_write(self, bytes: &[u8]) -> io::Result<usize> {
        let written = match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            written => written,
        }
    }

    /// Ready when there may be something to read.
    pub fn poll_read_ready(self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
        }
    }
}

impl Carrier for Duplex {}

impl Carrier for TokioIo<Upgraded> {}

/// One side of a tunnel.
pub type Side = Box<dyn Carrier>;

/// One side of a tunnel that is to come.
#[derive(Debug)]
pub enum Promise {
    /// Of hyper.
    Upgrade(OnUpgrade, Unwrap),
    /// Of the door.
    Stream(oneshot::Receiver<Duplex>),
    /// There already.
    Kept(Box<Duplex>),
}

/// Has a connection back from hyper, as it was before.
#[derive(Clone, Copy, Debug)]
pub struct Unwrap(pub fn(Upgraded) -> Result<Side, Broken>);

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
        stream.map_or_else(
            || {
                let unwrap = request.extensions_mut().remove().unwrap_or_default();
                Self::Upgrade(hyper::upgrade::on(request), unwrap)
            },
            Self::Stream,
        )
    }

    /// The tunnel.
    ///
    /// # Errors
    /// [`Broken`] when it does not come about.
    pub async fn kept(self) -> Result<Side, Broken> {
        match self {
            Self::Upgrade(upgrade, Unwrap(unwrap)) => match upgrade.await {
                Ok(connection) => unwrap(connection),
                Err(error) => Err(Broken(error.into())),
            },
            Self::Kept(stream) => Ok(stream),
            Self::Stream(told) => match told.await {
                Ok(stream) => Ok(Box::new(stream)),
                Err(error) => Err(Broken(error.into())),
            },
        }
    }
}

impl Default for Unwrap {
    /// Leaves it in hyper's hands.
    fn default() -> Self {
        Self(|connection| Ok(Box::new(TokioIo::new(connection))))
    }
}

/// Has a connection back that hyper was given as a `T`. `rest` takes off it what a tunnel has no use for.
///
/// # Errors
/// [`Broken`], should it be another.
pub fn unwrap<T, S>(connection: Upgraded, rest: impl FnOnce(T) -> S) -> Result<Side, Broken>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: Carrier + 'static,
{
    let parts = connection.downcast::<TokioIo<T>>().map_err(|_| Broken("hyper had another connection".into()))?;
    let (ahead, stream) = (parts.read_buf, rest(parts.io.into_inner()));
    Ok(if ahead.is_empty() { Box::new(stream) } else { Box::new(Ahead { ahead, stream }) })
}

/// A connection of which something was read already, behind the head that made it a tunnel.
pub struct Ahead<S> {
    /// It comes first.
    pub ahead: Bytes,
    /// The rest.
    pub stream: S,
}

impl<S: Carrier> Carrier for Ahead<S> {
    fn socket(&self) -> Option<Socket<'_>> {
        if self.ahead.is_empty() { self.stream.socket() } else { None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Ahead<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let length = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Ahead<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
