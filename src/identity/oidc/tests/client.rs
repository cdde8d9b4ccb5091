//! How the gateway proves to the org who it is, and what it asks with what.

use super::*;

#[tokio::test]
async fn the_exchange_sends_code_and_verifier_and_never_scope() {
    let org = Org::start().await;
    let provider = org.provider();
    let begun = org.begin(&provider).await.unwrap();
    let (verifier, answer) = (secrets(&begun.attempt).1.to_owned(), good_answer(&begun.attempt));
    provider.complete(begun.attempt, CALLBACK, answer, NOW).await.unwrap();
    let (form, basic) = org.last_exchange();
    assert_eq!(form["grant_type"], "authorization_code");
    assert_eq!(form["code"], CODE);
    assert_eq!(form["code_verifier"], verifier);
    assert_eq!(form["redirect_uri"], CALLBACK);
    assert_eq!((form["client_id"].as_str(), form["client_secret"].as_str()), (CLIENT_ID, SECRET));
    assert!(!form.contains_key("scope") && basic.is_none());
}

#[tokio::test]
async fn a_secret_may_go_in_the_header() {
    let org = Org::start().await;
    let client = ClientAuthentication::SecretBasic(Secret::new(SECRET.to_owned()));
    let provider = Provider::new(Settings { client, ..org.settings() }).unwrap();
    org.sign_in(&provider, |_| ()).await.unwrap();
    let (form, basic) = org.last_exchange();
    assert!(!form.contains_key("client_secret"));
    let pair = String::from_utf8(STANDARD.decode(basic.unwrap().strip_prefix("Basic ").unwrap()).unwrap()).unwrap();
    // RFC 6749 section 2.3.1: both are form-encoded first.
    assert_eq!(pair, format!("{CLIENT_ID}:consumer%2Fsecret%2Bwith%25odd%26chars"));
}

#[tokio::test]
async fn a_public_client_sends_no_secret() {
    let org = Org::start().await;
    let provider = Provider::new(Settings { client: ClientAuthentication::Public, ..org.settings() }).unwrap();
    org.sign_in(&provider, |said| said.tokens["signature"] = value!("cannot be checked")).await.unwrap();
    let (form, basic) = org.last_exchange();
    assert_eq!(form["client_id"], CLIENT_ID);
    assert!(!form.contains_key("client_secret") && !form.contains_key("client_assertion") && basic.is_none());
}

#[tokio::test]
async fn a_key_may_stand_for_the_secret() {
    let org = Org::start().await;
    let key_pem = Secret::new(SIGNER.pem.clone());
    let client = ClientAuthentication::PrivateKeyJwt { key_pem, key_id: Some("ours".to_owned()) };
    let provider = Provider::new(Settings { client, ..org.settings() }).unwrap();
    org.sign_in(&provider, |_| ()).await.unwrap();
    let (form, basic) = org.last_exchange();
    assert!(!form.contains_key("client_secret") && basic.is_none());
    assert_eq!(form["client_id"], CLIENT_ID);
    assert_eq!(form["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    let key = serde_json::from_value(SIGNER.jwk("ours")).unwrap();
    let key = jsonwebtoken::DecodingKey::from_jwk(&key).unwrap();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    validation.set_audience(&[&org.issuer]);
    validation.validate_exp = false;
    let said = jsonwebtoken::decode::<Value>(&form["client_assertion"], &key, &validation).unwrap();
    assert_eq!(said.header.kid.as_deref(), Some("ours"));
    assert_eq!((&said.claims["iss"], &said.claims["sub"]), (&value!(CLIENT_ID), &value!(CLIENT_ID)));
    assert_eq!(said.claims["exp"], NOW.0 + 60);
    assert_eq!(said.claims["jti"].as_str().unwrap().len(), 43);
}

#[tokio::test]
async fn userinfo_is_asked_either_way_with_the_token_in_the_header() {
    for (userinfo, method) in [(UserInfoMethod::Get, "GET"), (UserInfoMethod::Post, "POST")] {
        let org = Org::start().await;
        let provider = Provider::new(Settings { userinfo, ..org.settings() }).unwrap();
        org.sign_in(&provider, |_| ()).await.unwrap();
        let asked = org.script.asked().pop().unwrap();
        assert!(asked.starts_with(&format!("{method} /services/oauth2/userinfo HTTP/1.1\r\n")), "{asked}");
        assert!(asked.contains(&format!("authorization: Bearer {ACCESS_TOKEN}\r\n")), "{asked}");
    }
}
