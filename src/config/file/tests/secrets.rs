//! Secrets: where they come from, and that no complaint repeats one.

use super::*;

#[test]
fn a_secret_comes_from_the_value_a_file_or_a_variable() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    std::fs::write(&path, "from-file\r\n").unwrap();
    let exposed = |text: &str, pairs: &[(&str, &str)]| match oidc(&good_with(text, pairs)).client.clone() {
        ClientAuthentication::SecretPost(secret) => secret.expose().clone(),
        other => panic!("{other:?}"),
    };
    let by_file = provider(&format!("client_secret = {{ file = {path:?} }}"));
    assert_eq!(exposed(&by_file, &[]), "from-file");
    let by_variable = provider("client_secret = { env = \"SF_SECRET\" }");
    assert_eq!(exposed(&by_variable, &[("SF_SECRET", "from-variable")]), "from-variable");
    let name = "PORTCULLIS_PROVIDER__SALESFORCE__CLIENT_SECRET";
    // figment's own reader makes numbers and booleans of these.
    for odd in ["0123456789012345678", "12345", "1e5", "true", "[abc]", "\"quoted\"", "-1"] {
        assert_eq!(exposed(GOOD, &[(name, odd)]), odd);
        assert_eq!(exposed(&by_variable, &[("SF_SECRET", odd)]), odd);
    }
    let file_by_variable = [("PORTCULLIS_PROVIDER__SALESFORCE__CLIENT_SECRET__FILE", path.to_str().unwrap())];
    assert_eq!(exposed(GOOD, &file_by_variable), "from-file");
}

#[test]
fn relative_paths_begin_where_the_file_is() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("secret"), "abc").unwrap();
    let file = directory.path().join("gateway.toml");
    std::fs::write(&file, provider("client_secret = { file = \"secret\" }")).unwrap();
    assert!(matches!(oidc(&load(&file).unwrap()).client, ClientAuthentication::SecretPost(_)));
    assert!(load(&directory.path().join("nothing.toml")).unwrap_err().to_string().contains("cannot be read"));
}

#[test]
fn a_secret_that_cannot_be_had_is_a_problem() {
    let key = "provider.salesforce.client_secret";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    std::fs::write(&path, "\n").unwrap();
    for value in [
        "\"\"".to_owned(),
        "12".to_owned(),
        "[\"abc\"]".to_owned(),
        "{ file = \"/nowhere/secret\" }".to_owned(),
        format!("{{ file = {:?} }}", directory.path()),
        format!("{{ file = {path:?} }}"),
        "{ env = \"UNSET\" }".to_owned(),
        "{ env = \"EMPTY\" }".to_owned(),
        "{ env = \"UNSET\", file = \"x\" }".to_owned(),
        "{ vault = \"x\" }".to_owned(),
        "{}".to_owned(),
        "\"two words\"".to_owned(),
    ] {
        complaint_with(&provider(&format!("client_secret = {value}")), &[("EMPTY", "")], key);
    }
    complaint_with(GOOD, &[("PORTCULLIS_PROVIDER__SALESFORCE__CLIENT_SECRET", "")], key);
}

proptest! {
    #[test]
    fn a_secret_is_in_no_complaint(secret in "[A-Za-z0-9]{12,40}", noise in "[\"'=\\[\\]{} \n,#]{0,3}") {
        // three quotes would close what they open, and nothing would be wrong
        prop_assume!(noise != "\"\"\"");
        let texts = [
            provider(&format!("client_secret = \"{secret} {noise:.0}x\"")),
            provider(&format!("client_secret = [\"{secret}\"]")),
            provider(&format!("client_secret = {{ env = \"{secret}a\" }}")),
            provider(&format!("client_secret = {{ vault = \"{secret}\" }}")),
            provider(&format!("client_secret = {secret}")),
            provider(&format!("client_secret = \"{noise}{secret}{noise}")),
            provider(&format!("client_secrt = \"{secret}\"")),
            provider(&format!("client_key = \"{secret}\"")),
            provider(&format!("client_key = '''-----BEGIN ENCRYPTED PRIVATE KEY-----\n{secret}\n'''")),
            provider(&format!("client_secret = \"{secret}\"\nclient_authentication = \"none\"")),
            provider(&format!("org = \"https://admin:{secret}@acme.my.salesforce.com\"")),
            route(&format!("upstream = \"http://admin:{secret}@127.0.0.1:80\"")),
            top(&format!("public_url = \"https://admin:{secret}@wiki.example.com\"")),
            format!("[provider.salesforce] client_secret = \"{secret}\""),
            format!("client_secret = '''\n{secret}\n"),
        ];
        for text in texts {
            // Some noise makes a sound text again.
            let shown = read(&text, "gateway.toml", &[]).map_or_else(|told| told.to_string(), |made| format!("{made:?}"));
            prop_assert!(!shown.contains(&secret), "{}", shown);
        }
        let variable = "PORTCULLIS_PROVIDER__SALESFORCE__CLIENT_SECRET";
        let wrong = [
            (variable, format!("{secret} {secret}")),
            ("PORTCULLIS_PROVIDER__SALESFORCE__CLIENT_SECRET__VAULT", secret.clone()),
            ("PORTCULLIS_PROVIDER__SALESFORCE__CLIENT_SECRT", secret.clone()),
            ("PORTCULLIS_PROVIDER__SALESFORCE__CLIENT_KEY", secret.clone()),
        ];
        for (name, value) in wrong {
            let shown = problems_with(GOOD, &[(name, &value)]).to_string();
            prop_assert!(!shown.contains(&secret), "{}", shown);
        }
        let config = good_with(GOOD, &[(variable, &secret)]);
        let shown = format!("{config:?}");
        prop_assert!(!shown.contains(&secret), "{}", shown);
    }
}
