//! The parts of our own that are servers: the gateway, the app, the small service that nginx asks.

use std::collections::HashSet;
use std::convert::Infallible;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, COOKIE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use portcullis::config::file;
use portcullis::emulator::people::STANDARD;
use portcullis::emulator::saml::HTTP_REDIRECT;
use portcullis::gateway;
use tokio::net::TcpListener;

use super::options::{Options, Protocol};

/// Where the app says whom it sees.
pub(crate) const WHO: &str = "/who";

/// A real gateway, until standard input ends.
pub(crate) fn serve_gateway(config: &Path) -> anyhow::Result<()> {
    let config = file::load(config).map_err(|problems| anyhow!("{problems}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let running = gateway::start(config).await?;
        tokio::task::spawn_blocking(wait_for_the_end).await?;
        running.shutdown().await;
        Ok(())
    })
}

/// An app as quick as can be: one answer for everything, but `/who` says what it was told about the visitor.
pub(crate) fn serve_app(listen: SocketAddr, body: usize) -> anyhow::Result<()> {
    std::thread::spawn(|| {
        wait_for_the_end();
        std::process::exit(0);
    });
    let page = Bytes::from(vec![b'x'; body]);
    serve(listen, move |request| answer(request, &page))
}

/// The least that a proxy of the `auth_request` kind can ask: is this cookie known? 202 and the name, or 401.
pub(crate) fn serve_oracle(listen: SocketAddr, cookies: &Path) -> anyhow::Result<()> {
    std::thread::spawn(|| {
        wait_for_the_end();
        std::process::exit(0);
    });
    let known: HashSet<Vec<u8>> = std::fs::read_to_string(cookies)?.lines().map(|line| line.into()).collect();
    serve(listen, move |request| {
        let mut response = Response::new(Full::new(Bytes::new()));
        if request.headers().get(COOKIE).is_some_and(|cookie| known.contains(cookie.as_bytes())) {
            *response.status_mut() = StatusCode::ACCEPTED;
            response.headers_mut().insert("x-auth-request-user", HeaderValue::from_static(STANDARD.username));
        } else {
            *response.status_mut() = StatusCode::UNAUTHORIZED;
        }
        response
    })
}

fn serve<A>(listen: SocketAddr, answer: A) -> anyhow::Result<()>
where
    A: Fn(&Request<Incoming>) -> Response<Full<Bytes>> + Send + Sync + 'static,
{
    let answer = Arc::new(answer);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                let service = service_fn(|request| std::future::ready(Ok::<_, Infallible>(answer(&request))));
                // A client that goes away is none of our business.
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}

fn answer(request: &Request<Incoming>, page: &Bytes) -> Response<Full<Bytes>> {
    let body = if request.uri().path() == WHO {
        let user = request.headers().get("x-forwarded-user");
        user.map_or_else(Bytes::new, |user| Bytes::copy_from_slice(user.as_bytes()))
    } else {
        page.clone()
    };
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

fn wait_for_the_end() {
    let mut ignored = [0; 64];
    while matches!(std::io::stdin().read(&mut ignored), Ok(1..)) {}
}

/// The gateway's configuration.
pub(crate) fn gateway_toml(
    options: &Options,
    listen: SocketAddr,
    app: SocketAddr,
    org: &portcullis::emulator::Running,
    folder: &Path,
) -> String {
    let (origin, workers, log) = (options.origin(), options.workers, options.access_log.as_str());
    let provider = provider_toml(options, org, folder);
    let tls = if options.is_secure() {
        let (certificate, key) = (folder.join("crt.pem"), folder.join("key.pem"));
        format!("[tls]\ncertificate = {certificate:?}\nprivate_key = {key:?}\n")
    } else {
        String::new()
    };
    let capacity = options.sessions.max(100_000) + 1000;
    format!(
        "public_url = {origin:?}\nlisten = \"{listen}\"\nworkers = {workers}\n{tls}\
         [operator]\nlisten = \"off\"\n[log]\nformat = \"json\"\nlevel = \"error\"\naccess = {log:?}\n\
         [session]\ncapacity = {capacity}\n[limits]\nheader_timeout = \"10m\"\nconnections = 100000\n\
         [provider.salesforce]\n{provider}[[route]]\nname = \"wiki\"\nupstream = \"http://{app}\"\n",
    )
}

/// Its provider: the pretend org.
fn provider_toml(options: &Options, org: &portcullis::emulator::Running, folder: &Path) -> String {
    let url = org.org_url();
    match options.protocol {
        Protocol::Oidc => {
            let app = org.app();
            format!("org = {url:?}\nclient_id = {:?}\nclient_secret = {:?}\n", app.client_id, app.client_secret)
        }
        Protocol::Saml => format!(
            "protocol = \"saml\"\nissuer = {url:?}\nsso_url = \"{url}{HTTP_REDIRECT}\"\ncertificate = {:?}\n\
             organization = {:?}\n",
            folder.join("org.pem"),
            STANDARD.organization,
        ),
    }
}
