//! What the org says of itself, and what its administrator has changed.

use super::*;

#[tokio::test]
async fn the_metadata_is_read_by_the_gateway() {
    let org = org().await;
    let address = format!("{}{METADATA}", org.org_url());
    let plain = get(&address).await.body;
    let metadata = Metadata::read(&plain).unwrap();
    assert_eq!(metadata.entity_id, org.org_url());
    assert_eq!(metadata.certificates, Certificate::from_pem(&org.certificate()).unwrap());
    assert_eq!(metadata.sign_in[0].0, saml::Binding::Post, "POST comes first");
    assert_eq!(metadata.sign_in[1].1.path(), HTTP_REDIRECT);
    assert!(metadata.sign_out.is_empty() && plain.matches("NameIDFormat>").count() == 2);
    let years = metadata.valid_until.unwrap().since(Timestamp::now()).as_secs() / (365 * 24 * 3600);
    assert_eq!(years, 10);
    // behaviour 28: the endpoints move, the name stays
    org.configure(|app| {
        app.saml.host = EndpointHost::Site;
        app.saml.single_logout = Some(SingleLogout { url: LOGGED_OUT.to_owned(), binding: Binding::Post });
        app.saml.certificate = InUse::Renewed;
    });
    let moved = Metadata::read(&get(&address).await.body).unwrap();
    assert_eq!(moved.entity_id, org.org_url());
    assert!(moved.sign_in.iter().all(|(_, url)| url.as_str().starts_with(org.site_url())));
    assert_eq!(moved.sign_out.len(), 2);
    assert_ne!(moved.certificates, metadata.certificates);
    assert_eq!(get(&format!("{}{METADATA}", org.login_url())).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_site_signs_in_under_the_name_of_my_domain() {
    let org = org().await;
    let sso_url = url::Url::parse(&format!("{}{HTTP_REDIRECT}", org.site_url())).unwrap();
    let settings = Settings { sso_url, ..settings(&org) };
    let mut browser = Browser::new(&org);
    let Sending::Redirect(address) = saml::ask(&settings, QUESTION, ACS, "s", Timestamp::now()).unwrap() else {
        panic!("not a redirect");
    };
    let site = org.site_url().strip_suffix("/portal").unwrap();
    let onward = browser.go(&address, None).await.location().to_owned();
    browser
        .go(&format!("{site}/portal/login"), Some(&[("startURL", &onward), ("person", people::PARTNER.username)]))
        .await;
    browser.go(&format!("{site}{onward}"), None).await;
    judge(&org, &settings).unwrap();
}

#[tokio::test]
async fn a_renewed_certificate_breaks_who_pinned_the_first() {
    let org = org().await;
    let pinned = settings(&org);
    org.configure(|app| app.saml.certificate = InUse::Renewed);
    assert_eq!(outcome(&org, &pinned, &people::STANDARD).await.unwrap_err().reason, Reason::SignatureKey);
    let both = Settings { certificates: [pinned.certificates.clone(), settings(&org).certificates].concat(), ..pinned };
    outcome(&org, &both, &people::STANDARD).await.unwrap();
}

#[tokio::test]
async fn older_apps_sign_less() {
    let org = org().await;
    let settings = settings(&org);
    for (signed, lines) in [(Signed::Response, Lines::One), (Signed::Assertion, Lines::CarriageReturns)] {
        org.configure(|app| (app.saml.signed, app.saml.lines) = (signed, lines));
        outcome(&org, &settings, &people::STANDARD).await.unwrap();
        assert_eq!(xml(&org).matches("<ds:SignatureValue>").count(), 1);
    }
}

#[tokio::test]
async fn the_shared_login_host_is_no_identity_provider() {
    let org = org().await;
    for path in [HTTP_REDIRECT, HTTP_POST, IDP_LOGIN, LOGOUT] {
        assert_eq!(post(&format!("{}{path}", org.login_url()), &[]).await.status, StatusCode::NOT_FOUND);
    }
}
