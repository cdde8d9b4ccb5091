//! One question to the provider: send it, and judge an answer that is not the expected one.
//!
//! Whose fault a status is, is decided here once for every step: what says "later" is an outage, what names
//! an error is a refusal, a redirect is never followed. Called by the files beside it.

use hyper::header::{ACCEPT, LOCATION};
use hyper::{Request, Response, StatusCode};
use serde_json::{Map, Value};

use crate::http::client::Client;
use crate::identity::ProviderReason;
use crate::identity::trouble::Trouble;

/// Fetches the JSON object at `address`.
pub(super) async fn get_object(client: &Client, address: &str) -> Result<(Response<()>, Map<String, Value>), Trouble> {
    let request = Request::get(address).header(ACCEPT, "application/json").body(Vec::new());
    let request = request.map_err(|_| Trouble::Unreachable(format!("{address} is no address")))?;
    let response = client.send(request).await.map_err(|problem| named(address, problem.into()))?;
    if response.status() != StatusCode::OK {
        return Err(judge_status(address, &response));
    }
    let (head, body) = response.into_parts();
    Ok((Response::from_parts(head, ()), read_object(address, &body)?))
}

/// The JSON object that a body must be.
pub(super) fn read_object(address: &str, body: &[u8]) -> Result<Map<String, Value>, Trouble> {
    // The parser's own words could repeat what was sent, a token for example; so they are not used.
    serde_json::from_slice(body).map_err(|_| {
        Trouble::misbehaved(ProviderReason::UnreadableAnswer, format!("{address} did not answer with a JSON object"))
    })
}

/// The trouble that an unexpected status means when the body says nothing more.
pub(super) fn judge_status(address: &str, response: &Response<Vec<u8>>) -> Trouble {
    let status = response.status();
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Trouble::Unreachable(format!("{address} answered {}", status.as_u16()));
    }
    let onward = match response.headers().get(LOCATION).filter(|_| status.is_redirection()) {
        // Its query may hold anything.
        Some(location) => {
            let location = String::from_utf8_lossy(location.as_bytes());
            format!(" to {} (redirects are not followed)", location.split(['?', '#']).next().unwrap_or_default())
        }
        None => String::new(),
    };
    let detail = format!("{address} answered {}{onward}", status.as_u16());
    Trouble::misbehaved(ProviderReason::UnexpectedStatus, detail)
}

/// The refusal in an OAuth error object (RFC 6749 section 5.2), if the body is one.
pub(super) fn read_refusal(body: &[u8]) -> Option<Trouble> {
    let object: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let text = |name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(Trouble::Refused { error: text("error")?, description: text("error_description") })
}

/// Says which address the trouble was with.
pub(super) fn named(address: &str, trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Unreachable(cause) => Trouble::Unreachable(format!("{address}: {cause}")),
        Trouble::TimedOut(cause) => Trouble::TimedOut(format!("{address}: {cause}")),
        Trouble::Misbehaved { reason, detail } => Trouble::misbehaved(reason, format!("{address}: {detail}")),
        Trouble::Refused { .. } => trouble,
    }
}
