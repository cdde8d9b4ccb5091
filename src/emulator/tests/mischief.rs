//! What the pretend org does wrong when it is told to.

use super::*;

#[tokio::test]
async fn every_mischief_shows_somewhere() {
    let org = org().await;
    org.configure(|app| app.approval = Approval::Skipped);
    for mischief in Mischief::ALL.iter().copied().filter(|mischief| *mischief != Mischief::TokenSlow) {
        org.forget();
        org.behave();
        let honest = conversation(&org).await;
        org.forget();
        assert_eq!(honest, conversation(&org).await);
        org.forget();
        org.set(mischief);
        let odd = conversation(&org).await;
        // "the default already" is the one way to show nothing
        if mischief != Mischief::MinimalClaims {
            assert_ne!(honest, odd, "{mischief} changes nothing");
        }
    }
}

/// A whole sign-in, with everything taken out that is random.
async fn conversation(org: &Running) -> String {
    let mut said = String::new();
    let mut say = |part: Option<&Reply>| match part {
        Some(reply) => said.push_str(&format!("{} {}\n", reply.status, reply.body)),
        None => said.push_str("nothing\n"),
    };
    say(ask(&format!("{}/.well-known/openid-configuration", org.org_url()), &[], None).await.as_ref());
    say(ask(&format!("{}/id/keys", org.org_url()), &[], None).await.as_ref());
    let mut visit = Visit::new(org);
    let callback = visit.sign_in(&people::STANDARD, &[]).await;
    let code = callback.parameter("code").unwrap_or_default();
    let app = org.app();
    let forged = code.starts_with("aPrxBwcH");
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", CALLBACK),
        ("client_id", app.client_id.as_str()),
        ("client_secret", app.client_secret.as_str()),
        ("code_verifier", VERIFIER),
    ];
    let exchanged = ask(&format!("{}/services/oauth2/token", org.org_url()), &[], Some(&form)).await;
    let names: Vec<_> = url::Url::parse(callback.location())
        .unwrap()
        .query_pairs()
        .map(|pair| {
            let value = if pair.0 == "code" && !forged { "code".into() } else { pair.1.clone() };
            format!("{}={value}", pair.0)
        })
        .collect();
    said.push_str(&names.join("&"));
    let Some(reply) = exchanged else { return said + "nothing" };
    let Ok(mut tokens) = serde_json::from_str::<Value>(&reply.body) else { return said + &reply.status.to_string() };
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap_or_default());
    let userinfo =
        ask(&format!("{}/services/oauth2/userinfo", org.org_url()), &[("authorization", &bearer)], None).await;
    said.push_str(&userinfo.map_or("nothing".to_owned(), |reply| format!("{} {}", reply.status, reply.body)));
    // what is random or of the moment, by its relation to the rest
    let access = tokens["access_token"].as_str().unwrap_or_default().to_owned();
    let fits = token::response_signature(
        &app.client_secret,
        tokens["id"].as_str().unwrap_or_default(),
        tokens["issued_at"].as_str().unwrap_or_default(),
    );
    let signed = tokens["signature"] == fits.as_str();
    said.push_str(&format!(" signed {signed} jwt {}", access.contains('.') && access.starts_with("ey")));
    let id_token = tokens["id_token"].clone();
    for name in ["access_token", "id_token", "signature", "issued_at"] {
        if let Some(value) = tokens.get_mut(name) {
            *value = Value::Null;
        }
    }
    said.push_str(&tokens.to_string());
    if let Some(text) = id_token.as_str().filter(|text| text.starts_with("ey")) {
        let (header, mut claims) = (header(&id_token), claims(&id_token));
        let now = Timestamp::now().0;
        let (issued, hash) = (claims["iat"].as_u64().unwrap_or(now), claims["at_hash"].clone());
        said.push_str(&format!(
            " {header} {} hash {}",
            issued.abs_diff(now) < 20,
            hash == idtoken::at_hash(&access).as_str()
        ));
        for name in ["iat", "exp", "at_hash", "nbf", "sfi"] {
            if let Some(value) = claims.get_mut(name) {
                *value = Value::Null;
            }
        }
        said.push_str(&format!("{claims} {}", verifies(org, text, &header)));
    } else {
        said.push_str(&id_token.to_string());
    }
    said
}

/// Whether the key that the header names, as published, verifies the token.
fn verifies(org: &Running, token: &str, header: &Value) -> bool {
    let set = org.org.keys.published(org.org.mischief());
    let Some(key) = set["keys"].as_array().unwrap().iter().find(|key| key["kid"] == header["kid"]) else {
        return false;
    };
    let public = jsonwebtoken::DecodingKey::from_rsa_components(key["n"].as_str().unwrap(), key["e"].as_str().unwrap());
    let (message, signature) = token.rsplit_once('.').unwrap();
    jsonwebtoken::crypto::verify(signature, message.as_bytes(), &public.unwrap(), jsonwebtoken::Algorithm::RS256)
        .unwrap_or(false)
}
