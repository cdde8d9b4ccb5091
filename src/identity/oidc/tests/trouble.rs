//! An org that misleads, misbehaves or is silent.

use super::*;

/// Every way in which a provider can misbehave, each noticed for its own reason.
#[tokio::test]
async fn a_misbehaving_org_signs_nobody_in() {
    use ProviderReason as Reason;
    type Change = fn(&mut Said);
    let html = || reply(200, "Content-Type: text/html\r\n", "<html>");
    let cases: Vec<(Reason, Change)> = vec![
        (Reason::TokenType, |said| said.tokens["token_type"] = value!("DPoP")),
        (Reason::TokenType, |said| {
            said.tokens.as_object_mut().unwrap().remove("token_type");
        }),
        (Reason::NoIdToken, |said| said.tokens["id_token"] = value!(null)),
        (Reason::NoIdToken, |said| said.tokens["id_token"] = value!("")),
        (Reason::UnreadableAnswer, |said| said.tokens["access_token"] = value!("")),
        (Reason::UnreadableAnswer, |said| said.tokens["access_token"] = value!({"a": 1})),
        (Reason::Malformed, |said| said.tokens["id_token"] = value!("a.b.c")),
        (Reason::Algorithm, |said| said.header["alg"] = value!("none")),
        (Reason::UnknownKey, |said| said.header["kid"] = value!("999")),
        (Reason::Signature, |said| said.signer = &FORGER),
        (Reason::Issuer, |said| said.payload["iss"] = value!("https://login.salesforce.com")),
        (Reason::Audience, |said| said.payload["aud"] = value!("another")),
        (Reason::Nonce, |said| said.payload["nonce"] = value!("another")),
        (Reason::AccessTokenHash, |said| said.tokens["access_token"] = value!("another")),
        (Reason::Times, |said| said.payload["exp"] = value!(NOW.0 - 60)),
        (Reason::Subject, |said| said.payload["sub"] = value!("somebody")),
        (Reason::ResponseSignature, |said| said.tokens["signature"] = value!("AAAA")),
        (Reason::ResponseSignature, |said| said.tokens["issued_at"] = value!("1790000000124")),
        (Reason::ResponseSignature, |said| said.tokens["signature"] = value!(null)),
        (Reason::IdentityAddress, |said| {
            said.tokens["id"] = value!("https://login.salesforce.com/id/00D5g00000ABCDEEA5/x");
            sign_response(&mut said.tokens);
        }),
        (Reason::UserInfoSubject, |said| said.userinfo["sub"] = value!("somebody")),
        (Reason::UserInfoSubject, |said| said.userinfo["user_id"] = value!("0055g00000AbCdF")),
    ];
    for (index, (expected, change)) in cases.into_iter().enumerate() {
        let org = Org::start().await;
        let outcome = org.sign_in(&org.provider(), change).await;
        assert_eq!(reason(outcome), expected, "case {index}");
    }
    for (path, instead, expected) in [
        ("/token", html(), Reason::UnreadableAnswer),
        ("/token", json(200, &value!(["a list"])), Reason::UnreadableAnswer),
        ("/token", reply(302, "Location: /elsewhere?code=x\r\n", ""), Reason::UnexpectedStatus),
        ("/token", reply(404, "Content-Type: text/html\r\n", "<html>"), Reason::UnexpectedStatus),
        ("/token", reply(200, "", vec![b' '; 1024 * 1024 + 1]), Reason::AnswerTooLarge),
        ("/userinfo", html(), Reason::UnreadableAnswer),
        ("/userinfo", reply(307, "Location: /elsewhere\r\n", ""), Reason::UnexpectedStatus),
        ("/userinfo", reply(403, "", "<html>no</html>"), Reason::UnexpectedStatus),
        ("/keys", html(), Reason::UnreadableAnswer),
        ("/keys", json(200, &value!({})), Reason::UnreadableAnswer),
    ] {
        let org = Org::start().await;
        let words = format!("{path} {instead:.60?}");
        let outcome = org.sign_in(&org.provider(), |said| said.instead = HashMap::from([(path, instead)])).await;
        assert_eq!(reason(outcome), expected, "{words}");
        assert_eq!(org.script.count("/elsewhere"), 0);
    }
}

