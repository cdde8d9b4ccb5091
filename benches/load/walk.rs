//! A browser at the pretend org, as short as possible: from the address it is sent to, to where the org lets it go.
//!
//! It signs in once and is recognised afterwards, over one kept-alive connection, so that 100,000 sign-ins are a
//! matter of a minute or two. Shared by both benches, because a session can be had in no other way: only
//! `Provider::complete` makes a `SignedIn`.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, COOKIE, HOST, LOCATION, SET_COOKIE};
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use portcullis::emulator::people::STANDARD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use url::Url;

/// More redirects than any sign-in has.
const MOST: usize = 8;

/// How many sign-ins of one browser may fail: so many, or this share.
const MOST_BORNE: usize = 100;
const SHARE_BORNE: usize = 100;

/// A kept-alive connection to one server.
pub(crate) struct Line {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
}

impl Line {
    /// Connects to `address`, which calls itself `authority`; by TLS when there is a certificate to trust.
    pub(crate) async fn open(address: SocketAddr, authority: &str, certificate: Option<&Path>) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        match certificate {
            None => Self::over(stream, authority).await,
            Some(file) => {
                let connector = tokio_rustls::TlsConnector::from(Arc::new(trust(file, b"http/1.1")?));
                Self::over(connector.connect(ServerName::try_from("localhost")?, stream).await?, authority).await
            }
        }
    }

    async fn over<S>(stream: S, authority: &str) -> anyhow::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // Ends with its sender.
        tokio::spawn(connection);
        Ok(Self { sender, authority: authority.to_owned() })
    }

    /// One exchange with its body.
    pub(crate) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> anyhow::Result<(StatusCode, HeaderMap, Bytes)> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, &self.authority);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.sender.ready().await?;
        let response = self.sender.send_request(request.body(Full::from(body))?).await?;
        let (head, body) = response.into_parts();
        Ok((head.status, head.headers, body.collect().await?.to_bytes()))
    }
}

/// A browser that is, or will be, signed in at the org.
pub(crate) struct Walker {
    line: Line,
    org: Url,
    cookie: Option<String>,
    borne: usize,
    walks: usize,
}

impl Walker {
    /// A browser that knows nobody yet.
    pub(crate) async fn arrive(org: &str) -> anyhow::Result<Self> {
        let org = Url::parse(org)?;
        Ok(Self { line: line_to(&org).await?, org, cookie: None, borne: 0, walks: 0 })
    }

    /// Takes a failed sign-in now and then, and goes on with a new connection: the pretend org forgets all codes when it
    /// has given out 10,000, and those under way at that moment fail; and on a busy machine servers lose patience.
    pub(crate) async fn bear(&mut self, error: anyhow::Error) -> anyhow::Result<()> {
        self.borne += 1;
        if self.borne > MOST_BORNE.max(self.walks / SHARE_BORNE) {
            return Err(error);
        }
        self.line = line_to(&self.org).await?;
        Ok(())
    }

    /// Follows `location`, signing in where asked, to the address that leaves the org (OpenID Connect's callback),
    /// or to a page of the org's that leads on by itself (SAML's form): where that is, and the page.
    pub(crate) async fn walk(&mut self, location: &str) -> anyhow::Result<(Url, Bytes)> {
        self.walks += 1;
        let mut here = self.org.join(location)?;
        for _ in 0..MOST {
            let (status, headers, page) = match here.path() {
                "/" => self.sign_in(&here).await?,
                _ => self.get(&here).await?,
            };
            let Some(next) = headers.get(LOCATION) else {
                return if status == StatusCode::OK { Ok((here, page)) } else { Err(anyhow!("{here}: {status}")) };
            };
            here = here.join(next.to_str()?)?;
            if here.origin() != self.org.origin() {
                return Ok((here, Bytes::new()));
            }
        }
        bail!("too many redirects: {here}")
    }

    async fn get(&mut self, here: &Url) -> anyhow::Result<(StatusCode, HeaderMap, Bytes)> {
        let cookie = self.cookie.clone().unwrap_or_default();
        let path = &here[url::Position::BeforePath..];
        self.line.ask(Method::GET, path, &[(COOKIE.as_str(), &cookie)], String::new()).await
    }

    async fn sign_in(&mut self, here: &Url) -> anyhow::Result<(StatusCode, HeaderMap, Bytes)> {
        let onward = here.query_pairs().find(|(name, _)| name == "startURL").map(|(_, path)| path.into_owned());
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("person", STANDARD.username)
            .append_pair("startURL", &onward.unwrap_or_default())
            .finish();
        let content_type = (CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded");
        let answer = self.line.ask(Method::POST, "/login", &[content_type], form).await?;
        self.cookie = cookies(&answer.1).next();
        Ok(answer)
    }
}

async fn line_to(org: &Url) -> anyhow::Result<Line> {
    let address = org.socket_addrs(|| None)?.into_iter().next().ok_or_else(|| anyhow!("no address"))?;
    Line::open(address, &address.to_string(), None).await
}

/// The `name=value` of each `Set-Cookie`.
pub(crate) fn cookies(headers: &HeaderMap) -> impl Iterator<Item = String> {
    let first = |line: &str| line.split(';').next().unwrap_or_default().to_owned();
    headers.get_all(SET_COOKIE).into_iter().filter_map(|line| line.to_str().ok()).map(first)
}

/// A TLS client that trusts one certificate and speaks one protocol.
pub(crate) fn trust(certificate: &Path, protocol: &[u8]) -> anyhow::Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).map_err(|error| anyhow!("{error}"))?)?;
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    // In the order of browsers, which nginx follows: AES with keys of 128 bits comes first.
    provider.cipher_suites.sort_by_key(|suite| !format!("{:?}", suite.suite()).contains("AES_128"));
    let builder =
        rustls::ClientConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions()?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(config)
}
