//! Both ends of a connection by hand: a client that sends bytes, and an app that follows a script.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::authority::Authority;

/// How long anything may take before its test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for something that must come, and fails when it does not.
pub async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

/// Asks again and again until the answer is yes; fails when it never is.
pub async fn until<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    soon(what, async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// What bytes come and go over.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Wire for S {}

/// One end of a connection that speaks HTTP/1.1 as it is written.
pub struct Line {
    stream: BufReader<Box<dyn Wire>>,
}

impl Line {
    pub async fn to(authority: &str) -> Self {
        let port = authority.rsplit(':').next().unwrap();
        let stream = TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(Box::new(stream))
    }

    pub fn over(stream: Box<dyn Wire>) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    /// Sends; whether the other end still takes it.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        soon("the other side's taking of bytes", self.stream.get_mut().write_all(bytes.as_ref())).await.is_ok()
    }

    /// Sends no more, and may still be sent to.
    pub async fn end(&mut self) {
        _ = soon("the end of what is sent", self.stream.get_mut().shutdown()).await;
    }

    /// Sends without a deadline, for what must be blocked.
    pub async fn push(&mut self, bytes: &[u8]) -> bool {
        self.stream.get_mut().write_all(bytes).await.is_ok()
    }

    /// The next head, with its line ends, in lower case; `None` when the connection ended.
    pub async fn head(&mut self) -> Option<String> {
        let mut head = String::new();
        soon("a head", async {
            loop {
                let before = head.len();
                if self.stream.read_line(&mut head).await.unwrap_or(0) == 0 {
                    return None;
                }
                if head[before..].trim().is_empty() {
                    return Some(head.to_ascii_lowercase());
                }
            }
        })
        .await
    }

    /// So many bytes.
    pub async fn take(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        soon("the rest of a body", self.stream.read_exact(&mut bytes)).await.expect("so many bytes");
        bytes
    }

    /// The next chunk of a chunked body; empty at its end, before the trailers.
    pub async fn chunk(&mut self) -> Vec<u8> {
        let mut size = String::new();
        soon("a chunk", self.stream.read_line(&mut size)).await.unwrap();
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or_else(|_| panic!("no chunk: {size:?}"));
        if size == 0 {
            return Vec::new();
        }
        let bytes = self.take(size).await;
        self.take(2).await;
        bytes
    }

    /// All that comes until the other end closes.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // a reset is an end, too
        _ = soon("the end of the connection", self.stream.read_to_end(&mut bytes)).await;
        bytes
    }

    /// Whether nothing comes for a while.
    pub async fn is_silent(&mut self, span: Duration) -> bool {
        tokio::time::timeout(span, self.stream.fill_buf()).await.is_err()
    }
}

/// The length that a head announces.
pub fn length(head: &str) -> usize {
    field(head, "content-length").unwrap_or("0").parse().unwrap()
}

/// A field of a head, which comes once.
pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut found = head.lines().skip(1).filter_map(|line| line.split_once(": ")).filter(|(theirs, _)| *theirs == name);
    let first = found.next()?.1;
    assert!(found.next().is_none(), "{name} came twice: {head}");
    Some(first.trim())
}

/// Where a stage listens.
pub enum Ear {
    Tcp(TcpListener),
    Unix(UnixListener),
    Tls(TcpListener, TlsAcceptor),
}

impl Ear {
    /// A loopback port, and its authority.
    pub async fn tcp() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        (listener, authority)
    }

    /// The next connection; `None` when it did not come to speak TLS, or never will.
    async fn hear(&self) -> Option<Box<dyn Wire>> {
        match self {
            Self::Unix(listener) => Some(Box::new(listener.accept().await.ok()?.0)),
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await.ok()?;
                stream.set_nodelay(true).unwrap();
                Some(Box::new(stream))
            }
            Self::Tls(listener, acceptor) => {
                let (stream, _) = listener.accept().await.ok()?;
                stream.set_nodelay(true).unwrap();
                Some(Box::new(acceptor.accept(stream).await.ok()?))
            }
        }
    }
}

/// An app that follows a script for each connection.
pub struct Stage {
    /// Where it listens, as a TCP client says it.
    pub authority: String,
    connections: Arc<AtomicUsize>,
    play: JoinHandle<()>,
}

impl Stage {
    /// The script gets each connection and its number, from 0.
    pub async fn play<F, P>(script: F) -> Self
    where
        F: Fn(Line, usize) -> P + Send + 'static,
        P: Future<Output = ()> + Send + 'static,
    {
        let (listener, authority) = Ear::tcp().await;
        Self::listen(Ear::Tcp(listener), authority, move |wire, number| script(Line::over(wire), number))
    }

    /// The script gets what comes in at `ear`, and its number, from 0.
    pub fn listen<F, P>(ear: Ear, authority: String, script: F) -> Self
    where
        F: Fn(Box<dyn Wire>, usize) -> P + Send + 'static,
        P: Future<Output = ()> + Send + 'static,
    {
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let play = tokio::spawn(async move {
            let mut acts = tokio::task::JoinSet::new();
            loop {
                if let Some(wire) = ear.hear().await {
                    let number = counter.fetch_add(1, Ordering::SeqCst);
                    acts.spawn(script(wire, number));
                }
            }
        });
        Self { authority, connections, play }
    }

    /// An app with TLS that lets clients choose among `protocols`, and the route to it: `new` speaks HTTP/2, `old`
    /// HTTP/1.1.
    pub async fn encrypted<N, O>(
        authority: &Authority,
        protocols: &[&str],
        new: impl Fn(Box<dyn Wire>) -> N + Clone + Send + Sync + 'static,
        old: impl Fn(Line) -> O + Clone + Send + Sync + 'static,
    ) -> (Self, String)
    where
        N: Future<Output = ()> + Send + 'static,
        O: Future<Output = ()> + Send + 'static,
    {
        let config = Arc::new(authority.issue(&["localhost"], |_| ()).server(protocols, None));
        let (listener, address) = Ear::tcp().await;
        let port = address.rsplit(':').next().unwrap().to_owned();
        let stage = Self::listen(Ear::Tcp(listener), address, move |wire, _| {
            let acceptor = TlsAcceptor::from(Arc::clone(&config));
            let (new, old) = (new.clone(), old.clone());
            async move {
                // A client that does not like what is offered goes away.
                let Ok(stream) = acceptor.accept(wire).await else { return };
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    new(Box::new(stream)).await;
                } else {
                    old(Line::over(Box::new(stream))).await;
                }
            }
        });
        let file = authority.file().display().to_string();
        (stage, format!("[[route]]\nupstream = \"https://localhost:{port}\"\n[route.tls]\nca = {file:?}\n"))
    }

    /// An app that answers with one event after another, until nobody hears them.
    pub async fn endless() -> Self {
        Self::play(|mut line: Line, _| async move {
            line.head().await;
            line.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
            let mut beat = tokio::time::interval(Duration::from_millis(50));
            while line.send("5\r\nevent\r\n").await {
                beat.tick().await;
            }
        })
        .await
    }

    /// How many connections came.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The routes of a world whose only app this is.
    pub fn route(&self) -> String {
        format!("[[route]]\nupstream = \"http://{}\"\n", self.authority)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.play.abort();
    }
}
