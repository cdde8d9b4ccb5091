//! What cannot be read keeps the gateway from starting; nothing missing means open.

use portcullis::config::file;
use portcullis::gateway;

/// Whether a gateway comes up from this text.
async fn starts(toml: &str) -> bool {
    match file::read(toml, "gateway.toml", &[]) {
        Ok(config) => gateway::start(config).await.is_ok(),
        Err(_) => false,
    }
}

fn config(public: &str, top: &str, provider: &str, tables: &str) -> String {
    format!(
        "public_url = \"{public}\"\nlisten = \"127.0.0.1:0\"\nworkers = 1\n{top}\n[operator]\nlisten = \"off\"\n[provider.salesforce]\nclient_id = \"id\"\n{provider}\n\
         {tables}\n[[route]]\nupstream = \"http://127.0.0.1:9\"\n"
    )
}

const ORG: &str = "org = \"http://127.0.0.1:9\"\nclient_secret = \"s\"";

// T-FAIL-4, CVE-2026-54762, CVE-2026-27586
#[tokio::test]
async fn what_cannot_be_loaded_is_not_done_without() {
    let here = "http://localhost:8080";
    assert!(starts(&config(here, "", ORG, "")).await, "the same without a fault");
    for (what, toml) in [
        (
            "a secret's file",
            config(here, "", "org = \"http://127.0.0.1:9\"\nclient_secret = { file = \"/nowhere/secret\" }", ""),
        ),
        (
            "a secret's variable",
            config(
                here,
                "",
                "org = \"http://127.0.0.1:9\"\nclient_secret = { env = \"NO_SUCH_VARIABLE_ANYWHERE\" }",
                "",
            ),
        ),
        ("an empty secret", config(here, "", "org = \"http://127.0.0.1:9\"\nclient_secret = \"\"", "")),
        (
            "a key",
            config(
                here,
                "",
                "org = \"http://127.0.0.1:9\"\nclient_authentication = \"private_key_jwt\"\nclient_key = \"nonsense\"",
                "",
            ),
        ),
        ("certificates to trust", config(here, "", &format!("{ORG}\nca = \"/nowhere/ca.pem\""), "")),
        (
            "a certificate",
            config(
                "https://localhost",
                "",
                ORG,
                "[tls]\ncertificate = \"/nowhere/c.pem\"\nprivate_key = \"/nowhere/k.pem\"",
            ),
        ),
        (
            "organizations at a shared host",
            config(here, "", "org = \"https://login.salesforce.com\"\nclient_secret = \"s\"", ""),
        ),
        ("an unreadable organization", config(here, "", &format!("{ORG}\norganizations = [\"*\"]"), "")),
        (
            "plain text to Salesforce",
            config(here, "", "org = \"http://acme.my.salesforce.com\"\nclient_secret = \"s\"", ""),
        ),
        ("plain text to people", config("http://wiki.example.com", "", ORG, "")),
        ("a misspelled key", config(here, "trusted_proxy = []", ORG, "")),
        ("everybody as a proxy", config(here, "trusted_proxies = [\"everybody\"]", ORG, "")),
        (
            "a route's misspelled key",
            config(here, "", ORG, "[[route]]\npath = \"/x\"\npubic = true\nupstream = \"http://127.0.0.1:9\""),
        ),
        (
            "a pattern for a path",
            config(here, "", ORG, "[[route]]\npath = \"/x/*\"\nupstream = \"http://127.0.0.1:9\""),
        ),
        ("an escaped path", config(here, "", ORG, "[[route]]\npath = \"/x%2fy\"\nupstream = \"http://127.0.0.1:9\"")),
        (
            "a public text",
            config(here, "", ORG, "[[route]]\npath = \"/x\"\npublic = \"no\"\nupstream = \"http://127.0.0.1:9\""),
        ),
        (
            "our own place as a route",
            config(
                here,
                "",
                ORG,
                "[[route]]\npath = \"/.portcullis\"\npublic = true\nupstream = \"http://127.0.0.1:9\"",
            ),
        ),
    ] {
        assert!(!starts(&toml).await, "it starts without {what}");
    }
}
