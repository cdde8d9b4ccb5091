//! Codes and tokens: who gets which, and for what.

use super::*;

#[tokio::test]
async fn a_code_is_good_once_for_its_own_request() {
    let org = org().await;
    let mut visit = Visit::new(&org);
    type Mistake<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);
    let mistakes: [Mistake<'_>; 8] = [
        (&[("code", "aPrxforged==")], "invalid_grant", "invalid authorization code"),
        (&[("redirect_uri", "http://localhost:1/")], "redirect_uri_mismatch", "redirect_uri must match configuration"),
        (&[("code_verifier", "")], "invalid_grant", "missing required code verifier"),
        (&[("code_verifier", "another")], "invalid_request", "invalid code verifier"),
        (&[("scope", "openid")], "invalid_request", "scope parameter not supported"),
        (&[("client_secret", "wrong")], "invalid_client", "invalid client credentials"),
        (&[("client_id", "3MVG9other")], "invalid_client_id", "client identifier invalid"),
        (&[("grant_type", "password")], "unsupported_grant_type", "grant type not supported"),
    ];
    for (changes, error, description) in mistakes {
        let code = visit.sign_in(&people::STANDARD, &[("prompt", "login")]).await.parameter("code").unwrap();
        let reply = visit.exchange(&code, changes).await;
        assert_eq!(reply.complaint(), (StatusCode::BAD_REQUEST, error.to_owned(), description.to_owned()));
    }
    let code = visit.sign_in(&people::STANDARD, &[("prompt", "login")]).await.parameter("code").unwrap();
    assert_eq!(visit.exchange(&code, &[]).await.status, StatusCode::OK);
    let replayed = visit.exchange(&code, &[]).await.complaint();
    assert_eq!(replayed.2, "expired authorization code");
    let by_get = get(&format!("{}/services/oauth2/token?grant_type=authorization_code", org.org_url())).await;
    assert_eq!(by_get.complaint().1, "unsupported_grant_type");
}

#[tokio::test]
async fn a_client_proves_itself_in_any_accepted_way() {
    let org = org().await;
    let mut visit = Visit::new(&org);
    let app = org.app();
    let basic = |secret: &str| {
        let text = base64::engine::general_purpose::STANDARD.encode(format!("{}:{secret}", app.client_id));
        format!("Basic {text}")
    };
    let mut outcomes = Vec::new();
    for (policy, works, secret) in [
        (SecretPolicy::Required, Basic::Accepted, Some(app.client_secret.as_str())),
        (SecretPolicy::Required, Basic::Accepted, Some("wrong")),
        (SecretPolicy::Required, Basic::Broken, Some(app.client_secret.as_str())),
        (SecretPolicy::Required, Basic::Accepted, None),
        (SecretPolicy::Optional, Basic::Accepted, None),
        (SecretPolicy::Optional, Basic::Accepted, Some("wrong")),
    ] {
        org.configure(|app| (app.secret, app.basic) = (policy, works));
        let code = visit.sign_in(&people::STANDARD, &[("prompt", "login")]).await.parameter("code").unwrap();
        let mut form =
            vec![("grant_type", "authorization_code"), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)];
        form.extend([("code", code.as_str()), ("client_id", app.client_id.as_str())]);
        let header = secret.map(basic).unwrap_or_default();
        let headers: &[(&str, &str)] = if secret.is_some() { &[("authorization", &header)] } else { &[] };
        let url = format!("{}/services/oauth2/token", org.org_url());
        let reply = ask(&url, headers, Some(&form)).await.unwrap();
        outcomes.push(reply.json()["error"].as_str().unwrap_or("ok").to_owned());
    }
    assert_eq!(outcomes, ["ok", "invalid_client", "invalid_client_id", "invalid_client", "ok", "invalid_client"]);
    assert_eq!(org.client_authentication(), Some("client_secret_basic"));
    assert_eq!(org.token_parameters()[0], "grant_type");
}

#[tokio::test]
async fn a_signed_assertion_is_believed_once() {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
    use aws_lc_rs::signature::KeyPair as _;
    let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let pem = |kind: &str, der: &[u8]| {
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {kind} KEY-----\n{body}\n-----END {kind} KEY-----\n")
    };
    let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let private = jsonwebtoken::EncodingKey::from_rsa_pem(pem("PRIVATE", private.as_ref()).as_bytes()).unwrap();
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    let org = org().await;
    org.configure(|app| app.assertion_key = Some(pem("PUBLIC", public.as_ref())));
    let mut visit = Visit::new(&org);
    let id = org.app().client_id;
    let now = Timestamp::now().0;
    let assertion = |audience: &str, subject: &str, expires: u64, jti: &str| {
        let claims = serde_json::json!({"iss": id, "sub": subject, "aud": audience, "exp": expires, "jti": jti});
        keys::signed(&serde_json::json!({"alg": "RS256"}), &claims, &private, jsonwebtoken::Algorithm::RS256).unwrap()
    };
    let here = format!("{}/services/oauth2/token", org.org_url());
    let cases = [
        (assertion(&here, &id, now + 60, "1"), "ok"),
        (assertion(&here, &id, now + 60, "1"), "invalid_client"),
        (assertion("https://elsewhere.example", &id, now + 60, "2"), "invalid_client"),
        (assertion(&here, "another", now + 60, "3"), "invalid_client"),
        (assertion(&here, &id, now - 1, "4"), "invalid_client"),
        (assertion(&here, &id, now + 3600, "5"), "invalid_client"),
        (keys::unsigned(&serde_json::json!({"alg": "none"}), &serde_json::json!({})) + ".", "invalid_client"),
    ];
    for (assertion, outcome) in &cases {
        let code = visit.sign_in(&people::STANDARD, &[("prompt", "login")]).await.parameter("code").unwrap();
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let changes = [("client_secret", ""), ("client_assertion", assertion), ("client_assertion_type", kind)];
        let reply = visit.exchange(&code, &changes).await;
        assert_eq!(reply.json()["error"].as_str().unwrap_or("ok"), *outcome, "{}", reply.body);
    }
    assert_eq!(org.client_authentication(), Some("private_key_jwt"));
}

