//! How the gateway proves to Salesforce who it is.

use super::*;

#[tokio::test]
async fn a_secret_is_posted_by_default() {
    let world = World::new().await;
    everybody_gets_in(&world).await;
    assert_eq!(world.org.client_authentication(), Some("client_secret_post"));
}

/// The provider's lines that put the secret in the header.
fn basic() -> String {
    let secret = portcullis::emulator::App::default().client_secret;
    format!("client_authentication = \"client_secret_basic\"\nclient_secret = \"{secret}\"")
}

#[tokio::test]
async fn a_secret_can_go_in_the_authorization_header() {
    let world = with(&basic()).start().await;
    everybody_gets_in(&world).await;
    assert_eq!(world.org.client_authentication(), Some("client_secret_basic"));
}

#[tokio::test]
async fn where_the_header_is_broken_the_page_says_so() {
    let world = with(&basic()).org(|org| org.app.basic = Basic::Broken).start().await;
    assert_eq!(nobody_gets_in(&world, STANDARD, "allow").await, SalesforceError::InvalidClientId.code());
}

#[tokio::test]
async fn a_signed_assertion_needs_no_secret() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let way = format!("client_authentication = \"private_key_jwt\"\nclient_key = '''{}'''", key.serialize_pem());
    let world = with(&way).org(|org| org.app.assertion_key = Some(key.public_key_pem())).start().await;
    everybody_gets_in(&world).await;
    assert_eq!(world.org.client_authentication(), Some("private_key_jwt"));
    // each assertion is good for one use, so the second sign-in needs one of its own
    everybody_gets_in(&world).await;
    assert!(!world.org.token_parameters().contains(&"client_secret".to_owned()));
}

#[tokio::test]
async fn an_assertion_by_another_key_signs_nobody_in() {
    let ours = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let theirs = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let way = format!("client_authentication = \"private_key_jwt\"\nclient_key = '''{}'''", ours.serialize_pem());
    let world = with(&way).org(|org| org.app.assertion_key = Some(theirs.public_key_pem())).start().await;
    assert_eq!(nobody_gets_in(&world, STANDARD, "allow").await, SalesforceError::InvalidClientCredentials.code());
}

#[tokio::test]
async fn a_public_client_needs_nothing_but_pkce() {
    let world =
        with("client_authentication = \"none\"").org(|org| org.app.secret = SecretPolicy::Optional).start().await;
    everybody_gets_in(&world).await;
    assert_eq!(world.org.client_authentication(), Some("none"));
    assert!(world.org.token_parameters().contains(&"code_verifier".to_owned()));
}

#[tokio::test]
async fn a_public_client_at_an_app_that_wants_a_secret_is_told_so() {
    let world = with("client_authentication = \"none\"").start().await;
    assert_eq!(nobody_gets_in(&world, STANDARD, "allow").await, SalesforceError::InvalidClientCredentials.code());
}

#[tokio::test]
async fn the_token_request_has_what_it_needs_and_never_a_scope() {
    let world = World::new().await;
    everybody_gets_in(&world).await;
    let mut parameters = world.org.token_parameters();
    parameters.sort_unstable();
    assert_eq!(parameters, ["client_id", "client_secret", "code", "code_verifier", "grant_type", "redirect_uri"]);
}
