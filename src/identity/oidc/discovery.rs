//! Discovery (OpenID Connect Discovery 1.0): where an org's endpoints are.
//!
//! The issuer must be the configured address, exactly (section 4.3), and no endpoint may lie elsewhere: a
//! document that sends our codes and secrets to another host is refused whoever served it. Called by `oidc`.

use std::time::Duration;

use hyper::Response;
use serde_json::{Map, Value};
use url::Url;

use super::ask::get_object;
use crate::http::client::Client;
use crate::identity::ProviderReason;
use crate::identity::trouble::{Trouble, clean};

/// When a document is fetched anew.
pub(super) const FRESH: Duration = Duration::from_secs(3600);
/// How long one is used while it cannot be fetched.
pub(super) const BOUND: Duration = Duration::from_secs(24 * 3600);

/// What we use of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoints {
    pub(super) authorization: Url,
    pub(super) token: Url,
    pub(super) userinfo: Url,
    pub(super) keys: Url,
}

/// Fetches and judges the document of `issuer`, with the head of the answer.
pub(super) async fn fetch(client: &Client, issuer: &str) -> Result<(Response<()>, Endpoints), Trouble> {
    let (head, document) = get_object(client, &format!("{issuer}/.well-known/openid-configuration")).await?;
    Ok((head, read(issuer, &document)?))
}

fn read(issuer: &str, document: &Map<String, Value>) -> Result<Endpoints, Trouble> {
    let said = document.get("issuer").and_then(Value::as_str);
    if said != Some(issuer) {
        let said = clean(said.unwrap_or("no issuer"));
        let detail = format!("the document of {issuer} names {said}; `org` must be the address that it names");
        return Err(Trouble::misbehaved(ProviderReason::DiscoveryIssuer, detail));
    }
    let home = Url::parse(issuer).map_err(|_| elsewhere("issuer"))?.origin();
    let endpoint = |name: &'static str| {
        let text = document.get(name).and_then(Value::as_str).ok_or_else(|| missing(name))?;
        let url = Url::parse(text).map_err(|_| missing(name))?;
        let bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        if bare && url.origin() == home { Ok(url) } else { Err(elsewhere(name)) }
    };
    Ok(Endpoints {
        authorization: endpoint("authorization_endpoint")?,
        token: endpoint("token_endpoint")?,
        userinfo: endpoint("userinfo_endpoint")?,
        keys: endpoint("jwks_uri")?,
    })
}

fn missing(name: &str) -> Trouble {
    Trouble::misbehaved(ProviderReason::UnreadableAnswer, format!("discovery has no usable `{name}`"))
}

fn elsewhere(name: &str) -> Trouble {
    Trouble::misbehaved(ProviderReason::EndpointElsewhere, format!("`{name}` lies outside the issuer's origin"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ISSUER: &str = "https://acme.my.site.com/portal";

    fn judge(change: impl FnOnce(&mut Value)) -> Result<Endpoints, Trouble> {
        let mut document = json!({
            "issuer": ISSUER,
            "authorization_endpoint": format!("{ISSUER}/services/oauth2/authorize?prompt=select_account"),
            "token_endpoint": format!("{ISSUER}/services/oauth2/token"),
            "userinfo_endpoint": format!("{ISSUER}/services/oauth2/userinfo"),
            "jwks_uri": format!("{ISSUER}/id/keys"),
        });
        change(&mut document);
        read(ISSUER, document.as_object().unwrap())
    }

    fn reason(outcome: Result<Endpoints, Trouble>) -> ProviderReason {
        match outcome {
            Err(Trouble::Misbehaved { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_site_with_a_path_is_read() {
        let endpoints = judge(|_| ()).unwrap();
        assert_eq!(endpoints.keys.as_str(), format!("{ISSUER}/id/keys"));
        assert_eq!(endpoints.authorization.query(), Some("prompt=select_account"));
    }

    #[test]
    fn another_issuer_is_refused() {
        for said in ["https://acme.my.site.com", "https://acme.my.site.com/portal/", "https://evil.example/portal"] {
            assert_eq!(reason(judge(|document| document["issuer"] = json!(said))), ProviderReason::DiscoveryIssuer);
        }
        let silent = judge(|document| document["issuer"] = json!(null));
        assert_eq!(reason(silent), ProviderReason::DiscoveryIssuer);
    }

    #[test]
    fn an_endpoint_elsewhere_is_refused() {
        let names = ["authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"];
        for name in names {
            for address in [
                "https://evil.example/token",
                "http://acme.my.site.com/token",
                "https://acme.my.site.com:8443/token",
                "https://acme.my.site.com@evil.example/token",
                "https://a:b@acme.my.site.com/token",
                "https://acme.my.site.com/token#fragment",
            ] {
                let outcome = judge(|document| document[name] = json!(address));
                assert_eq!(reason(outcome), ProviderReason::EndpointElsewhere, "{name} {address}");
            }
        }
    }

    #[test]
    fn a_missing_endpoint_is_unreadable() {
        for name in ["authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"] {
            for odd in [json!(null), json!(7), json!("not an address")] {
                let outcome = judge(|document| document[name] = odd.clone());
                assert_eq!(reason(outcome), ProviderReason::UnreadableAnswer, "{name} {odd}");
            }
        }
    }
}
