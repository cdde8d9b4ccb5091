//! Whether a client that will send nothing more is still there to be answered.
//!
//! A client may end its side of a connection and wait for its answer (RFC 9293 section 3.6 calls that half-closed), and
//! reading tells no more of it: behind its end a socket is readable for ever. What may follow, a reset, is told to
//! whoever waits to write, and a socket is as good as always ready for that. So it is asked of a second descriptor whose
//! readiness nobody else needs; it costs those clients alone. Called by `server::fence`.

use std::future::{Future, pending};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio_rustls::server::TlsStream;

use super::socket::Socket;
use super::wire::Wire;

/// Tells when the other side is gone altogether.
pub(super) struct HangUp {
    watch: Pin<Box<dyn Future<Output = ()> + Send>>,
    told: bool,
}

impl HangUp {
    fn new(watch: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { watch: Box::pin(watch), told: false }
    }

    /// Ready when it is, from then on.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.told {
            ready!(self.watch.as_mut().poll(cx));
            self.told = true;
        }
        Poll::Ready(())
    }
}

/// A stream that can tell when its other side is gone, once that has ended its own half.
pub(super) trait HangsUp {
    /// Begins to look for it, apart from the stream.
    fn hang_up(&self) -> HangUp;
}

impl HangsUp for Socket {
    fn hang_up(&self) -> HangUp {
        let again = self.again();
        HangUp::new(async move {
            match again {
                Ok(again) => again.closed().await,
                // There is no descriptor left for it: the next write tells.
                Err(_) => pending().await,
            }
        })
    }
}

impl<S: HangsUp> HangsUp for Wire<S> {
    fn hang_up(&self) -> HangUp {
        self.socket().hang_up()
    }
}

/// The end of its half is a close_notify: any other is an error, and whoever ends so is gone (RFC 8446 section 6.1).
impl<S: HangsUp> HangsUp for TlsStream<S> {
    fn hang_up(&self) -> HangUp {
        self.get_ref().0.hang_up()
    }
}

#[cfg(test)]
impl HangsUp for tokio::io::DuplexStream {
    fn hang_up(&self) -> HangUp {
        HangUp::new(pending())
    }
}

#[cfg(test)]
impl<R, W> HangsUp for tokio::io::Join<R, W> {
    fn hang_up(&self) -> HangUp {
        HangUp::new(pending())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpStream, UnixStream};
    use tokio::time::timeout;

    use super::super::listen;
    use super::super::socket::Listener;

    /// Long enough for what is a matter of microseconds.
    const A_WHILE: Duration = Duration::from_millis(50);
    const SOON: Duration = Duration::from_secs(20);

    async fn pair() -> (Socket, TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap());
        let listener = Listener::new(listen::Listener::Tcp(listener)).unwrap();
        let (near, far) = tokio::join!(listener.accept(), far);
        (near.unwrap().0, far.unwrap())
    }

    async fn told(mut hang_up: HangUp) {
        poll_fn(|cx| hang_up.poll(cx)).await;
        poll_fn(|cx| hang_up.poll(cx)).await;
    }

    async fn is_told(socket: &Socket, within: Duration) -> bool {
        timeout(within, told(socket.hang_up())).await.is_ok()
    }

    #[tokio::test]
    async fn a_reset_behind_an_end_is_told_and_the_end_is_not() {
        let (mut near, mut far) = pair().await;
        far.shutdown().await.unwrap();
        assert_eq!(near.read(&mut [0; 8]).await.unwrap(), 0);
        near.write_all(b"still here").await.unwrap();
        far.read_exact(&mut [0; 10]).await.unwrap();
        assert!(!is_told(&near, A_WHILE).await);
        let waits = tokio::spawn(told(near.hang_up()));
        socket2::SockRef::from(&far).set_linger(Some(Duration::ZERO)).unwrap();
        drop(far);
        timeout(SOON, waits).await.unwrap().unwrap();
        assert!(is_told(&near, SOON).await, "also to whoever looks afterwards");
        near.write_all(b"the first descriptor knows as well").await.unwrap_err();
    }

    #[tokio::test]
    async fn one_that_closed_altogether_is_told_at_the_first_write() {
        let (mut near, far) = pair().await;
        drop(far);
        assert_eq!(near.read(&mut [0; 8]).await.unwrap(), 0);
        near.write_all(b"anybody?").await.unwrap();
        assert!(is_told(&near, SOON).await);
    }

    #[tokio::test]
    async fn within_a_machine_it_is_told_without_a_write() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut near = Socket::from(near);
        far.shutdown().await.unwrap();
        assert_eq!(near.read(&mut [0; 8]).await.unwrap(), 0);
        assert!(!is_told(&near, A_WHILE).await);
        drop(far);
        assert!(is_told(&near, SOON).await);
    }
}