#[tokio::test]
async fn a_misleading_discovery_begins_nothing() {
    for (expected, name, said) in [
        (ProviderReason::DiscoveryIssuer, "issuer", value!("https://evil.example")),
        (ProviderReason::EndpointElsewhere, "token_endpoint", value!("https://evil.example/token")),
        (ProviderReason::UnreadableAnswer, "jwks_uri", value!(null)),
    ] {
        let org = Org::start().await;
        org.say(|org| org.discovery[name] = said);
        let Err(Fault::ProviderMisbehaved { reason, .. }) = org.begin(&org.provider()).await else {
            panic!("{name} was believed")
        };
        assert_eq!(reason, expected);
    }
}

#[tokio::test]
async fn a_redirected_discovery_says_where_to() {
    let org = Org::start().await;
    let moved = reply(301, "Location: https://acme.my.site.com/portal/?secret=1\r\n", "");
    org.say(|said| said.instead = HashMap::from([("/openid-configuration", moved)]));
    let Err(Fault::ProviderMisbehaved { reason, detail }) = org.begin(&org.provider()).await else {
        panic!("a redirect was followed")
    };
    assert_eq!(reason, ProviderReason::UnexpectedStatus);
    assert!(detail.contains("301 to https://acme.my.site.com/portal/ "), "{detail}");
    assert!(!detail.contains("secret"), "{detail}");
}

#[tokio::test]
async fn refusals_and_outages_are_told_apart() {
    let refusal = value!({"error": "invalid_app_access", "error_description": "user is not admin approved"});
    let html = "<html>maintenance</html>";
    for (path, instead, refused) in [
        ("/token", json(400, &refusal), true),
        ("/token", json(503, &value!({"error": "system_down"})), true),
        ("/token", reply(503, "Content-Type: text/html\r\n", html), false),
        ("/token", reply(500, "", ""), false),
        ("/token", reply(429, "", "slow down"), false),
        ("/userinfo", reply(403, "Content-Type: text/plain\r\n", "Bad_OAuth_Token"), true),
        ("/userinfo", reply(401, "", "Missing_OAuth_Token\n"), true),
        ("/userinfo", reply(502, "", html), false),
        ("/keys", reply(503, "", html), false),
    ] {
        let org = Org::start().await;
        let words = format!("{path} {instead:.60?}");
        let outcome = org.sign_in(&org.provider(), |said| said.instead = HashMap::from([(path, instead)])).await;
        match outcome {
            Err(Fault::ProviderRefused { .. }) => assert!(refused, "{words}"),
            Err(Fault::ProviderUnreachable(_)) => assert!(!refused, "{words}"),
            other => panic!("{words}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_silent_org_is_given_up_in_time() {
    let org = Org::start().await;
    let provider = Provider::new(Settings { timeout: Duration::from_millis(200), ..org.settings() }).unwrap();
    let silence = |said: &mut Said| said.instead = HashMap::from([("/token", Reply::Silence)]);
    let outcome = org.sign_in(&provider, silence).await;
    assert!(matches!(outcome, Err(Fault::ProviderTimeout(_))), "{outcome:?}");
}

#[tokio::test]
async fn userinfo_cannot_speak_for_the_token() {
    let org = Org::start().await;
    let provider = org.provider();
    let signed_in = org.sign_in(&provider, |said| {
        said.userinfo["iss"] = value!("https://evil.example");
        said.userinfo["aud"] = value!("another");
        said.payload["name"] = value!("an older name");
    });
    let signed_in = signed_in.await.unwrap();
    let claims = &signed_in.identity().claims;
    assert_eq!((&claims["iss"], &claims["aud"]), (&value!(org.issuer), &value!(CLIENT_ID)));
    assert_eq!(claims["name"], "Ada");
}