#[tokio::test]
async fn userinfo_says_who_it_is_or_one_word() {
    let org = org().await;
    let mut visit = Visit::new(&org);
    let tokens = visit.tokens(&people::ACCENTED).await;
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    let url = format!("{}/services/oauth2/userinfo", org.org_url());
    let by_get = ask(&url, &[("authorization", &bearer)], None).await.unwrap();
    let by_post = ask(&url, &[("authorization", &bearer)], Some(&[])).await.unwrap();
    assert_eq!(by_get.json(), by_post.json());
    let facts = by_get.json();
    assert_eq!(facts["sub"], claims(&tokens["id_token"])["sub"]);
    assert_eq!(facts["name"], "Zoë Müller-Šťastná");
    assert_eq!(facts["updated_at"], "2026-05-04T09:21:33Z");
    assert!(facts["phone_number"].is_null() && facts["address"] == serde_json::json!({}));
    assert!(facts["urls"]["rest"].as_str().unwrap().contains("v{version}"));
    org.configure(|app| app.userinfo = UserInfo::PostOnly);
    assert_eq!(ask(&url, &[("authorization", &bearer)], None).await.unwrap().status, StatusCode::METHOD_NOT_ALLOWED);
    org.configure(|app| app.userinfo = UserInfo::GetOnly);
    for (headers, word) in [(vec![], "Missing_OAuth_Token"), (vec![("authorization", "Bearer x")], "Bad_OAuth_Token")] {
        let reply = ask(&url, &headers, None).await.unwrap();
        assert_eq!((reply.status, reply.body.as_str()), (StatusCode::FORBIDDEN, word));
        assert!(reply.headers[CONTENT_TYPE].to_str().unwrap().starts_with("text/plain"));
        assert!(reply.headers.get("www-authenticate").is_none());
    }
    let path = url::Url::parse(tokens["id"].as_str().unwrap()).unwrap().path().to_owned();
    let identity = ask(&format!("{}{path}", org.org_url()), &[("authorization", &bearer)], None).await.unwrap().json();
    assert_eq!(identity["username"], facts["preferred_username"]);
    assert_eq!(identity["asserted_user"], true);
}

#[tokio::test]
async fn audiences_come_in_three_forms() {
    let org = org().await;
    let mut visit = Visit::new(&org);
    let id = org.app().client_id;
    let more = vec!["https://api.example".to_owned()];
    org.configure(|app| app.audience = Audience::Joined(more.clone()));
    let joined = visit.tokens(&people::STANDARD).await;
    assert_eq!(claims(&joined["id_token"])["aud"], format!("{id},https://api.example"));
    org.configure(|app| app.audience = Audience::Array(more));
    visit.cookie.clear();
    let array = visit.tokens(&people::STANDARD).await;
    assert_eq!(claims(&array["id_token"])["aud"][0], id);
}

#[tokio::test]
async fn refresh_tokens_live_by_the_books() {
    let org = org().await;
    org.configure(|app| {
        app.scopes.push("refresh_token".to_owned());
        app.rotation = Rotation::On;
    });
    let mut visit = Visit::new(&org);
    let callback = visit.sign_in(&people::STANDARD, &[("scope", "openid refresh_token")]).await;
    let tokens = visit.exchange(&callback.parameter("code").unwrap(), &[]).await.json();
    let first = tokens["refresh_token"].as_str().unwrap().to_owned();
    assert!(first.starts_with("5Aep861"));
    let app = org.app();
    let client = [("client_id", app.client_id.as_str()), ("client_secret", app.client_secret.as_str())];
    let refresh = async |token: &str| {
        let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", token)];
        form.extend(client);
        post(&format!("{}/services/oauth2/token", org.org_url()), &form).await
    };
    let introspect = async |token: &str| {
        let mut form = vec![("token", token)];
        form.extend(client);
        post(&format!("{}/services/oauth2/introspect", org.org_url()), &form).await.json()
    };
    let renewed = refresh(&first).await.json();
    let access = renewed["access_token"].as_str().unwrap();
    assert_ne!(renewed["refresh_token"], tokens["refresh_token"]);
    let active = introspect(access).await;
    assert_eq!((&active["active"], &active["username"]), (&true.into(), &people::STANDARD.username.into()));
    assert_eq!(active["exp"].as_u64().unwrap() - active["iat"].as_u64().unwrap(), 7200);
    assert_eq!(refresh(&first).await.complaint().2, "expired access/refresh token");
    assert_eq!(introspect(access).await, serde_json::json!({"active": false}));
    let revoke = format!("{}/services/oauth2/revoke", org.org_url());
    assert_eq!(post(&revoke, &[("token", access)]).await.complaint().1, "invalid_token");
}
