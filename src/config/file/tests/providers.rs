//! `[provider.NAME]`: who signs people in.

use super::*;

#[test]
fn there_is_a_provider_with_a_name() {
    complaint("public_url = \"http://localhost\"\n[[route]]\nupstream = \"http://127.0.0.1:1\"\n", "provider");
    complaint(&GOOD.replace("[provider.salesforce]", "[provider.Sales]"), "provider.Sales");
    complaint(&GOOD.replace("[provider.salesforce]", "[provider.\"a b\"]"), "provider.\"a b\"");
}

/// The ordinary configuration, with the lines of its provider and those of `[provider.b]` and `[provider.a]`.
fn several(first: &str, b: &str, a: &str) -> String {
    let table = |name: &str, lines: &str| {
        format!("[provider.{name}]\norg = \"https://{name}.my.salesforce.com\"\nclient_id = \"x\"\n{lines}\n")
    };
    let ours = "organizations = [\"00D5g00000ABCDE\"]\n";
    let both = format!("{}{}", table("b", &format!("{ours}{b}")), table("a", &format!("{ours}{a}")));
    provider(&format!("{ours}{first}")) + &both
}

#[test]
fn providers_are_kept_in_the_order_of_the_file() {
    let config = good(&several("", "title = \"Partners\"", ""));
    let shown = |config: &Config| -> Vec<(String, String)> {
        let shown = |entry: &Entry| (entry.settings.name().to_string(), entry.title.clone());
        config.providers.iter().map(shown).collect()
    };
    let pair = |name: &str, title: &str| (name.to_owned(), title.to_owned());
    let expected =
        [pair("salesforce", "acme.my.salesforce.com"), pair("b", "Partners"), pair("a", "a.my.salesforce.com")];
    assert_eq!(shown(&config), expected);
    let more = [
        ("PORTCULLIS_PROVIDER__ZED__ORG", "https://zed.my.salesforce.com"),
        ("PORTCULLIS_PROVIDER__ZED__CLIENT_ID", "x"),
        ("PORTCULLIS_PROVIDER__ZED__ORGANIZATIONS", "00D5g00000ABCDE"),
    ];
    let config = good_with(&several("", "title = \"Partners\"", ""), &more);
    assert_eq!(shown(&config)[3], pair("zed", "zed.my.salesforce.com"), "from the environment alone: last");
}

#[test]
fn several_providers_of_a_protocol_have_addresses_of_their_own() {
    let paths =
        |config: &Config| -> Vec<String> { config.providers.iter().map(|entry| entry.paths().answer).collect() };
    assert_eq!(paths(&good(GOOD)), ["/callback"]);
    assert_eq!(paths(&good(&provider("addresses = \"named\""))), ["/callback/salesforce"]);
    let all_named = ["/callback/salesforce", "/callback/b", "/callback/a"];
    assert_eq!(paths(&good(&several("", "", ""))), all_named);
    assert_eq!(paths(&good(&several("addresses = \"named\"", "", ""))), all_named);
    let one_short = ["/callback", "/callback/b", "/callback/a"];
    assert_eq!(paths(&good(&several("addresses = \"short\"", "", ""))), one_short);
    let short = "addresses = \"short\"";
    let problem = complaint(&several(short, "", short), "provider.a.addresses");
    assert!(problem.wrong.contains("as for salesforce"), "{problem}");
    complaint(&provider("addresses = \"long\""), "provider.salesforce.addresses");
}

#[test]
fn beside_others_a_provider_speaks_for_named_orgs_alone() {
    let second = "[provider.b]\norg = \"https://b.my.salesforce.com\"\nclient_id = \"x\"\n";
    let pinned = provider("organizations = [\"00D5g00000ABCDE\"]") + second;
    let problem = complaint(&pinned, "provider.b.organizations");
    assert!(problem.wrong.contains("other providers"), "{problem}");
    let both = problems_with(&and(second), &[]);
    assert_eq!(both.keys().collect::<Vec<_>>(), ["provider.salesforce.organizations", "provider.b.organizations"]);
    let shared = "[provider.b]\norg = \"https://login.salesforce.com\"\nclient_id = \"x\"\n";
    complaint(&(provider("organizations = [\"00D5g00000ABCDE\"]") + shared), "provider.b.organizations");
}

#[test]
fn people_can_tell_providers_apart() {
    let problem = complaint(&several("title = \"Acme\"", "", "title = \"ACME\""), "provider.a.title");
    assert!(problem.wrong.contains("that of salesforce"), "{problem}");
    let same_org = "[provider.b]\norg = \"https://acme.my.salesforce.com\"\nclient_id = \"x\"\n\
                    organizations = [\"00D5g00000ABCDE\"]\n";
    complaint(&(provider("organizations = [\"00D5g00000ABCDE\"]") + same_org), "provider.b.title");
    complaint(&provider(&format!("title = {:?}", "a".repeat(61))), "provider.salesforce.title");
    complaint(&provider("title = \"a\\tb\""), "provider.salesforce.title");
    complaint(&provider("title = \" \""), "provider.salesforce.title");
    assert_eq!(good(&provider(&format!("title = {:?}", "ä".repeat(60)))).providers[0].title.chars().count(), 60);
}

