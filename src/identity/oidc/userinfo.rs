//! Userinfo (OpenID Connect Core section 5.3): who the person is in words.
//!
//! Salesforce's ID tokens are minimal by default, so names come from here; but only the ID token says *who*:
//! an answer about anybody else is refused (section 5.3.2). Errors are 403 with one word of plain text
//! (salesforce.md 2.9). Called by `oidc`.

use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode};
use serde_json::{Map, Value};

use super::UserInfoMethod;
use super::ask::{judge_status, named, read_object, read_refusal};
use crate::http::client::Client;
use crate::identity::ProviderReason;
use crate::identity::salesforce::{OrgId, UserId, read_subject};
use crate::identity::trouble::{Trouble, clean};

/// Asks who the bearer of `access_token` is; the answer must be of `person`.
pub(super) async fn fetch(
    client: &Client,
    address: &str,
    method: UserInfoMethod,
    access_token: &str,
    person: (OrgId, UserId),
) -> Result<Map<String, Value>, Trouble> {
    let unsendable = || {
        let detail = "the access token cannot be sent in a header";
        Trouble::misbehaved(ProviderReason::UnreadableAnswer, detail)
    };
    let mut bearer = HeaderValue::try_from(format!("Bearer {access_token}")).map_err(|_| unsendable())?;
    bearer.set_sensitive(true);
    let mut request = Request::builder().uri(address).header(ACCEPT, "application/json").header(AUTHORIZATION, bearer);
    request = match method {
        UserInfoMethod::Get => request.method(Method::GET),
        UserInfoMethod::Post => request.method(Method::POST).header(CONTENT_TYPE, "application/x-www-form-urlencoded"),
    };
    let request = request.body(Vec::new()).map_err(|_| unsendable())?;
    let response = client.send(request).await.map_err(|problem| named(address, problem.into()))?;
    if response.status() != StatusCode::OK {
        let refusal = read_refusal(response.body()).or_else(|| read_word(response.status(), response.body()));
        return Err(refusal.unwrap_or_else(|| judge_status(address, &response)));
    }
    let claims = read_object(address, response.body())?;
    check_person(&claims, person)?;
    Ok(claims)
}

/// Salesforce's refusal in one word, such as `Bad_OAuth_Token`.
fn read_word(status: StatusCode, body: &[u8]) -> Option<Trouble> {
    let word = std::str::from_utf8(body).ok()?.trim();
    let is_word =
        (1..=64).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let refused = matches!(status, StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST);
    (is_word && refused).then(|| Trouble::Refused { error: word.to_owned(), description: None })
}

/// `sub`, and Salesforce's own two ids when they are there, must be of the person of the ID token.
fn check_person(claims: &Map<String, Value>, (organization, user): (OrgId, UserId)) -> Result<(), Trouble> {
    let refuse = |what: &str, said: &Value| {
        let detail = format!("`{what}` of userinfo is of another person: {}", clean(&said.to_string()));
        Err(Trouble::misbehaved(ProviderReason::UserInfoSubject, detail))
    };
    let text = |name: &str| claims.get(name).filter(|value| !value.is_null());
    let sub = text("sub").unwrap_or(&Value::Null);
    if sub.as_str().and_then(read_subject) != Some((organization, user)) {
        return refuse("sub", sub);
    }
    if let Some(said) = text("organization_id")
        && said.as_str().and_then(|id| OrgId::parse(id).ok()) != Some(organization)
    {
        return refuse("organization_id", said);
    }
    match text("user_id") {
        Some(said) if said.as_str().and_then(|id| UserId::parse(id).ok()) != Some(user) => refuse("user_id", said),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn person() -> (OrgId, UserId) {
        (OrgId::parse("00D5g00000ABCDE").unwrap(), UserId::parse("0055g00000AbCdE").unwrap())
    }

    fn judge(change: impl FnOnce(&mut Value)) -> Result<(), Trouble> {
        let (org, user) = person();
        let mut claims = json!({"sub": format!("https://acme.my.salesforce.com/id/{org}/{user}"),
            "organization_id": org, "user_id": user});
        change(&mut claims);
        check_person(claims.as_object().unwrap(), person())
    }

    fn is_another(outcome: Result<(), Trouble>) -> bool {
        matches!(outcome, Err(Trouble::Misbehaved { reason: ProviderReason::UserInfoSubject, .. }))
    }

    #[test]
    fn the_same_person_passes_whatever_the_host_and_the_length() {
        judge(|_| ()).unwrap();
        judge(|claims| claims["organization_id"] = json!("00D5g00000ABCDE")).unwrap();
        judge(|claims| claims["user_id"] = json!(null)).unwrap();
        judge(|claims| claims.as_object_mut().unwrap().retain(|name, _| name == "sub")).unwrap();
    }

    #[test]
    fn another_person_is_refused() {
        let (org, user) = person();
        let other_org = OrgId::parse("00D5g00000ABCDF").unwrap();
        let other_user = UserId::parse("0055g00000AbCdF").unwrap();
        let address = |org, user| json!(format!("https://login.salesforce.com/id/{org}/{user}"));
        assert!(is_another(judge(|claims| claims["sub"] = address(org, other_user))));
        assert!(is_another(judge(|claims| claims["sub"] = address(other_org, user))));
        assert!(is_another(judge(|claims| claims["sub"] = json!(user))));
        assert!(is_another(judge(|claims| claims["sub"] = json!(null))));
        assert!(is_another(judge(|claims| claims["organization_id"] = json!(other_org))));
        assert!(is_another(judge(|claims| claims["organization_id"] = json!(7))));
        assert!(is_another(judge(|claims| claims["user_id"] = json!(other_user))));
    }

    #[test]
    fn one_word_of_plain_text_is_a_refusal() {
        let word = read_word(StatusCode::FORBIDDEN, b"Bad_OAuth_Token\n");
        assert_eq!(word, Some(Trouble::Refused { error: "Bad_OAuth_Token".to_owned(), description: None }));
        assert_eq!(read_word(StatusCode::FORBIDDEN, b"<html>"), None);
        assert_eq!(read_word(StatusCode::FORBIDDEN, b""), None);
        assert_eq!(read_word(StatusCode::SERVICE_UNAVAILABLE, b"down"), None);
    }
}
