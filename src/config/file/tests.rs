//! Every complaint, by the key that it names.

use std::collections::BTreeSet;

use super::*;
use crate::config::problem::Place as Where;
use crate::identity::oidc::{ClientAuthentication, UserTypes};
use crate::identity::{self, Entry};
use crate::proxy::absolute::DestinationScheme;
use crate::proxy::by_connection::AfterBody;
use crate::proxy::group::{Balance, Verdicts};
use crate::proxy::inject::{Preset, Source};
use crate::proxy::introduce::Part;
use crate::route::Access;
use crate::server::Place;
use crate::server::tls::acme::Proof;
use crate::server::tls::{Demand, MinVersion};
use crate::session::cookie::Policy;
use hyper::header::HeaderName;
use proptest::prelude::*;
use std::time::Duration;

mod acme;
mod environment;
mod places;
mod providers;
mod reference;
mod routes;
mod secrets;
mod tls;

const GOOD: &str = r#"
public_url = "http://localhost:8080"
[provider.salesforce]
org = "https://acme.my.salesforce.com"
client_id = "3MVG9abc"
[[route]]
upstream = "http://127.0.0.1:3000"
"#;

fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn good(text: &str) -> Config {
    good_with(text, &[])
}

fn good_with(text: &str, pairs: &[(&str, &str)]) -> Config {
    read(text, "gateway.toml", &environment(pairs)).unwrap_or_else(|problems| panic!("{problems}"))
}

fn problems_with(text: &str, pairs: &[(&str, &str)]) -> Problems {
    read(text, "gateway.toml", &environment(pairs)).expect_err("a complaint")
}

fn oidc(config: &Config) -> &identity::oidc::Settings {
    match &config.providers[0].settings {
        identity::Settings::Oidc(settings) => settings,
        identity::Settings::Saml(_) => panic!("another protocol"),
    }
}

/// The one complaint about `text`, whose key must be `key`.
#[track_caller]
fn complaint(text: &str, key: &str) -> Problem {
    complaint_with(text, &[], key)
}

#[track_caller]
fn complaint_with(text: &str, pairs: &[(&str, &str)], key: &str) -> Problem {
    let problems = problems_with(text, pairs);
    assert_eq!(problems.keys().collect::<Vec<_>>(), [key], "{problems}");
    problems.0[0].clone()
}

/// `GOOD` with lines put into the top, the provider or the route, replacing lines of the same key.
fn top(lines: &str) -> String {
    replaced("public_url", lines)
}

fn provider(lines: &str) -> String {
    replaced("org", lines)
}

fn route(lines: &str) -> String {
    replaced("upstream", lines)
}

