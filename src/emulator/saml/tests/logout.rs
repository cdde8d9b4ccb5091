//! Signing out on both sides.

use super::*;

/// What the gateway makes of the org's latest logout message.
async fn heard(reply: Reply, org: &Running, settings: &Settings) -> Result<Logout, Fault> {
    let now = Timestamp::now();
    if reply.status.is_redirection() {
        let (address, query) = reply.location().split_once('?').unwrap();
        assert_eq!(address, LOGGED_OUT);
        return receive(Arrived::Query(query), LOGGED_OUT, now, settings);
    }
    let form = org.last_saml_form().unwrap();
    let (name, message) = form.fields[0].clone();
    let parameter = if name == "SAMLRequest" { Parameter::Request } else { Parameter::Response };
    let relay_state = form.field("RelayState");
    receive(Arrived::Form { parameter, message: &message, relay_state }, LOGGED_OUT, now, settings)
}

#[tokio::test]
async fn signing_out_at_the_gateway_ends_the_session_at_the_org() {
    let org = org().await;
    let settings = settings(&org);
    for binding in [Binding::Redirect, Binding::Post] {
        let url = LOGGED_OUT.to_owned();
        org.configure(|app| {
            app.saml.single_logout = Some(SingleLogout { url, binding });
            app.saml.request_certificate = Some(our_pem().certificate.clone());
        });
        let settings = Settings { requests: Requests::Signed, ..settings.clone() };
        let mut browser = Browser::new(&org);
        browser.sign_in(&settings, &people::STANDARD).await;
        let consumed = judge(&org, &settings).unwrap();
        let index = consumed.session_index.as_deref();
        assert!(index.is_some());
        let now = Timestamp::now();
        let request = |name: &NameId| saml::logout::request(&settings, "_bye", name, index, Some("a b"), now).unwrap();
        let other = NameId { value: people::ADMINISTRATOR.username.to_owned(), ..consumed.name_id.clone() };
        let page = browser.send(request(&other), &people::STANDARD).await;
        assert!(page.body.contains("UnableToResolve"), "somebody else's session");
        let reply = browser.send(request(&consumed.name_id), &people::STANDARD).await;
        let answer = heard(reply, &org, &settings).await.unwrap();
        let Logout::Response { in_response_to, outcome, relay_state } = answer else { panic!("{answer:?}") };
        assert_eq!((in_response_to.as_str(), outcome), ("_bye", Outcome::SignedOut));
        assert_eq!(relay_state.as_deref(), Some("a b"));
        let before = org.count("sign-in");
        browser.sign_in(&settings, &people::STANDARD).await;
        assert_eq!(org.count("sign-in"), before + 1, "the session is gone");
    }
}

#[tokio::test]
async fn signing_out_at_the_org_tells_the_gateway() {
    let org = org().await;
    let settings = settings(&org);
    let page = format!("{}/secur/logout.jsp", org.org_url());
    for binding in [Binding::Redirect, Binding::Post] {
        let single_logout = Some(SingleLogout { url: LOGGED_OUT.to_owned(), binding });
        org.configure(|app| app.saml.single_logout = single_logout);
        let mut browser = Browser::new(&org);
        browser.sign_in(&settings, &people::STANDARD).await;
        let index = judge(&org, &settings).unwrap().session_index.unwrap();
        let reply = browser.go(&page, Some(&[])).await;
        let request = heard(reply, &org, &settings).await.unwrap();
        let Logout::Request { id, name_id, session_indexes, .. } = request else { panic!("{request:?}") };
        assert_eq!((name_id.value.as_str(), session_indexes), (people::STANDARD.username, vec![index]));
        let now = Timestamp::now();
        let answer = || saml::logout::response(&settings, "_fine", &id, Outcome::SignedOut, None, now).unwrap();
        let last = browser.send(answer(), &people::STANDARD).await;
        assert_eq!(last.status, StatusCode::OK, "{}", last.body);
        assert_eq!(browser.send(answer(), &people::STANDARD).await.status, StatusCode::BAD_REQUEST, "answered once");
        for &mischief in SamlMischief::ALL.iter().filter(|mischief| mischief.touches() == Touches::Logout) {
            browser.sign_in(&settings, &people::STANDARD).await;
            org.set(mischief);
            let reply = browser.go(&page, Some(&[])).await;
            assert!(heard(reply, &org, &settings).await.is_err(), "{} by {binding:?}", mischief.name());
            org.behave();
        }
    }
    assert_eq!(org.count("saml-logout-answered"), 2);
}
