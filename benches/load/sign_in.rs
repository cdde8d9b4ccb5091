//! Sign-ins through the gateway, as browsers make them.

use anyhow::{Context as _, anyhow, bail};
use hyper::header::{CONTENT_TYPE, COOKIE, LOCATION};
use hyper::{Method, StatusCode};
use tokio::task::JoinSet;

use super::app::WHO;
use super::options::Protocol;
use super::stage::Door;
use super::walk::{Line, Walker, cookies};

/// How many browsers sign in at a time.
const BROWSERS: usize = 8;

/// `count` sign-ins: the session cookie of each.
pub(crate) async fn many(door: &Door, protocol: Protocol, org: &str, count: usize) -> anyhow::Result<Vec<String>> {
    let mut browsers = JoinSet::new();
    for browser in 0..BROWSERS.min(count) {
        let share = count / BROWSERS + usize::from(browser < count % BROWSERS);
        let (door, org) = (door.clone(), org.to_owned());
        browsers.spawn(async move {
            let mut line = door.open().await?;
            let mut walker = Walker::arrive(&org).await?;
            let mut found = Vec::with_capacity(share);
            while found.len() < share {
                match one(protocol, &mut line, &mut walker).await {
                    Ok(cookie) => found.push(cookie),
                    Err(error) => {
                        walker.bear(error).await?;
                        line = door.open().await?;
                    }
                }
            }
            anyhow::Ok(found)
        });
    }
    let mut found = Vec::with_capacity(count);
    while let Some(share) = browsers.join_next().await {
        found.extend(share??);
    }
    Ok(found)
}

async fn one(protocol: Protocol, line: &mut Line, walker: &mut Walker) -> anyhow::Result<String> {
    let (status, headers, _) = line.ask(Method::GET, "/", &[("accept", "text/html")], String::new()).await?;
    let location = headers.get(LOCATION).with_context(|| format!("no way to sign in, but {status}"))?.to_str()?;
    let attempt = cookies(&headers).collect::<Vec<_>>().join("; ");
    let (left, page) = walker.walk(location).await?;
    let attempt = (COOKIE.as_str(), attempt.as_str());
    let (status, headers, _) = match protocol {
        Protocol::Oidc => line.ask(Method::GET, &left[url::Position::BeforePath..], &[attempt], String::new()).await?,
        Protocol::Saml => {
            let page = std::str::from_utf8(&page)?;
            let form = url::form_urlencoded::Serializer::new(String::new())
                .append_pair("SAMLResponse", &field(page, "SAMLResponse")?)
                .append_pair("RelayState", &field(page, "RelayState")?)
                .finish();
            let content_type = (CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded");
            line.ask(Method::POST, "/.portcullis/saml/acs", &[attempt, content_type], form).await?
        }
    };
    let is_session = |cookie: &String| {
        let name = cookie.split('=').next().unwrap_or_default();
        name == "portcullis" || name == "__Host-portcullis"
    };
    cookies(&headers)
        .find(is_session)
        .ok_or_else(|| anyhow!("the org's answer was answered {status}, without a session"))
}

/// A field of the org's form. Its values are base64 of either kind, in which templates escape the slash at most.
fn field(page: &str, name: &str) -> anyhow::Result<String> {
    let value = page.split_once(&format!("name=\"{name}\" value=\"")).and_then(|(_, rest)| rest.split_once('"'));
    Ok(value.with_context(|| format!("no {name} at the org"))?.0.replace("&#x2f;", "/"))
}

/// Makes sure that what is measured is what is meant: with a session the app learns who it is, without one the
/// app is not reached.
pub(crate) async fn check(door: &Door, cookies: &[String]) -> anyhow::Result<()> {
    let mut line = door.open().await?;
    let cookie = cookies.first().context("nobody signed in")?;
    let (status, _, who) = line.ask(Method::GET, WHO, &[(COOKIE.as_str(), cookie)], String::new()).await?;
    if status != StatusCode::OK || !who.starts_with(b"005") {
        bail!("signed in, and the app is told {who:?} ({status})");
    }
    let (status, _, _) = line.ask(Method::GET, WHO, &[], String::new()).await?;
    if status != StatusCode::UNAUTHORIZED {
        bail!("not signed in, and answered {status}");
    }
    Ok(())
}
