//! A connection as it was accepted, by whichever kind of listener.
//!
//! An enum rather than a type parameter: everything behind it, hyper included, is compiled once. Called by `server`
//! and `server::connection`.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::listen;
use crate::http::Remote;
use crate::http::tunnel::{self, Carrier};

/// A listener on the current runtime.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// On the current runtime.
    pub(super) fn new(listener: listen::Listener) -> io::Result<Self> {
        match listener {
            listen::Listener::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                // Linux hands it down to what is accepted, which saves a call for each connection.
                SockRef::from(&listener).set_tcp_nodelay(true)?;
                TcpListener::from_std(listener).map(Self::Tcp)
            }
            listen::Listener::Unix(listener) => {
                listener.set_nonblocking(true)?;
                UnixListener::from_std(listener).map(Self::Unix)
            }
        }
    }

    /// The next connection, and where it came from.
    pub(super) async fn accept(&self) -> io::Result<(Socket, Remote)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Fails only when the client is gone already, which the first read will tell.
                #[cfg(not(target_os = "linux"))]
                let _ = stream.set_nodelay(true);
                Ok((Socket::new(Stream::Tcp(stream)), address.into()))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Socket::new(Stream::Unix(stream)), Remote::Unix))
            }
        }
    }
}

/// An accepted connection.
pub(super) struct Socket {
    stream: Stream,
    /// What was read too far; rare, so it takes no room.
    #[expect(clippy::box_collection, reason = "every connection would carry an empty vector")]
    ahead: Option<Box<Vec<u8>>>,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

#[cfg(test)]
impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        Self::new(Stream::Unix(stream))
    }
}

impl Socket {
    fn new(stream: Stream) -> Self {
        Self { stream, ahead: None }
    }

    /// The same connection by another descriptor, whose readiness is its own.
    pub(super) fn again(&self) -> io::Result<Self> {
        let again = self.as_ref().try_clone()?;
        Ok(Self::new(match self.stream {
            Stream::Tcp(_) => Stream::Tcp(TcpStream::from_std(again.into())?),
            Stream::Unix(_) => Stream::Unix(UnixStream::from_std(again.into())?),
        }))
    }

    /// Waits for the end of both directions. Nothing can be written by this descriptor from then on, nor before: it
    /// takes "there is room" for no news.
    pub(super) async fn closed(self) {
        let no_news = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        loop {
            let ready = match &self.stream {
                Stream::Tcp(stream) => stream.ready(Interest::WRITABLE).await,
                Stream::Unix(stream) => stream.ready(Interest::WRITABLE).await,
            };
            match ready {
                Ok(ready) if !ready.is_write_closed() => {}
                // The runtime ends.
                Ok(_) | Err(_) => return,
            }
            _ = match &self.stream {
                Stream::Tcp(stream) => stream.try_io(Interest::WRITABLE, no_news),
                Stream::Unix(stream) => stream.try_io(Interest::WRITABLE, no_news),
            };
        }
    }

    /// The socket itself, for what does not wait.
    pub(super) fn as_ref(&self) -> SockRef<'_> {
        match &self.stream {
            Stream::Tcp(stream) => SockRef::from(stream),
            Stream::Unix(stream) => SockRef::from(stream),
        }
    }

    /// Has `bytes` read again, before what was given back already and what comes next.
    pub(super) fn give_back(&mut self, mut bytes: Vec<u8>) {
        if let Some(ahead) = self.ahead.take() {
            bytes.extend_from_slice(&ahead);
        }
        self.ahead = (!bytes.is_empty()).then(|| Box::new(bytes));
    }

    fn read_ahead(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let Some(ahead) = &mut self.ahead else { return false };
        let length = ahead.len().min(buf.remaining());
        buf.put_slice(&ahead[..length]);
        ahead.drain(..length);
        if ahead.is_empty() {
            self.ahead = None;
        }
        true
    }
}

impl Carrier for Socket {
    fn socket(&self) -> Option<tunnel::Socket<'_>> {
        match &self.stream {
            _ if self.ahead.is_some() => None,
            Stream::Tcp(stream) => Some(tunnel::Socket::Tcp(stream)),
            Stream::Unix(stream) => Some(tunnel::Socket::Unix(stream)),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.read_ahead(buf) {
            return Poll::Ready(Ok(()));
        }
        match &mut this.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Stream::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn what_is_given_back_twice_is_read_in_order() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut socket = Socket::new(Stream::Unix(near));
        far.write_all(b" and ends").await.unwrap();
        drop(far);
        socket.give_back(b"one line goes on".to_vec());
        let mut first = Vec::with_capacity(8);
        socket.read_buf(&mut first).await.unwrap();
        assert_eq!(first, b"one line");
        socket.give_back(first);
        let mut all = String::new();
        socket.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "one line goes on and ends");
    }

    #[tokio::test]
    async fn small_answers_are_not_held_back() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let listener = Listener::new(listen::Listener::Tcp(listener)).unwrap();
        let (accepted, _client) = tokio::join!(listener.accept(), TcpStream::connect(address));
        assert!(accepted.unwrap().0.as_ref().tcp_nodelay().unwrap());
    }
}
