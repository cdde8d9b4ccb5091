//! oauth2-proxy: signs in at the pretend org by itself, and keeps the session in its cookie, as it does by default.

use std::fs::File;
use std::process::Command;

use super::Scene;

/// Where `bash benches/peers` puts it, when there is Go.
pub(super) const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers/bin/oauth2-proxy");

/// Where the org sends the browser back to.
pub(super) const CALLBACK: &str = "/oauth2/callback";

/// Its arguments; it has no configuration file of its own here.
pub(super) fn arrange(proxy: &mut Command, scene: &Scene<'_>) -> anyhow::Result<()> {
    let Scene { options, listen, app, org, folder } = scene;
    let (url, origin, client) = (org.org_url(), options.origin(), org.app());
    let secure = options.is_secure();
    proxy.env("GOMAXPROCS", options.workers.to_string());
    for argument in [
        "--provider=oidc".to_owned(),
        format!("--oidc-issuer-url={url}"),
        format!("--client-id={}", client.client_id),
        format!("--client-secret={}", client.client_secret),
        format!("--redirect-url={origin}{CALLBACK}"),
        format!("--upstream=http://{app}/"),
        "--cookie-secret=0123456789abcdef0123456789abcdef".to_owned(),
        format!("--cookie-secure={secure}"),
        "--code-challenge-method=S256".to_owned(),
        "--email-domain=*".to_owned(),
        "--insecure-oidc-allow-unverified-email=true".to_owned(),
        "--skip-provider-button=true".to_owned(),
        "--pass-user-headers=true".to_owned(),
        "--standard-logging=false".to_owned(),
        format!("--request-logging={}", scene.log().is_some()),
    ] {
        proxy.arg(argument);
    }
    if let Some(file) = scene.log() {
        proxy.stdout(File::create(file)?);
    }
    if secure {
        let file = |name: &str| folder.join(name).display().to_string();
        proxy.arg(format!("--https-address={listen}")).arg("--http-address=");
        proxy.arg(format!("--tls-cert-file={}", file("crt.pem")));
        proxy.arg(format!("--tls-key-file={}", file("key.pem")));
    } else {
        proxy.arg(format!("--http-address={listen}"));
    }
    Ok(())
}
