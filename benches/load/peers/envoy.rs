//! Envoy as a plain reverse proxy, or with its OAuth2 filter.
//!
//! That filter passes tokens on, of which Salesforce makes one opaque, and no name (envoyproxy/envoy issue 46003 asks for
//! one). Who is asking is told by another, which verifies the ID token that the first keeps in a cookie, and makes headers
//! of its claims (the way of envoyproxy/gateway issue 4140).

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::Context as _;
use serde_json::{Value, json};
use url::Url;

use super::Scene;

/// Where `bash benches/peers` puts it.
pub(super) const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers/bin/envoy");

/// Where the org sends the browser back to.
pub(super) const CALLBACK: &str = "/envoy/callback";

const EXTENSIONS: &str = "type.googleapis.com/envoy.extensions";

/// What it does beside forwarding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    /// Nothing.
    None,
    /// Signs people in, and lets the app ask who they are.
    OAuth2,
    /// Signs people in, and tells the app who they are.
    Identity(Tokens),
}

/// How often an ID token is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tokens {
    /// With each request, as it does when nobody says otherwise.
    Verified,
    /// Once, and kept in memory.
    Cached,
}

/// Its configuration and arguments.
pub(super) fn arrange(envoy: &mut Command, scene: &Scene<'_>, filter: Filter) -> anyhow::Result<()> {
    let file = scene.folder.join("envoy.json");
    fs::write(&file, configuration(scene, filter)?.to_string())?;
    envoy.arg("-c").arg(file).args(["--concurrency", &scene.options.workers.to_string()]);
    envoy.args(["--disable-hot-restart", "--log-level", "error"]);
    Ok(())
}

fn configuration(scene: &Scene<'_>, filter: Filter) -> anyhow::Result<Value> {
    let router = json!({
        "name": "envoy.filters.http.router",
        "typed_config": { "@type": format!("{EXTENSIONS}.filters.http.router.v3.Router") },
    });
    let mut filters = vec![router];
    let mut clusters = vec![cluster("app", scene.app)];
    if filter != Filter::None {
        let org = Url::parse(scene.org.org_url())?;
        let address = org.socket_addrs(|| None)?.into_iter().next().context("the org has no address")?;
        if let Filter::Identity(tokens) = filter {
            filters.insert(0, identity(scene, tokens));
        }
        filters.insert(0, oauth2(scene));
        clusters.push(cluster("org", address));
    }
    let mut manager = json!({
        "@type": format!("{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "front",
        "codec_type": "AUTO",
        "http_filters": filters,
        "upgrade_configs": [{ "upgrade_type": "websocket" }],
        "route_config": { "virtual_hosts": [{
            "name": "app", "domains": ["*"],
            "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": "app" } }],
        }] },
    });
    if let Some(file) = scene.log() {
        manager["access_log"] = json!([{
            "name": "envoy.access_loggers.file",
            "typed_config": { "@type": format!("{EXTENSIONS}.access_loggers.file.v3.FileAccessLog"), "path": file },
        }]);
    }
    let mut chain = json!({ "filters": [{
        "name": "envoy.filters.network.http_connection_manager", "typed_config": manager,
    }] });
    if scene.options.is_secure() {
        let file = |name: &str| json!({ "filename": scene.folder.join(name) });
        chain["transport_socket"] = json!({
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": format!("{EXTENSIONS}.transport_sockets.tls.v3.DownstreamTlsContext"),
                "common_tls_context": {
                    "alpn_protocols": ["h2", "http/1.1"],
                    "tls_certificates": [{ "certificate_chain": file("crt.pem"), "private_key": file("key.pem") }],
                },
            },
        });
    }
    let listener = json!({ "address": socket(scene.listen), "filter_chains": [chain] });
    // Files of secrets are read as if a server of Envoy's own had sent them, to whom it would name itself.
    let node = json!({ "id": "load", "cluster": "load" });
    Ok(json!({ "node": node, "static_resources": { "listeners": [listener], "clusters": clusters } }))
}

fn oauth2(scene: &Scene<'_>) -> Value {
    let (url, origin, app) = (scene.org.org_url(), scene.options.origin(), scene.org.app());
    let secret = |name: &str, value: &str| {
        let file = scene.folder.join(format!("{name}.json"));
        let secret = json!({ "resources": [{
            "@type": format!("{EXTENSIONS}.transport_sockets.tls.v3.Secret"),
            "name": name, "generic_secret": { "secret": { "inline_string": value } },
        }] });
        // The configuration names the file; Envoy says what is wrong when it is not there.
        let _ = fs::write(&file, secret.to_string());
        json!({ "name": name, "sds_config": { "path_config_source": { "path": file } } })
    };
    json!({
        "name": "envoy.filters.http.oauth2",
        "typed_config": {
            "@type": format!("{EXTENSIONS}.filters.http.oauth2.v3.OAuth2"),
            "config": {
                "token_endpoint": {
                    "cluster": "org", "uri": format!("{url}/services/oauth2/token"), "timeout": "5s",
                },
                "authorization_endpoint": format!("{url}/services/oauth2/authorize"),
                "redirect_uri": format!("{origin}{CALLBACK}"),
                "redirect_path_matcher": { "path": { "exact": CALLBACK } },
                "signout_path": { "path": { "exact": "/envoy/signout" } },
                // Salesforce does not say for how long.
                "default_expires_in": "7200s",
                "forward_bearer_token": true,
                "auth_scopes": ["openid", "profile", "email"],
                "credentials": {
                    "client_id": app.client_id,
                    "token_secret": secret("token", &app.client_secret),
                    "hmac_secret": secret("hmac", "throw-away"),
                },
            },
        },
    })
}

fn identity(scene: &Scene<'_>, tokens: Tokens) -> Value {
    let url = scene.org.org_url();
    let mut provider = json!({
        "issuer": url,
        "audiences": [scene.org.app().client_id],
        "from_cookies": ["IdToken"],
        "remote_jwks": {
            "http_uri": { "uri": format!("{url}/id/keys"), "cluster": "org", "timeout": "5s" },
            "cache_duration": "600s",
            "async_fetch": {},
        },
        // Unless an administrator wanted more, Salesforce's ID tokens say nothing else of who it is.
        "claim_to_headers": [{ "header_name": "x-forwarded-user", "claim_name": "sub" }],
    });
    if tokens == Tokens::Cached {
        provider["jwt_cache_config"] = json!({ "jwt_cache_size": 1000 });
    }
    json!({
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": format!("{EXTENSIONS}.filters.http.jwt_authn.v3.JwtAuthentication"),
            "providers": { "org": provider },
            "rules": [{ "match": { "prefix": "/" }, "requires": { "provider_name": "org" } }],
        },
    })
}

fn cluster(name: &str, address: SocketAddr) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": socket(address) } }] }],
        },
        "circuit_breakers": { "thresholds": [{ "max_connections": 10000, "max_requests": 100_000 }] },
    })
}

fn socket(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } })
}