fn replaced(before: &str, lines: &str) -> String {
    let keys: BTreeSet<&str> = lines.lines().filter_map(|line| line.split_once(" =")).map(|(key, _)| key).collect();
    let mut text = String::new();
    for line in GOOD.lines() {
        if line.starts_with(before) {
            text.push_str(lines);
            text.push('\n');
        }
        if !line.split_once(" =").is_some_and(|(key, _)| keys.contains(key)) {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

fn and(table: &str) -> String {
    format!("{GOOD}{table}")
}

#[test]
fn the_smallest_file_is_good_and_has_the_documented_defaults() {
    let config = good(GOOD);
    assert_eq!(config.server.listen.list, [tcp("127.0.0.1:8080")]);
    assert_eq!(config.operator.unwrap().to_string(), "127.0.0.1:9180");
    assert_eq!(config.prefix, "/.portcullis");
    assert_eq!(config.cookies, Policy::Relaxed);
    assert_eq!(config.session.lifetime, Duration::from_secs(8 * 3600));
    assert_eq!(config.session.idle, Duration::from_secs(3600));
    assert_eq!(config.session.capacity, 100_000);
    assert_eq!(oidc(&config).scopes, ["openid", "profile", "email"]);
    assert_eq!(*config.providers[0].settings.user_types(), UserTypes::default());
    assert!(matches!(oidc(&config).client, ClientAuthentication::Public));
    assert_eq!(config.headers.presets, [Preset::Forwarded, Preset::Salesforce]);
    assert_eq!(config.routes.len(), 1);
    assert_eq!(config.routes[0].path, "/");
    assert_eq!(config.routes[0].name, "localhost:8080/");
    assert_eq!(config.routes[0].access, Access::SignedIn);
    assert_eq!(config.proxy.apps[0].addresses[0].to_string(), "http://127.0.0.1:3000");
    assert_eq!(config.login_body, 65_536);
    assert_eq!(config.server.limits.header_size, 65_536);
    assert_eq!(
        config.callbacks(&config.providers[0]).collect::<Vec<_>>(),
        ["http://localhost:8080/.portcullis/callback"]
    );
    assert!(config.notes.iter().any(|note| note.contains("development")), "{:?}", config.notes);
}

#[test]
fn https_without_tls_is_said_to_expect_a_terminator() {
    let config = good(&top("public_url = \"https://wiki.example.com\""));
    assert_eq!(config.cookies, Policy::Secure);
    assert!(config.notes.iter().any(|note| note.contains("ends TLS in front")), "{:?}", config.notes);
}

#[test]
fn all_problems_are_reported_at_once_in_the_order_of_the_file() {
    let text = r#"
public_url = "https://wiki.example.com/wiki"
lsiten = "0.0.0.0:443"

[provider.salesforce]
org = "https://acme.lightning.force.com"

[session]
idle = "30 parsecs"

[[route]]
upstream = "127.0.0.1:3000"
path = "/.portcullis"
"#;
    let problems = problems_with(text, &[]);
    let told: Vec<(String, &str)> =
        problems.0.iter().map(|problem| (problem.place.to_string(), problem.key.as_str())).collect();
    let expected = [
        ("gateway.toml:2", "public_url"),
        ("gateway.toml:3", "lsiten"),
        ("gateway.toml:5", "provider.salesforce.client_id"),
        ("gateway.toml:6", "provider.salesforce.org"),
        ("gateway.toml:9", "session.idle"),
        ("gateway.toml:12", "route[1].upstream"),
        ("gateway.toml:13", "route[1].path"),
    ];
    let expected: Vec<(String, &str)> = expected.iter().map(|(place, key)| ((*place).to_owned(), *key)).collect();
    assert_eq!(told, expected, "{problems}");
    assert_eq!(problems.0[1].instead, "did you mean `listen`?");
}

#[test]
fn lines_are_right_in_every_way_to_write_a_key() {
    let line = |text: &str, key: &str| complaint(text, key).place.to_string();
    assert_eq!(line(&and("[session]\n\nidle = 5\n"), "session.idle"), "gateway.toml:10");
    assert_eq!(line(&format!("session.idle = 5\n{GOOD}"), "session.idle"), "gateway.toml:1");
    assert_eq!(line(&format!("session = {{ lifetime = \"8h\", idle = 5 }}\n{GOOD}"), "session.idle"), "gateway.toml:1");
    let scopes = provider("scopes = [\n  \"openid\",\n  \"full\",\n]");
    assert_eq!(line(&scopes, "provider.salesforce.scopes[2]"), "gateway.toml:6");
    let second = and("[[route]]\npath = \"/x\"\nupstream = \"ftp://127.0.0.1\"\n");
    assert_eq!(line(&second, "route[2].upstream"), "gateway.toml:10");
    let missing = and("[[route]]\npath = \"/x\"\n");
    assert_eq!(line(&missing, "route[2].upstream"), "gateway.toml:8");
}

#[test]
fn a_syntax_error_has_its_line_and_caret_but_no_value() {
    let problems = problems_with("public_url = \"http://localhost\"\n[provider.sf]\nclient_secret = \"hunter2\n", &[]);
    let shown = problems.to_string();
    assert_eq!(problems.0[0].place.to_string(), "gateway.toml:3");
    assert!(shown.contains("client_secret = \"······"), "{shown}");
    assert!(shown.contains('^') && !shown.contains("hunter2"), "{shown}");
    let shown = problems_with("a = 1\na = 2\n", &[]).to_string();
    assert!(shown.starts_with("gateway.toml:2: this is not TOML: duplicate key"), "{shown}");
}

#[test]
fn every_table_refuses_an_unknown_key() {
    for table in ["tls", "operator", "session", "headers", "limits", "upstream", "log"] {
        let problems = problems_with(&and(&format!("[{table}]\nzzz = 1\n")), &[]);
        let key = format!("{table}.zzz");
        assert!(problems.0.iter().any(|p| p.key == key && p.wrong == "is not a known key"), "{problems}");
    }
    complaint(&top("zzz = 1"), "zzz");
    complaint(&provider("zzz = 1"), "provider.salesforce.zzz");
    complaint(&route("zzz = 1"), "route[1].zzz");
}

#[test]
fn a_key_in_the_wrong_table_is_told_its_right_one() {
    assert_eq!(complaint(&top("idle = \"1h\""), "idle").instead, "`idle` belongs into [session]");
    assert_eq!(complaint(&and("[session]\nidel = \"1h\"\n"), "session.idel").instead, "did you mean `idle`?");
}

fn tcp(address: &str) -> Place {
    Place::Tcp(address.parse().unwrap())
}

/// A good configuration with TLS, these lines in `[tls]` and these tables after it.
fn tls(folder: &Path, lines: &str, tables: &str) -> String {
    let pair = pair(folder);
    format!("{}[tls]\n{pair}{lines}\n{tables}", top("public_url = \"https://localhost\""))
}

fn pair(folder: &Path) -> String {
    format!("certificate = {:?}\nprivate_key = {:?}\n", folder.join("crt"), folder.join("key"))
}

/// A directory with a certificate and its key.
fn files() -> tempfile::TempDir {
    files_for("localhost")
}

fn files_for(host: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
    std::fs::write(directory.path().join("crt"), made.cert.pem()).unwrap();
    std::fs::write(directory.path().join("key"), made.signing_key.serialize_pem()).unwrap();
    directory
}

#[test]
fn sessions_have_sound_times() {
    complaint(&and("[session]\nlifetime = \"0s\"\n"), "session.lifetime");
    complaint(&and("[session]\nlifetime = \"31days\"\n"), "session.lifetime");
    complaint(&and("[session]\nidle = \"9h\"\n"), "session.idle");
    complaint(&and("[session]\nidle = \"500ms\"\n"), "session.idle");
    complaint(&and("[session]\ncapacity = 0\n"), "session.capacity");
    complaint(&and("[session]\ncapacity = -1\n"), "session.capacity");
    complaint(&and("[session]\nlogin_timeout = \"2h\"\n"), "session.login_timeout");
    let short = good(&and("[session]\nlifetime = \"30m\"\n"));
    assert_eq!(short.session.idle, Duration::from_secs(1800));
}

#[test]
fn limits_are_within_reason() {
    for (key, value) in [
        ("header_size", "\"1KiB\""),
        ("header_size", "\"1GiB\""),
        ("header_size", "65536"),
        ("headers", "0"),
        ("header_timeout", "\"0s\""),
        ("handshake_timeout", "\"2days\""),
        ("body_idle_timeout", "30"),
        ("body_rate", "240"),
        ("body_rate", "\"2MiB\""),
        ("body_rate", "\"slow\""),
        ("connections", "0"),
        ("streams", "0"),
        ("connection_age", "\"x\""),
        ("h2_idle_timeout", "\"0s\""),
        ("login_body", "\"1B\""),
    ] {
        complaint(&and(&format!("[limits]\n{key} = {value}\n")), &format!("limits.{key}"));
    }
    let slow = good(&and("[limits]\nbody_rate = \"0B\"\n"));
    assert_eq!(slow.server.limits.body_rate, 0);
    for key in ["connect_timeout", "first_byte_timeout", "idle_timeout", "tunnel_idle_timeout", "pool_idle_timeout"] {
        complaint(&and(&format!("[upstream]\n{key} = \"0s\"\n")), &format!("upstream.{key}"));
    }
    complaint(&and("[upstream]\nconnections = 0\n"), "upstream.connections");
}

#[test]
fn log_words_are_a_closed_set() {
    complaint(&and("[log]\nformat = \"xml\"\n"), "log.format");
    complaint(&and("[log]\nlevel = \"verbose\"\n"), "log.level");
    assert_eq!(
        complaint(&and("[log]\nlevel = \"warning\"\n"), "log.level").instead,
        "did you mean \"warn\"? Possible: \"error\", \"warn\", \"info\", \"debug\", \"trace\""
    );
    complaint(&and("[log]\nlevel = \"info,x=loud\"\n"), "log.level");
    assert_eq!(
        good(&and("[log]\nlevel = \"info,portcullis::login=debug\"\n")).log.level,
        "info,portcullis::login=debug"
    );
    complaint(&and("[log]\naccess = true\n"), "log.access");
}

fn shown(name: &str) -> String {
    if name.contains('.') { format!("{name:?}") } else { name.to_owned() }
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_crash(text in "[a-z_.\"'=\\[\\]{}0-9 \n#-]{0,80}") {
        let _ = read(&text, "gateway.toml", &[]);
    }
}