#[test]
fn each_provider_is_checked_by_itself() {
    let text = several("clock_skew = \"4m\"", "scopez = []", "protocol = \"ldap\"\nclient_idd = \"x\"");
    let problems = problems_with(&text, &[]);
    let keys = ["provider.salesforce.clock_skew", "provider.b.scopez", "provider.a.protocol"];
    assert_eq!(problems.keys().collect::<Vec<_>>(), keys, "{problems}");
}

#[test]
fn the_provider_is_checked_key_by_key() {
    let wrong = |lines: &str, key: &str| complaint(&provider(lines), &format!("provider.salesforce.{key}"));
    wrong("protocol = \"ldap\"", "protocol");
    wrong("protocol = \"odic\"", "protocol");
    wrong("org = \"http://acme.my.salesforce.com\"", "org");
    wrong("org = \"https://acme.lightning.force.com\"", "org");
    wrong("client_id = \"\"", "client_id");
    wrong("client_id = \"3MVG9...\"", "client_id");
    wrong("client_id = 12", "client_id");
    wrong("user_types = []", "user_types");
    wrong("user_types = [\"any\", \"STANDARD\"]", "user_types");
    assert_eq!(wrong("user_types = [\"Any\"]", "user_types[1]").instead, "write \"any\"");
    wrong("user_types = [\"STANDARD, PowerPartner\"]", "user_types[1]");
    wrong("scopes = [\"profile\"]", "scopes");
    for scope in ["full", "api", "web", "refresh_token", "offline_access", "openid profile"] {
        wrong(&format!("scopes = [\"openid\", \"{scope}\"]"), "scopes[2]");
    }
    wrong("userinfo_method = \"put\"", "userinfo_method");
    wrong("clock_skew = \"4m\"", "clock_skew");
    wrong("timeout = \"0s\"", "timeout");
    wrong("ca = \"/nowhere/ca.pem\"", "ca");
    wrong("ca = \"/dev/null\"", "ca");
}

#[test]
fn an_organization_is_an_orgs_id() {
    let key = "provider.salesforce.organizations[1]";
    complaint(&provider("organizations = [\"acme\"]"), key);
    let user = complaint(&provider("organizations = [\"0055g00000ABCDE\"]"), key);
    assert!(user.wrong.ends_with("is the id of a user"), "{user}");
    assert_eq!(good(&provider("organizations = [\"00D5g00000ABCDE\"]")).providers[0].settings.organizations().len(), 1);
}

#[test]
fn a_shared_login_host_needs_organizations() {
    let shared = provider("org = \"https://login.salesforce.com\"");
    complaint(&shared, "provider.salesforce.organizations");
    let pinned = provider("org = \"https://login.salesforce.com\"\norganizations = [\"00D5g00000ABCDE\"]");
    assert_eq!(good(&pinned).providers[0].settings.organizations().len(), 1);
}

#[test]
fn ways_to_authenticate_the_client_exclude_each_other() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap().serialize_pem();
    let key = format!("client_key = '''\n{key}'''\n");
    let wrong = |lines: &str, key: &str| complaint(&provider(lines), &format!("provider.salesforce.{key}"));
    wrong("client_secret = \"abc\"\nclient_authentication = \"none\"", "client_secret");
    wrong(&format!("client_secret = \"abc\"\nclient_authentication = \"private_key_jwt\"\n{key}"), "client_secret");
    wrong(&format!("client_secret = \"abc\"\n{key}"), "client_key");
    wrong(&format!("client_secret = \"abc\"\nclient_authentication = \"client_secret_post\"\n{key}"), "client_key");
    wrong("client_authentication = \"client_secret_basic\"", "client_secret");
    wrong("client_authentication = \"private_key_jwt\"", "client_key");
    wrong("client_authentication = \"secret\"", "client_authentication");
    wrong("client_key_id = \"2026\"", "client_key_id");
    wrong("client_key = \"not a key\"", "client_key");
    let client = |lines: &str| oidc(&good(&provider(lines))).client.clone();
    assert!(
        matches!(client("client_secret = \"abc\""), ClientAuthentication::SecretPost(secret) if secret.expose() == "abc")
    );
    let basic = "client_secret = \"abc\"\nclient_authentication = \"client_secret_basic\"";
    assert!(matches!(client(basic), ClientAuthentication::SecretBasic(_)));
    let by_key = format!("{key}client_key_id = \"2026\"");
    assert!(matches!(client(&by_key), ClientAuthentication::PrivateKeyJwt { key_id: Some(_), .. }));
    assert!(matches!(client("client_authentication = \"none\""), ClientAuthentication::Public));
}
