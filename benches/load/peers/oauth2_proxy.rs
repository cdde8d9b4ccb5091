//! oauth2-proxy: signs in at the pretend org by itself, and keeps the session in its cookie, as it does by default, or
//! in a Redis that is asked about each request.

use std::fs::File;
use std::net::SocketAddr;
use std::process::Command;

use super::Scene;

/// Where `bash benches/peers` puts it, when there is Go.
pub(super) const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers/bin/oauth2-proxy");

/// Where the org sends the browser back to.
pub(super) const CALLBACK: &str = "/oauth2/callback";

/// What it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It is the proxy.
    Alone,
    /// It is the proxy, and keeps its sessions there.
    WithRedis(SocketAddr),
    /// nginx asks it there, and forwards by itself.
    Asked(SocketAddr),
}

/// Its arguments; it has no configuration file of its own here. What its manual does not ask for stays as it ships, its
/// lines for each request included.
pub(super) fn arrange(proxy: &mut Command, scene: &Scene<'_>, role: Role) -> anyhow::Result<()> {
    let Scene { options, listen, app, org, folder } = scene;
    let (url, origin, client) = (org.org_url(), options.origin(), org.app());
    let secure = options.is_secure();
    let listen = match role {
        Role::Alone => {
            proxy.arg(format!("--upstream=http://{app}/"));
            *listen
        }
        Role::WithRedis(redis) => {
            proxy.arg(format!("--upstream=http://{app}/"));
            proxy.arg("--session-store-type=redis").arg(format!("--redis-connection-url=redis://{redis}"));
            *listen
        }
        Role::Asked(address) => {
            proxy.args(["--reverse-proxy=true", "--set-xauthrequest=true"]);
            address
        }
    };
    proxy.env("GOMAXPROCS", options.workers.to_string());
    for argument in [
        "--provider=oidc".to_owned(),
        format!("--oidc-issuer-url={url}"),
        format!("--client-id={}", client.client_id),
        format!("--client-secret={}", client.client_secret),
        format!("--redirect-url={origin}{CALLBACK}"),
        "--cookie-secret=0123456789abcdef0123456789abcdef".to_owned(),
        format!("--cookie-secure={secure}"),
        "--code-challenge-method=S256".to_owned(),
        "--email-domain=*".to_owned(),
        "--insecure-oidc-allow-unverified-email=true".to_owned(),
        "--skip-provider-button=true".to_owned(),
        // Its complaints about connections that the load generator closes at the end.
        "--standard-logging=false".to_owned(),
        format!("--request-logging={}", scene.log().is_some()),
    ] {
        proxy.arg(argument);
    }
    if let Some(file) = scene.log() {
        // nginx may write its own beside it.
        proxy.stdout(File::create(file.with_extension("oauth2-proxy.log"))?);
    }
    if secure && !matches!(role, Role::Asked(_)) {
        let file = |name: &str| folder.join(name).display().to_string();
        proxy.arg(format!("--https-address={listen}")).arg("--http-address=");
        proxy.arg(format!("--tls-cert-file={}", file("crt.pem")));
        proxy.arg(format!("--tls-key-file={}", file("key.pem")));
    } else {
        proxy.arg(format!("--http-address={listen}"));
    }
    Ok(())
}
