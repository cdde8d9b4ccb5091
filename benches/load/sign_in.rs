//! Sign-ins through the gateway, as browsers make them.

use anyhow::{Context as _, anyhow, bail};
use hyper::header::{COOKIE, LOCATION};
use hyper::{Method, StatusCode};
use tokio::task::JoinSet;

use super::Stage;
use super::options::Options;
use super::parts::WHO;
use super::walk::{Line, Walker, cookies};

/// How many browsers sign in at a time.
const BROWSERS: usize = 8;

/// `count` sign-ins: the session cookie of each.
pub(crate) async fn many(options: &Options, stage: &Stage, org: &str, count: usize) -> anyhow::Result<Vec<String>> {
    let (gateway, certificate) = (stage.gateway.address, stage.certificate(options));
    let mut browsers = JoinSet::new();
    for browser in 0..BROWSERS.min(count) {
        let share = count / BROWSERS + usize::from(browser < count % BROWSERS);
        let (authority, org, certificate) = (options.authority(), org.to_owned(), certificate.clone());
        browsers.spawn(async move {
            let mut line = Line::open(gateway, authority, certificate.as_deref()).await?;
            let mut walker = Walker::arrive(&org).await?;
            let mut found = Vec::with_capacity(share);
            while found.len() < share {
                match one(&mut line, &mut walker).await {
                    Ok(cookie) => found.push(cookie),
                    Err(error) => walker.bear(error)?,
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

async fn one(line: &mut Line, walker: &mut Walker) -> anyhow::Result<String> {
    let (status, headers) = line.ask(Method::GET, "/", &[("accept", "text/html")], String::new()).await?;
    let location = headers.get(LOCATION).with_context(|| format!("no way to sign in, but {status}"))?.to_str()?;
    let attempt = cookies(&headers).collect::<Vec<_>>().join("; ");
    let callback = walker.walk(location).await?;
    let path = &callback[url::Position::BeforePath..];
    let (status, headers) = line.ask(Method::GET, path, &[(COOKIE.as_str(), &attempt)], String::new()).await?;
    let is_session = |cookie: &String| {
        let name = cookie.split('=').next().unwrap_or_default();
        name == "portcullis" || name == "__Host-portcullis"
    };
    cookies(&headers).find(is_session).ok_or_else(|| anyhow!("the callback was answered {status}, without a session"))
}

/// Makes sure that what is measured is what is meant: with a session the app learns who it is, without one the
/// app is not reached.
pub(crate) async fn check(stage: &Stage, options: &Options, cookies: &[String]) -> anyhow::Result<()> {
    let mut line =
        Line::open(stage.gateway.address, options.authority(), stage.certificate(options).as_deref()).await?;
    let cookie = cookies.first().context("nobody signed in")?;
    let (status, _, who) = line.ask_whole(Method::GET, WHO, &[(COOKIE.as_str(), cookie)], String::new()).await?;
    if status != StatusCode::OK || !who.starts_with(b"005") {
        bail!("signed in, and the app is told {who:?} ({status})");
    }
    let (status, _) = line.ask(Method::GET, WHO, &[], String::new()).await?;
    if status != StatusCode::UNAUTHORIZED {
        bail!("not signed in, and answered {status}");
    }
    Ok(())
}
