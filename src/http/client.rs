//! The client for identity providers: one question, one connection, one deadline, no redirects.
//!
//! mod_auth_openidc once re-posted a code and a client secret to another host on a 307; so a redirect is an
//! answer here like any other. A sign-in is rare, so nothing is pooled: nothing leaks, nothing goes stale, and
//! no task outlives the call. Called by `identity::oidc`.

#[cfg(test)]
pub(crate) mod script;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use crate::http::origin::is_loopback;

/// The most that an answer may weigh: a hundred times what Salesforce sends.
pub const MAX_ANSWER: usize = 1024 * 1024;

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupProblem {
    /// The file of additional certificates is unreadable.
    #[error("the certificates in {path} cannot be read: {cause}")]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        cause: String,
    },
    /// The file of additional certificates holds none.
    #[error("{0} holds no certificate")]
    NoCertificate(PathBuf),
    /// The TLS library refused its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The address is neither https nor this very machine, or is no address.
    #[error("the address is refused: {0}")]
    Address(&'static str),
    /// No connection, no encryption, or no whole answer.
    #[error("{0}")]
    Unreachable(String),
    /// The deadline passed.
    #[error("no whole answer within {0:?}")]
    TimedOut(Duration),
    /// The answer is beyond [`MAX_ANSWER`].
    #[error("the answer is larger than {MAX_ANSWER} bytes")]
    TooLarge,
}

/// The client: its trust and its patience.
#[derive(Clone)]
pub struct Client {
    tls: TlsConnector,
    timeout: Duration,
}

impl Client {
    /// A client that trusts the system's certificate authorities and those in `ca`, and waits for an answer,
    /// from the name lookup to the last byte, for `timeout`.
    ///
    /// # Errors
    /// [`SetupProblem`] when `ca` is unusable.
    pub fn new(timeout: Duration, ca: Option<&Path>) -> Result<Self, SetupProblem> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = ca {
            add_certificates(&mut roots, path)?;
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|problem| SetupProblem::Tls(problem.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), timeout })
    }

    /// Sends one request to its absolute URI and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// [`Problem`] says why there is none.
    pub async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, Problem> {
        let url = Url::parse(&request.uri().to_string()).map_err(|_| Problem::Address("it is unreadable"))?;
        let (mut head, body) = request.into_parts();
        if head.method == Method::POST && body.is_empty() {
            // RFC 9110 section 8.6: normally sent with POST "even when the value is 0"; hyper does not, and some
            // servers then find no form at all.
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let request = Request::from_parts(head, Full::new(Bytes::from(body)));
        match tokio::time::timeout(self.timeout, self.exchange(&url, request)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Problem::TimedOut(self.timeout)),
        }
    }

    async fn exchange(&self, url: &Url, mut request: Request<Full<Bytes>>) -> Result<Response<Vec<u8>>, Problem> {
        let host = url.host().ok_or(Problem::Address("it has no host"))?.to_owned();
        address_request(url, &mut request)?;
        match url.scheme() {
            "https" => {
                let name = server_name(&host)?;
                let stream = self.connect(url, &host).await?;
                let stream = self.tls.connect(name, stream).await.map_err(failed("the TLS handshake failed"))?;
                converse(stream, request).await
            }
            "http" if is_loopback(url) => converse(self.connect(url, &host).await?, request).await,
            _ => Err(Problem::Address("only https is spoken with other machines")),
        }
    }

    async fn connect(&self, url: &Url, host: &Host<String>) -> Result<TcpStream, Problem> {
        let port = url.port_or_known_default().ok_or(Problem::Address("it has no port"))?;
        let addresses = resolve(url, host, port).await?;
        // An address that swallows packets must leave time for the next one.
        let patience = self.timeout / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let mut last = Problem::Unreachable("the host has no address".to_owned());
        for address in addresses {
            match tokio::time::timeout(patience, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // Only latency suffers when the socket refuses.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(problem)) => last = failed("no connection")(problem),
                Err(_) => last = Problem::TimedOut(patience),
            }
        }
        Err(last)
    }
}

