//! People at the pretend org: signing in, approving, being turned away, signing out.

use super::*;

#[tokio::test]
async fn a_person_signs_in_at_every_base() {
    let org = org().await;
    for base in [org.org_url(), org.login_url(), org.site_url()] {
        let mut visit = Visit { org: &org, base: base.to_owned(), cookie: String::new() };
        let callback = visit.sign_in(&people::STANDARD, &[]).await;
        assert!(callback.location().starts_with(&format!("{CALLBACK}?code=aPrx")), "{}", callback.location());
        assert!(callback.location().contains("%3D%3D"));
        assert_eq!(callback.parameter("state").as_deref(), Some("the-state"));
        let tokens = visit.exchange(&callback.parameter("code").unwrap(), &[]).await.json();
        let claims = claims(&tokens["id_token"]);
        assert_eq!(claims["iss"], base);
        assert_eq!(claims["nonce"], "the-nonce");
        assert_eq!(claims["aud"], org.app().client_id);
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 120);
        let id = "https://login.salesforce.com/id/00D5g00000PrtClEAJ/0055g00000GrcHpAAJ";
        assert_eq!(claims["sub"], id);
        assert_eq!(claims["at_hash"], idtoken::at_hash(tokens["access_token"].as_str().unwrap()));
        assert!(claims.get("email").is_none());
        assert_eq!(header(&tokens["id_token"])["kid"], "262");
        assert_eq!(tokens["id"], id);
        assert_eq!(tokens["token_type"], "Bearer");
        assert_eq!(tokens["instance_url"], org.org_url());
        assert!(tokens.get("expires_in").is_none() && tokens.get("refresh_token").is_none());
        assert!(tokens["access_token"].as_str().unwrap().starts_with("00D5g00000PrtCl!"));
        let signature = token::response_signature(&org.app().client_secret, id, tokens["issued_at"].as_str().unwrap());
        assert_eq!(tokens["signature"], signature);
        assert_eq!(signature.len(), 44);
        org.forget();
    }
    assert_eq!((org.count("token"), org.count("authorize")), (3, 3));
}

#[tokio::test]
async fn approval_is_asked_once_for_each_person() {
    let org = org().await;
    let mut visit = Visit::new(&org);
    let login = [("person", people::STANDARD.username), ("startURL", "")];
    let welcomed = post(&format!("{}/login", org.org_url()), &login).await;
    visit.cookie = welcomed.headers[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
    let first = visit.go(&visit.request(&[])).await;
    let asked = visit.go(&visit.absolute(first.location())).await;
    assert!(asked.status == StatusCode::OK && asked.body.contains("Allow access?"));
    assert!(visit.approve(&first, "allow").await.parameter("code").is_some());
    let again = visit.go(&visit.request(&[])).await;
    let straight = visit.go(&visit.absolute(again.location())).await;
    assert!(straight.location().starts_with(CALLBACK));
    let consent = visit.go(&visit.request(&[("prompt", "consent")])).await;
    assert_eq!(visit.go(&visit.absolute(consent.location())).await.status, StatusCode::OK);
    let login = visit.go(&visit.request(&[("prompt", "login")])).await;
    assert!(login.location().starts_with("/?ec=302"));
    let quiet = visit.go(&visit.request(&[("immediate", "true")])).await;
    assert!(visit.go(&visit.absolute(quiet.location())).await.parameter("code").is_some());
    let stranger = Visit::new(&org);
    let refused = stranger.go(&stranger.request(&[("immediate", "true")])).await;
    assert_eq!(refused.parameter("error").as_deref(), Some("immediate_unsuccessful"));
}

#[tokio::test]
async fn a_person_who_denies_is_told_to_the_app() {
    let org = org().await;
    let mut visit = Visit::new(&org);
    visit.sign_in(&people::STANDARD, &[]).await;
    org.configure(|app| app.approval = Approval::Asked);
    let page = visit.go(&visit.request(&[("prompt", "consent")])).await;
    let denied = visit.approve(&page, "deny").await;
    assert_eq!(denied.parameter("error").as_deref(), Some("access_denied"));
    assert_eq!(denied.parameter("error_description").as_deref(), Some("end-user denied authorization"));
    assert_eq!(denied.parameter("state").as_deref(), Some("the-state"));
}

#[tokio::test]
async fn who_may_not_use_the_app_gets_no_code() {
    let org = org().await;
    let callback = Visit::new(&org).sign_in(&people::NOT_APPROVED, &[]).await;
    assert_eq!(callback.parameter("error").as_deref(), Some("OAUTH_APP_ACCESS_DENIED"));
    let mut visit = Visit::new(&org);
    let callback = visit.sign_in(&people::INACTIVE, &[]).await;
    let reply = visit.exchange(&callback.parameter("code").unwrap(), &[]).await;
    let inactive = (StatusCode::BAD_REQUEST, "inactive_user".to_owned(), "User is inactive".to_owned());
    assert_eq!(reply.complaint(), inactive);
}

#[tokio::test]
async fn the_scripted_mode_sends_a_page() {
    let settings = Settings { keys: Some(ring()), redirects: Redirects::Script, ..Settings::default() };
    let org = Emulator::start(settings).await.unwrap();
    org.register(CALLBACK);
    let visit = Visit::new(&org);
    let page = visit.go(&visit.request(&[])).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("window.location.replace") && page.body.contains("startURL="));
}

#[tokio::test]
async fn the_password_form_knows_people_from_strangers() {
    let org = org().await;
    let login = format!("{}/login", org.org_url());
    let good = post(&login, &[("un", "ADA.lovell@pretend.example"), ("pw", "pretend")]).await;
    assert_eq!(good.location(), "/");
    for (un, pw) in [("ada.lovell@pretend.example", "Pretend"), ("ada", "pretend")] {
        let bad = post(&login, &[("un", un), ("pw", pw)]).await;
        assert!(bad.headers.get(SET_COOKIE).is_none() && bad.body.contains("Please check your username and password"));
    }
    let elsewhere = [("person", "ada.lovell@pretend.example"), ("startURL", "//evil.example/")];
    assert_eq!(post(&login, &elsewhere).await.location(), "/");
}

#[tokio::test]
async fn signing_out_ends_the_session_at_the_org() {
    let org = org().await;
    let mut visit = Visit::new(&org);
    visit.sign_in(&people::STANDARD, &[]).await;
    let url = format!("{}/services/auth/idp/oidc/logout?post_logout_redirect_uri=http://localhost:1/", org.org_url());
    let elsewhere = [("startURL", "//evil.example")];
    let logout = format!("{}/secur/logout.jsp", org.org_url());
    assert_eq!(post(&logout, &elsewhere).await.status, StatusCode::OK);
    assert_eq!(post(&logout, &[("startURL", "/x")]).await.location(), "/?ec=302&startURL=%2Fx");
    let out = visit.go(&url).await;
    assert_eq!(out.status, StatusCode::OK);
    assert!(visit.go(&visit.request(&[])).await.location().starts_with("/?ec=302"));
    let at_login = format!("{}/services/auth/idp/oidc/logout", org.login_url());
    assert_eq!(get(&at_login).await.status, StatusCode::NOT_FOUND);
}
