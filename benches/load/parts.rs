//! The parts that are servers: the gateway, the app, nginx.

use std::convert::Infallible;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::anyhow;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let page = page.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| std::future::ready(Ok::<_, Infallible>(answer(&request, &page))));
                // A client that goes away is none of our business.
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}

fn answer(request: &Request<hyper::body::Incoming>, page: &Bytes) -> Response<Full<Bytes>> {
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

/// nginx as a plain reverse proxy with kept-alive connections to the app, and nothing else.
pub(crate) fn nginx_conf(options: &Options, listen: SocketAddr, app: SocketAddr, folder: &Path) -> String {
    let folder = folder.display();
    let workers = options.workers;
    let kept = options.in_flight().max(64);
    let (kind, tls) = match (options.is_secure(), options.http2) {
        (false, _) => ("", String::new()),
        (true, http2) => (
            if http2 { " ssl http2" } else { " ssl" },
            format!(
                "ssl_certificate {folder}/crt.pem; ssl_certificate_key {folder}/key.pem; ssl_protocols TLSv1.2 TLSv1.3;"
            ),
        ),
    };
    let scratch: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("{name}_temp_path {folder}/{name};\n"))
        .collect();
    format!(
        "daemon off;\nworker_processes {workers};\npid {folder}/nginx.pid;\nerror_log {folder}/error.log error;\n\
         worker_rlimit_nofile 65536;\nevents {{ worker_connections 30000; }}\n\
         http {{\naccess_log off;\n{scratch}keepalive_timeout 3600s;\nkeepalive_requests 1000000000;\n\
         proxy_max_temp_file_size 0;\n\
         upstream app {{ server {app}; keepalive {kept}; keepalive_requests 1000000000; }}\n\
         server {{\nlisten {listen}{kind} reuseport;\n{tls}\nlocation / {{ proxy_pass http://app; proxy_http_version 1.1; \
         proxy_set_header Connection \"\"; }}\n}}\n}}\n"
    )
}