fn add_certificates(roots: &mut RootCertStore, path: &Path) -> Result<(), SetupProblem> {
    let unreadable =
        |cause: &dyn std::fmt::Display| SetupProblem::Certificates { path: path.to_owned(), cause: cause.to_string() };
    let mut count = 0;
    for certificate in CertificateDer::pem_file_iter(path).map_err(|problem| unreadable(&problem))? {
        let certificate = certificate.map_err(|problem| unreadable(&problem))?;
        roots.add(certificate).map_err(|problem| unreadable(&problem))?;
        count += 1;
    }
    if count == 0 { Err(SetupProblem::NoCertificate(path.to_owned())) } else { Ok(()) }
}

/// Turns the absolute request into what goes over the wire to its host (RFC 9112 section 3.2.1).
fn address_request(url: &Url, request: &mut Request<Full<Bytes>>) -> Result<(), Problem> {
    let unwritable = |_| Problem::Address("it cannot be written into a request");
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let authority = match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => return Err(Problem::Address("it has no host")),
    };
    *request.uri_mut() = target.parse().map_err(|_| Problem::Address("it cannot be written into a request"))?;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::try_from(authority).map_err(unwritable)?);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("portcullis/", env!("CARGO_PKG_VERSION"))));
    Ok(())
}

fn server_name(host: &Host<String>) -> Result<ServerName<'static>, Problem> {
    match host {
        Host::Domain(name) => {
            ServerName::try_from(name.clone()).map_err(|_| Problem::Address("its host is no name for TLS"))
        }
        Host::Ipv4(address) => Ok(ServerName::from(std::net::IpAddr::from(*address))),
        Host::Ipv6(address) => Ok(ServerName::from(std::net::IpAddr::from(*address))),
    }
}

/// `localhost` and its children never leave the machine (RFC 6761 section 6.3), whatever a resolver says: plain
/// text is spoken with them.
async fn resolve(url: &Url, host: &Host<String>, port: u16) -> Result<Vec<std::net::SocketAddr>, Problem> {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
    match host {
        Host::Ipv4(address) => Ok(vec![SocketAddr::from((*address, port))]),
        Host::Ipv6(address) => Ok(vec![SocketAddr::from((*address, port))]),
        Host::Domain(_) if is_loopback(url) => {
            Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SocketAddr::from((Ipv6Addr::LOCALHOST, port))])
        }
        Host::Domain(name) => {
            let found = tokio::net::lookup_host((name.as_str(), port)).await;
            Ok(found.map_err(failed("the host's name was not found"))?.collect())
        }
    }
}

/// One request and its answer over `stream`. The connection is driven here, inside the same future: when the
/// caller gives up, everything is dropped together.
async fn converse<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Response<Vec<u8>>, Problem>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(failed("the connection failed"))?;
    let answer = async move {
        let response = sender.send_request(request).await.map_err(failed("no answer"))?;
        read_whole(response).await
    };
    let mut connection = std::pin::pin!(connection);
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        outcome = &mut answer => outcome,
        // The answer may already be on its way to us when the connection has ended; or it never comes, and
        // `answer` says why.
        _ = &mut connection => answer.await,
    }
}

async fn read_whole(response: Response<Incoming>) -> Result<Response<Vec<u8>>, Problem> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|problem| {
        if problem.is::<LengthLimitError>() {
            Problem::TooLarge
        } else {
            Problem::Unreachable(format!("the answer broke off: {problem}"))
        }
    })?;
    Ok(Response::from_parts(head, body.to_bytes().to_vec()))
}

/// Names the step that failed before the cause, sources included.
fn failed<E: std::error::Error>(step: &'static str) -> impl Fn(E) -> Problem {
    move |problem| {
        let mut words = format!("{step}: {problem}");
        let mut source = problem.source();
        while let Some(inner) = source {
            words = format!("{words}: {inner}");
            source = inner.source();
        }
        Problem::Unreachable(words)
    }
}

#[cfg(test)]
mod tests;
