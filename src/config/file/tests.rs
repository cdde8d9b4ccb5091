//! Every complaint, by the key that it names.

use std::collections::BTreeSet;

use super::*;
use crate::config::problem::Place as Where;
use crate::identity::oidc::{ClientAuthentication, UserTypes};
use crate::identity::{self, Entry};
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
fn a_route_takes_scheme_and_port_of_the_public_address() {
    let text = top("public_url = \"https://wiki.example.com:8443\"");
    let config = good(&format!("{text}[[route]]\nhost = \"Grafana.example.com\"\nupstream = \"http://[::1]:80\"\n"));
    assert_eq!(config.origins[1].as_str(), "https://grafana.example.com:8443");
    assert_eq!(config.routes[1].host.as_deref(), Some("grafana.example.com:8443"));
    assert_eq!(config.proxy.apps[1].addresses[0].to_string(), "http://[::1]:80");
    assert_eq!(config.routes[1].name, "grafana.example.com:8443/");
}

#[test]
fn the_environment_wins_over_the_file() {
    let text = and("[session]\nidle = \"2h\"\n");
    let config = good_with(
        &text,
        &[
            ("PORTCULLIS_SESSION__IDLE", "30m"),
            ("PORTCULLIS_SESSION__CAPACITY", "77"),
            ("PORTCULLIS_TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.7"),
            ("PORTCULLIS_PROVIDER__SALESFORCE__USER_TYPES", "[\"any\"]"),
            ("PORTCULLIS_LISTEN", "127.0.0.1:9"),
        ],
    );
    assert_eq!(config.session.idle, Duration::from_secs(1800));
    assert_eq!(config.session.capacity, 77);
    assert_eq!(config.proxy.trusted_proxies.0.len(), 2);
    assert_eq!(*config.providers[0].settings.user_types(), UserTypes::Any);
    assert_eq!(config.server.listen.list, [tcp("127.0.0.1:9")]);
}

#[test]
fn the_environment_alone_is_enough() {
    let config = good_with(
        "",
        &[
            ("PORTCULLIS_PUBLIC_URL", "http://localhost:8080"),
            ("PORTCULLIS_PROVIDER__SALESFORCE__ORG", "https://acme.my.salesforce.com"),
            ("PORTCULLIS_PROVIDER__SALESFORCE__CLIENT_ID", "3MVG9abc"),
            ("PORTCULLIS_ROUTE", "[{ upstream = \"http://127.0.0.1:3000\", public = true }]"),
        ],
    );
    assert_eq!(config.routes[0].access, Access::Public);
}

#[test]
fn a_complaint_about_the_environment_names_the_variable() {
    let problem = complaint_with(GOOD, &[("PORTCULLIS_SESSION__IDLE", "soon")], "session.idle");
    assert_eq!(problem.place, Where::Environment("PORTCULLIS_SESSION__IDLE".to_owned()));
    let problem = complaint_with(GOOD, &[("PORTCULLIS_SESION__IDLE", "1h")], "sesion");
    assert_eq!(problem.place, Where::Environment("PORTCULLIS_SESION__IDLE".to_owned()));
    assert_eq!(problem.instead, "did you mean `session`?");
    let problem = complaint_with(GOOD, &[("PORTCULLIS_LISTEN", "")], "listen");
    assert_eq!(problem.wrong, "is empty");
    complaint_with(GOOD, &[("PORTCULLIS_ROUTE", "[{")], "route");
}

// `ORGANIZATIONS: ${ORGS}` where nobody set ORGS.
#[test]
fn a_variable_that_nobody_filled_in_takes_no_rule_away() {
    let variable = "PORTCULLIS_PROVIDER__SALESFORCE__ORGANIZATIONS";
    for nothing in ["", " ", ","] {
        complaint_with(GOOD, &[(variable, nothing)], "provider.salesforce.organizations");
    }
    good_with(GOOD, &[(variable, "[]")]);
}

#[test]
fn what_kubernetes_says_of_a_service_called_portcullis_is_not_for_us() {
    good_with(
        GOOD,
        &[
            ("PORTCULLIS_SERVICE_HOST", "10.0.0.1"),
            ("PORTCULLIS_SERVICE_PORT", "443"),
            ("PORTCULLIS_SERVICE_PORT_HTTPS", "443"),
            ("PORTCULLIS_PORT", "tcp://10.0.0.1:443"),
            ("PORTCULLIS_PORT_443_TCP", "tcp://10.0.0.1:443"),
            ("PORTCULLIS_PORT_443_TCP_ADDR", "10.0.0.1"),
        ],
    );
    complaint_with(GOOD, &[("PORTCULLIS_PORTAL", "1")], "portal");
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

#[test]
fn the_public_address_is_an_origin() {
    complaint(&GOOD.replace("public_url", "#"), "public_url");
    complaint(&top("public_url = \"wiki.example.com\""), "public_url");
    let problem = complaint(&top("public_url = \"https://wiki.example.com/wiki\""), "public_url");
    assert_eq!(problem.instead, "write \"https://wiki.example.com\"");
    complaint(&top("public_url = 7"), "public_url");
}

#[test]
fn plain_text_in_public_needs_the_dangerous_key() {
    let plain = "public_url = \"http://wiki.example.com\"";
    complaint(&top(plain), "public_url");
    let config = good(&top(&format!("{plain}\ndangerous_plain_text_public_url = true")));
    assert_eq!(config.cookies, Policy::Relaxed);
    assert!(config.notes.iter().any(|note| note.starts_with("DANGEROUS")), "{:?}", config.notes);
    complaint(&top("dangerous_plain_text_public_url = \"yes\""), "dangerous_plain_text_public_url");
}

#[test]
fn odd_values_at_the_top_are_refused() {
    complaint(&top("listen = \"localhost:80\""), "listen");
    complaint(&top("listen = []"), "listen");
    complaint(&top("listen = [\"127.0.0.1:1\", \"127.0.0.1:1\"]"), "listen");
    complaint(&top("listen = [\"127.0.0.1:1\", \"unix:\"]"), "listen[2]");
    complaint(&top("listen = \"unix:@abstract\""), "listen");
    complaint(&top("listen = \"systemd:\""), "listen");
    complaint(&top("socket_mode = \"u=rw\""), "socket_mode");
    complaint(&top("socket_mode = \"4755\""), "socket_mode");
    complaint(&top("workers = 0"), "workers");
    complaint(&top("workers = 5000"), "workers");
    complaint(&top("workers = 1.5"), "workers");
    complaint(&top("trusted_proxies = [\"0.0.0.0/0\"]"), "trusted_proxies[1]");
    complaint(&top("trusted_proxies = \"10.0.0.0/8\""), "trusted_proxies");
    complaint(&top("drain = \"0s\""), "drain");
    for prefix in ["", "/", "portcullis", "/a/", "/a//b", "/../a", "/a b", "/%2e", "/a?b"] {
        complaint(&top(&format!("prefix = \"{prefix}\"")), "prefix");
    }
    complaint(&top("session = 5"), "session");
}

fn tcp(address: &str) -> Place {
    Place::Tcp(address.parse().unwrap())
}

#[test]
fn the_front_door_may_be_in_several_places() {
    let list = r#"listen = ["127.0.0.1:1", "[::1]:1", "unix:front.sock", "systemd", "systemd:web"]"#;
    let config = good(&top(&format!("{list}\nsocket_mode = \"0600\"")));
    let [first, second, third, rest @ ..] = &config.server.listen.list[..] else { panic!("too few") };
    assert_eq!([first, second], [&tcp("127.0.0.1:1"), &tcp("[::1]:1")]);
    assert!(matches!(third, Place::Unix(path) if path.ends_with("front.sock")));
    assert_eq!(rest, [Place::Inherited(None), Place::Inherited(Some("web".to_owned()))]);
    assert_eq!(config.server.listen.mode, 0o600);
    assert_eq!(good(GOOD).server.listen.mode, 0o660);
    let from_environment = good_with(GOOD, &[("PORTCULLIS_LISTEN", "127.0.0.1:1, unix:/run/x.sock")]);
    assert_eq!(from_environment.server.listen.list.len(), 2);
    let names = good_with(&top("listen = \"systemd:web\""), &[("LISTEN_FDNAMES", "web:other")]).server.inherited;
    assert_eq!(names, ["web", "other"]);
    let ourselves = and("[[route]]\npath = \"/b\"\nupstream = \"http://127.0.0.1:2\"\n");
    complaint(
        &ourselves
            .replace("listen", "#")
            .replace("public_url", "listen = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\npublic_url"),
        "route[2].upstream",
    );
}

#[test]
fn the_redirect_leads_from_a_place_of_its_own_to_https() {
    let https = |table: &str| format!("{}{table}", top("public_url = \"https://wiki.example.com\""));
    let config = good(&https("[redirect]\nlisten = [\"127.0.0.1:80\", \"[::1]:80\"]\n"));
    assert_eq!(config.redirect.unwrap().list, [tcp("127.0.0.1:80"), tcp("[::1]:80")]);
    assert_eq!(good(GOOD).redirect, None);
    complaint(&https("[redirect]\n"), "redirect.listen");
    complaint(&https("[redirect]\nlisten = \"0.0.0.0:8080\"\n"), "redirect.listen");
    complaint(&https("[redirect]\nlisten = \"127.0.0.1:9180\"\n"), "redirect.listen");
    complaint(&https("[redirect]\nlisten = \"80\"\n"), "redirect.listen");
    complaint(&and("[redirect]\nlisten = \"127.0.0.1:80\"\n"), "redirect");
}

#[test]
fn the_operators_names_are_names() {
    let names = good(&and("[operator]\nhosts = [\"Gate.Internal\"]\n")).operator_hosts;
    assert_eq!(names, ["gate.internal"]);
    for name in ["http://gate.internal", "gate.internal:9180", "*", "gate internal"] {
        complaint(&and(&format!("[operator]\nhosts = [\"{name}\"]\n")), "operator.hosts[1]");
    }
}

#[test]
fn a_balancer_and_a_client_are_bounded_in_the_configuration() {
    let config = good(&top("proxy_protocol = [\"10.0.0.2\", \"unix\"]"));
    assert_eq!(config.server.proxied.0.len(), 2);
    complaint(&top("proxy_protocol = [\"0.0.0.0/0\"]"), "proxy_protocol[1]");
    let noted = |trusted: &str| {
        let lines = format!("proxy_protocol = [\"10.0.0.2\"]\ntrusted_proxies = [{trusted}]");
        good(&top(&lines)).notes.iter().any(|note| note.starts_with("10.0.0.2/32 is in proxy_protocol and"))
    };
    assert!(noted("\"10.0.0.2\"") && !noted("\"10.0.0.3\""));
    assert_eq!(good(GOOD).server.connections_per_client, None);
    assert_eq!(good(&and("[limits]\nconnections_per_client = 9\n")).server.connections_per_client, Some(9));
    complaint(&and("[limits]\nconnections_per_client = 0\n"), "limits.connections_per_client");
}

#[test]
fn whoever_may_open_a_public_unix_socket_is_not_believed_in_silence() {
    let noted = |lines: &str| good(&top(lines)).notes.iter().any(|note| note.contains("everybody on this machine"));
    let socket = "listen = \"unix:/run/x.sock\"\ntrusted_proxies = [\"unix\"]";
    assert!(noted(&format!("{socket}\nsocket_mode = \"0666\"")));
    assert!(!noted(socket));
}

#[test]
fn the_two_listeners_do_not_share_an_address() {
    complaint(&and("[operator]\nlisten = \"127.0.0.1:8080\"\n"), "operator.listen");
    complaint(&and("[operator]\nlisten = \"0.0.0.0:8080\"\n"), "operator.listen");
    assert_eq!(good(&and("[operator]\nlisten = \"off\"\n")).operator, None);
    let open = good(&and("[operator]\nlisten = \"10.0.0.1:9180\"\n"));
    assert!(open.notes.iter().any(|note| note.contains("not on loopback")), "{:?}", open.notes);
    complaint(&and("[operator]\nlisten = \"no\"\n"), "operator.listen");
}

#[test]
fn tls_needs_both_files_and_https() {
    let https = top("public_url = \"https://localhost\"");
    let missing = problems_with(&format!("{https}[tls]\ncertificate = \"/nowhere/a.crt\"\n"), &[]);
    assert_eq!(missing.keys().collect::<Vec<_>>(), ["tls.private_key", "tls.certificate"], "{missing}");
    let (one, other) = (files(), files());
    let tls = |certificate: &Path, key: &Path| format!("[tls]\ncertificate = {certificate:?}\nprivate_key = {key:?}\n");
    let sound = tls(&one.path().join("crt"), &one.path().join("key"));
    assert_eq!(good(&format!("{https}{sound}")).server.tls.unwrap().pairs[0].private_key, one.path().join("key"));
    assert_eq!(good(&format!("{https}{sound}")).server.listen.list, [tcp("0.0.0.0:443")]);
    let mismatched = tls(&one.path().join("crt"), &other.path().join("key"));
    let problems = problems_with(&format!("{https}{mismatched}"), &[]);
    assert_eq!(problems.keys().collect::<Vec<_>>(), ["tls.private_key"], "{problems}");
    assert!(problems.0[0].wrong.contains("does not belong to"), "{problems}");
    let swapped = tls(&one.path().join("key"), &one.path().join("crt"));
    let problems = problems_with(&format!("{https}{swapped}"), &[]);
    assert_eq!(problems.keys().collect::<Vec<_>>(), ["tls.certificate"], "{problems}");
    complaint(&and(&sound), "public_url");
}

/// A good configuration with TLS, these lines in `[tls]` and these tables after it.
fn tls(folder: &Path, lines: &str, tables: &str) -> String {
    let pair = pair(folder);
    format!("{}[tls]\n{pair}{lines}\n{tables}", top("public_url = \"https://localhost\""))
}

fn pair(folder: &Path) -> String {
    format!("certificate = {:?}\nprivate_key = {:?}\n", folder.join("crt"), folder.join("key"))
}

#[test]
fn further_certificates_are_tables_of_their_own() {
    let (one, other) = (files(), files());
    let more = format!("[[tls.more]]\n{}[[tls.more]]\n{}", pair(other.path()), pair(one.path()));
    let pairs = good(&tls(one.path(), "", &more)).server.tls.unwrap().pairs;
    let folders: Vec<_> = pairs.iter().map(|files| files.certificate.parent().unwrap()).collect();
    assert_eq!(folders, [one.path(), other.path(), one.path()]);
    let wrong = |tables: &str, key: &str| complaint(&tls(one.path(), "", tables), key);
    wrong(&format!("[[tls.more]]\nprivate_key = {:?}\n", other.path().join("key")), "tls.more[1].certificate");
    wrong(&format!("[[tls.more]]\ncertificate = {:?}\n", other.path().join("crt")), "tls.more[1].private_key");
    wrong(&format!("[[tls.more]]\n{}zzz = 1\n", pair(other.path())), "tls.more[1].zzz");
    wrong("[tls.more]\ncertificate = \"/x\"\n", "tls.more");
    let mixed = format!(
        "[[tls.more]]\ncertificate = {:?}\nprivate_key = {:?}\n",
        one.path().join("crt"),
        other.path().join("key")
    );
    assert!(wrong(&mixed, "tls.more[1].private_key").wrong.contains("does not belong to"));
}

#[test]
fn further_certificates_and_routes_can_both_come_from_the_environment() {
    let (one, other) = (files(), files());
    let more =
        format!("[{{ certificate = {:?}, private_key = {:?} }}]", other.path().join("crt"), other.path().join("key"));
    let routes = "[{ upstream = \"http://127.0.0.1:7\" }, { upstream = \"http://127.0.0.1:8\", path = \"/b\" }]";
    let config = good_with(&tls(one.path(), "", ""), &[("PORTCULLIS_ROUTE", routes), ("PORTCULLIS_TLS__MORE", &more)]);
    assert_eq!(config.routes.len(), 2);
    assert_eq!(config.server.tls.unwrap().pairs[1].certificate, other.path().join("crt"));
}

#[test]
fn what_clients_have_to_show_and_what_browsers_are_told_is_checked() {
    let folder = files();
    let settings = |lines: &str| good(&tls(folder.path(), lines, "")).server.tls.unwrap();
    let wrong = |lines: &str, key: &str| complaint(&tls(folder.path(), lines, ""), key);
    assert_eq!((settings("").min_version, settings("").hsts), (MinVersion::Tls12, None));
    assert_eq!(settings("min_version = \"1.3\"").min_version, MinVersion::Tls13);
    assert!(wrong("min_version = \"1.1\"", "tls.min_version").wrong.contains("RFC 8996"));
    wrong("min_version = \"1.4\"", "tls.min_version");
    wrong("min_version = 1.3", "tls.min_version");
    assert_eq!(settings("hsts = \"1day\"").hsts, Some(Duration::from_secs(86_400)));
    assert_eq!(settings("hsts = \"off\"").hsts, None);
    for odd in ["hsts = \"0s\"", "hsts = \"1s\"", "hsts = \"100y\"", "hsts = \"on\"", "hsts = true"] {
        wrong(odd, "tls.hsts");
    }
    let notes = good(&tls(folder.path(), "hsts = \"1y\"", "")).notes;
    assert!(notes.iter().any(|note| note.contains("every port of this machine")), "{notes:?}");
    let (certificate, key, empty) = (folder.path().join("crt"), folder.path().join("key"), folder.path().join("empty"));
    std::fs::write(&empty, "").unwrap();
    assert!(settings("").clients.authorities.is_empty());
    assert_eq!(
        settings(&format!("client_ca = {certificate:?}")).clients.authorities,
        std::slice::from_ref(&certificate)
    );
    assert_eq!(settings(&format!("client_ca = [{certificate:?}, {certificate:?}]")).clients.authorities.len(), 2);
    wrong(&format!("client_ca = {key:?}"), "tls.client_ca");
    wrong(&format!("client_ca = {empty:?}"), "tls.client_ca");
    wrong("client_ca = \"/nowhere\"", "tls.client_ca");
    wrong("client_ca = []", "tls.client_ca");
    let asked = format!("client_ca = {certificate:?}\n");
    assert_eq!(settings(&asked).clients.demand, Demand::Required);
    assert_eq!(settings(&format!("{asked}client_certificate = \"optional\"")).clients.demand, Demand::Optional);
    wrong(&format!("{asked}client_certificate = \"off\""), "tls.client_certificate");
    let nobody = wrong("client_certificate = \"optional\"", "tls.client_certificate");
    assert!(nobody.wrong.contains("client_ca is missing"), "{nobody}");
    let made = rcgen::CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2021, 1, 1),
        next_update: rcgen::date_time_ymd(2090, 1, 1),
        crl_number: rcgen::SerialNumber::from_slice(&[1]),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    let mut signer = rcgen::CertificateParams::default();
    signer.distinguished_name.push(rcgen::DnType::CommonName, "somebody else");
    let signer = rcgen::Issuer::new(signer, rcgen::KeyPair::generate().unwrap());
    let list = folder.path().join("list");
    std::fs::write(&list, made.signed_by(&signer).unwrap().pem().unwrap()).unwrap();
    let looked_up = settings(&format!("{asked}client_crl = [{list:?}]"));
    assert_eq!(looked_up.clients.revocations, std::slice::from_ref(&list));
    let notes = good(&tls(folder.path(), &format!("{asked}client_crl = {list:?}"), "")).notes;
    assert!(notes.iter().any(|note| note.contains("no list of CN=rcgen self signed cert")), "{notes:?}");
    for bad in [&key, &certificate, &empty] {
        wrong(&format!("{asked}client_crl = {bad:?}"), "tls.client_crl");
    }
    wrong(&format!("{asked}client_crl = []"), "tls.client_crl");
    wrong(&format!("{asked}client_crl = \"/nowhere\""), "tls.client_crl");
    assert!(wrong(&format!("client_crl = {list:?}"), "tls.client_crl").wrong.contains("client_ca is missing"));
    let told = "[headers.custom]\nX-Device = \"client_certificate.subject\"\n";
    let device = good(&tls(folder.path(), &asked, told)).headers.custom;
    assert_eq!(device, [(HeaderName::from_static("x-device"), Source::Certificate(Part::Subject))]);
    let unasked = complaint(&tls(folder.path(), "", told), "headers.custom.X-Device");
    assert!(unasked.instead.contains("tls.client_ca"), "{unasked}");
    let typo = "[headers.custom]\nX-Device = \"client_certificate.subjet\"\n";
    let typo = complaint(&tls(folder.path(), &asked, typo), "headers.custom.X-Device");
    assert!(typo.instead.contains("client_certificate.subject"), "{typo}");
    let silent = problems_with(&tls(folder.path(), "", ""), &[("PORTCULLIS_TLS__CLIENT_CA", "")]);
    assert_eq!(silent.keys().collect::<Vec<_>>(), ["tls.client_ca"], "{silent}");
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

    #[test]
    fn no_text_makes_the_reader_crash(text in "[a-z_.\"'=\\[\\]{}0-9 \n#-]{0,80}") {
        let _ = read(&text, "gateway.toml", &[]);
    }
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

#[test]
fn headers_of_ones_own_have_sound_names_and_sources() {
    let custom = |line: &str| and(&format!("[headers.custom]\n{line}\n"));
    let config = good(&custom("X-Department = \"claims.custom_attributes.department\"\nX-Mail = \"email\""));
    let department = Source::Claim(vec!["custom_attributes".to_owned(), "department".to_owned()]);
    assert!(config.headers.custom.iter().any(|(name, source)| name == "x-department" && *source == department));
    for name in [
        "Host",
        "Connection",
        "Content-Length",
        "Transfer-Encoding",
        "Cookie",
        "Authorization",
        "Forwarded",
        "TE",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "Upgrade",
        "Proxy-Authorization",
        "Sec-Fetch-Mode",
        "Content_Length",
        "If-Match",
        "X-Portcullis-User",
        "X-Real-IP",
        "X-Original-URL",
        "X-Forwarded-User",
        "x_forwarded.user",
        "X-Salesforce-User-Id",
    ] {
        complaint(&custom(&format!("\"{name}\" = \"email\"")), &format!("headers.custom.{}", shown(name)));
    }
    complaint(&custom("\"X Name\" = \"email\""), "headers.custom.\"X Name\"");
    complaint(&custom("X-Name = \"emial\""), "headers.custom.X-Name");
    complaint(&custom("X-Name = \"claims.\""), "headers.custom.X-Name");
    complaint(&custom("X-Name = 5"), "headers.custom.X-Name");
    complaint(&custom("X-Name = \"email\"\nX_Name = \"name\""), "headers.custom.X_Name");
    complaint(&and("[headers]\npresets = [\"forward\"]\n"), "headers.presets[1]");
    complaint(
        &and("[headers]\npresets = [\"remote\"]\n[headers.custom]\nRemote-User = \"email\"\n"),
        "headers.custom.Remote-User",
    );
    good(&and("[headers]\npresets = []\n[headers.custom]\nX-Forwarded-User = \"email\"\n"));
}

fn shown(name: &str) -> String {
    if name.contains('.') { format!("{name:?}") } else { name.to_owned() }
}

#[test]
fn routes_have_one_reading() {
    let wrong = |lines: &str, key: &str| complaint(&route(lines), &format!("route[1].{key}"));
    complaint(&GOOD.replace("[[route]]\nupstream = \"http://127.0.0.1:3000\"", ""), "route");
    complaint(&GOOD.replace("[[route]]", "[route]"), "route");
    complaint(&GOOD.replace("upstream", "#"), "route[1].upstream");
    wrong("upstream = \"ftp://127.0.0.1:3000\"", "upstream");
    wrong("upstream = \"http://127.0.0.1:3000/wiki\"", "upstream");
    assert_eq!(wrong("upstream = \"127.0.0.1:3000\"", "upstream").instead, "write \"http://127.0.0.1:3000\"");
    assert_eq!(wrong("upstream = \"localhost:3000\"", "upstream").instead, "write \"http://localhost:3000\"");
    wrong("upstream = \"http://127.0.0.1:8080\"", "upstream");
    wrong("upstream = \"http://localhost:8080\"", "upstream");
    wrong("host = \"https://wiki.example.com\"", "host");
    wrong("host = \"wiki.example.com/wiki\"", "host");
    wrong("host = \"*.example.com\"", "host");
    wrong("host = \"wiki example\"", "host");
    for path in ["wiki", "/wiki/", "/a//b", "/a/../b", "/a%2fb", "/a*", "/a?b", "/a;b", "/ä", "/a\\\\b"] {
        wrong(&format!("path = \"{path}\""), "path");
    }
    wrong("path = \"/.portcullis\"", "path");
    wrong("path = \"/.portcullis/x\"", "path");
    wrong("public = \"yes\"", "public");
    good(&route("path = \"/.portcullisx\""));
}

#[test]
fn two_routes_never_claim_the_same_place_or_name() {
    let second = |lines: &str| and(&format!("[[route]]\nupstream = \"http://127.0.0.1:3001\"\n{lines}\n"));
    let problem = complaint(&second("path = \"/\""), "route[2].path");
    assert!(problem.wrong.contains("gateway.toml:7"), "{problem}");
    complaint(&second("host = \"LOCALHOST:8080\""), "route[2].path");
    complaint(&second("path = \"/x\"\nname = \"localhost:8080/\""), "route[2].name");
    assert_eq!(good(&second("path = \"/x\"")).routes.len(), 2);
}

#[test]
fn an_app_is_at_one_address_or_at_several() {
    let apps = |upstream: &str| good(&GOOD.replace("\"http://127.0.0.1:3000\"", upstream)).proxy.apps.remove(0);
    let one = apps("[\"http://10.0.0.1:80\"]");
    assert_eq!((one.addresses.len(), one.balance, one.health.is_none()), (1, Balance::LeastConnections, true));
    let more = "[\"http://10.0.0.1:80\", \"http://10.0.0.2:80\"]\nbalance = \"sticky\"\nslow_start = \"0s\"\n\
                first_byte_timeout = \"10m\"\nconnections = 7\n[route.ejection]\nfailures = 1\n\
                [route.health]\npath = \"/healthz\"\nstatus = \"204\"";
    let two = apps(more);
    let shown: Vec<_> = two.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["http://10.0.0.1:80", "http://10.0.0.2:80"]);
    assert_eq!((two.balance, two.slow_start), (Balance::Sticky, Duration::ZERO));
    assert_eq!((two.ejection.failures, two.ejection.pause), (1, Duration::from_secs(5)));
    assert_eq!((two.upstream.first_byte_timeout.value, two.upstream.connections.value), (Duration::from_secs(600), 7));
    assert_eq!(two.upstream.connect_timeout.value, Duration::from_secs(5), "the others are [upstream]'s");
    let health = two.health.unwrap();
    assert_eq!((health.path.as_str(), health.host.to_str().unwrap()), ("/healthz", "localhost:8080"));
    assert_eq!((health.status, health.verdicts), (204..=204, Verdicts { healthy: 2, unhealthy: 3 }));
    let routes = "[{ upstream = [\"http://10.0.0.1:80\", \"http://10.0.0.2:80\"] }]";
    assert_eq!(good_with(GOOD, &[("PORTCULLIS_ROUTE", routes)]).proxy.apps[0].addresses.len(), 2);
}

#[test]
fn what_several_addresses_cannot_be_is_said() {
    let wrong = |lines: &str, key: &str| {
        let two = "[\"http://10.0.0.1:80\", \"http://10.0.0.2:80\"]";
        complaint(&format!("{}{lines}\n", GOOD.replace("\"http://127.0.0.1:3000\"", two)), &format!("route[1].{key}"))
    };
    let list = |upstream: &str, key: &str| complaint(&GOOD.replace("\"http://127.0.0.1:3000\"", upstream), key);
    list("[]", "route[1].upstream");
    list("[\"http://10.0.0.1:80\", \"10.0.0.2:80\"]", "route[1].upstream[2]");
    let twice = list("[\"http://10.0.0.1:80\", \"http://10.0.0.1\"]", "route[1].upstream[2]");
    assert_eq!(twice.wrong, "http://10.0.0.1:80 is listed twice");
    let many: Vec<_> = (0..65).map(|last| format!("\"http://10.0.0.{last}:80\"")).collect();
    assert_eq!(list(&format!("[{}]", many.join(",")), "route[1].upstream").wrong, "has 65 addresses");
    assert!(wrong("balance = \"stiky\"", "balance").instead.contains("\"sticky\""));
    wrong("slow_start = \"2days\"", "slow_start");
    wrong("first_byte_timeout = \"0s\"", "first_byte_timeout");
    wrong("connections = 0", "connections");
    wrong("[route.ejection]\nfailures = 0", "ejection.failures");
    wrong("[route.ejection]\npause = \"2m\"\nlongest_pause = \"1m\"", "ejection.longest_pause");
    wrong("[route.ejection]\nlongest = \"1m\"", "ejection.longest");
    wrong("[route.health]\ninterval = \"1s\"", "health.path");
    for path in ["healthz", "http://10.0.0.1/healthz", "/a b", "/healthz#x"] {
        wrong(&format!("[route.health]\npath = \"{path}\""), "health.path");
    }
    for status in ["ok", "2xx", "100", "299-200", "200-", "200-600"] {
        wrong(&format!("[route.health]\npath = \"/x\"\nstatus = \"{status}\""), "health.status");
    }
    wrong("[route.health]\npath = \"/x\"\nhealthy = 0", "health.healthy");
}

#[test]
fn what_changes_nothing_with_one_address_is_noted() {
    let config = good(&and("balance = \"sticky\"\n[route.ejection]\nfailures = 1\n"));
    let note = "http://127.0.0.1:3000 is its route's only address: nothing comes of balance and ejection";
    assert!(config.notes.iter().any(|said| said == note), "{:?}", config.notes);
}

#[test]
fn a_house_without_a_lock_is_noted() {
    let config = good(&route("public = true"));
    assert!(config.notes.iter().any(|note| note.contains("every route is public")), "{:?}", config.notes);
}

/// `gateway.toml` with every commented key in force.
fn uncommented(reference: &str) -> String {
    let key = |line: &str| {
        line.strip_prefix('#')
            .filter(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '['))
            .map(str::to_owned)
    };
    reference.lines().map(|line| key(line).unwrap_or_else(|| line.to_owned()) + "\n").collect()
}

const REFERENCE: &str = include_str!("../../../gateway.toml");

/// `gateway.toml` with the provider that is commented twice in the place of the other.
fn reference_for_saml() -> String {
    let mut text = String::new();
    let mut left_out = false;
    for line in REFERENCE.lines() {
        left_out = (left_out || line == "[provider.salesforce]") && !line.starts_with("##[");
        if !left_out {
            text.push_str(line.strip_prefix("##").unwrap_or(line));
            text.push('\n');
        }
    }
    text
}

#[test]
fn the_reference_file_is_a_good_configuration() {
    good_with(REFERENCE, &[("SALESFORCE_CLIENT_SECRET", "abc")]);
}

#[test]
fn the_reference_file_has_every_key_and_every_default_of_the_code() {
    for reference in [REFERENCE.to_owned(), reference_for_saml()] {
        let text = uncommented(&reference);
        let (sources, root) = Sources::new(&text, "gateway.toml", &[]).map_err(Problems).unwrap();
        let reader = Reader::new(sources, root);
        sections(&reader);
        let problems = reader.problems();
        assert!(problems.0.iter().all(|problem| problem.wrong != "is not a known key"), "{problems}");
        let table: toml_edit::DocumentMut = text.parse().unwrap();
        for known in reader.known() {
            let mut item = table.as_item();
            for step in known.key.replace("NAME", "salesforce").replace("X-salesforce", "X-Name").split('.') {
                let list = item.as_array_of_tables().and_then(|tables| tables.get(0)).and_then(|first| first.get(step));
                item = list.or_else(|| item.get(step)).unwrap_or_else(|| panic!("gateway.toml lacks {}", known.key));
            }
            // The protocol is what makes the two differ.
            let protocol = known.key == "provider.NAME.protocol";
            if let Some(default) = known.default.filter(|_| !protocol) {
                assert_eq!(item.to_string().trim(), default, "gateway.toml shows another default of {}", known.key);
            }
        }
    }
}

#[test]
fn the_reference_file_explains_every_key() {
    let lines: Vec<&str> = REFERENCE.lines().collect();
    for pair in lines.windows(2) {
        let is_key = |line: &str| {
            let line = line.trim_start_matches('#');
            line.starts_with(|c: char| c.is_ascii_alphabetic()) && line.contains(" = ")
        };
        if is_key(pair[1]) {
            assert!(pair[0].starts_with("# "), "no word about {:?}", pair[1]);
        }
    }
}

#[test]
fn the_guide_names_no_unknown_key() {
    let guide = include_str!("../../../docs/configuration.md");
    let blocks: Vec<&str> = guide.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() > 5);
    for block in blocks {
        let block = if block.starts_with("client_secret") { block.lines().next().unwrap_or_default() } else { block };
        let text =
            if block.starts_with("client_secret") { format!("[provider.sf]\n{block}") } else { block.to_owned() };
        let problems = problems_with(&text, &[]);
        let unsound = |problem: &&Problem| problem.wrong.contains("known key") || problem.wrong.contains("TOML");
        assert_eq!(problems.0.iter().find(unsound), None, "{block}");
    }
}

/// A good configuration for two hosts, with these lines in `[tls.acme]` and these tables before it; the folder is this.
fn ordering(folder: &Path, lines: &str, tables: &str) -> String {
    let top = top("public_url = \"https://wiki.example.com\"");
    format!(
        "{top}[[route]]\nhost = \"ci.example.com\"\nupstream = \"http://127.0.0.1:1\"\n{tables}\
         [tls.acme]\nfolder = {folder:?}\n{lines}\n"
    )
}

const AGREED: &str = "accept_terms = true\n";

#[test]
fn certificates_are_ordered_for_every_host_that_has_none() {
    let (one, folder) = (files_for("ci.example.com"), tempfile::tempdir().unwrap());
    let read = |lines: &str, tables: &str| {
        let tls = good(&ordering(folder.path(), &format!("{AGREED}{lines}"), tables)).server.tls.unwrap();
        (tls.pairs.len(), tls.ordered.unwrap())
    };
    let (brought, ordered) = read("", "");
    assert_eq!((brought, ordered.names), (0, vec!["ci.example.com".to_owned(), "wiki.example.com".to_owned()]));
    assert_eq!(ordered.directory, "https://acme-v02.api.letsencrypt.org/directory");
    let files = pair(one.path());
    for tables in [format!("[[tls.more]]\n{files}"), format!("[tls]\n{files}")] {
        let (brought, ordered) = read("contact = [\"ops@example.com\"]", &tables);
        assert_eq!((brought, ordered.names), (1, vec!["wiki.example.com".to_owned()]));
        assert_eq!(ordered.contact, ["ops@example.com"]);
    }
    let (_, ordered) = read("domains = \"Wiki.Example.com\"\ndirectory = \"letsencrypt-staging\"", "");
    assert_eq!(ordered.names, ["wiki.example.com"]);
    assert!(ordered.directory.contains("staging"));
    let toml = ordering(folder.path(), &format!("{AGREED}directory = \"letsencrypt-staging\""), "");
    let notes = good(&toml).notes;
    assert!(!notes.iter().any(|note| note.contains("comes to port 443")), "{notes:?}");
    let notes = good(&format!("listen = \"127.0.0.1:8443\"\n{toml}")).notes;
    assert!(notes.iter().any(|note| note.contains("comes to port 443")), "{notes:?}");
    assert!(notes.iter().any(|note| note.contains("is a rehearsal")), "{notes:?}");
}

#[test]
fn nothing_is_ordered_before_somebody_accepts_the_terms() {
    let folder = tempfile::tempdir().unwrap();
    for lines in ["", "accept_terms = false"] {
        let problem = complaint(&ordering(folder.path(), lines, ""), "tls.acme.accept_terms");
        assert!(problem.instead.contains("accept_terms = true"), "{problem}");
    }
    complaint(&ordering(folder.path(), "accept_terms = \"yes\"", ""), "tls.acme.accept_terms");
}

#[test]
fn certificates_are_not_kept_where_everybody_may_write() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let problem = complaint(&ordering(folder.path(), AGREED, ""), "tls.acme.folder");
    assert!(problem.instead.contains("chmod o-w"), "{problem}");
    // As volumes of Kubernetes are.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o2770)).unwrap();
    good(&ordering(folder.path(), AGREED, ""));
}

#[test]
fn orders_that_could_not_be_met_are_refused_before_they_are_placed() {
    let (one, folder) = (files_for("wiki.example.com"), tempfile::tempdir().unwrap());
    let wrong = |lines: &str, key: &str| complaint(&ordering(folder.path(), &format!("{AGREED}{lines}"), ""), key);
    for odd in
        ["http://acme.example/dir", "letsencript", "https://", "https://a:b@acme.example/dir", "acme.example/directory"]
    {
        wrong(&format!("directory = {odd:?}"), "tls.acme.directory");
    }
    for odd in ["ops", "@example.com", "ops@", "a@b@c", "mailto:ops@example.com", "a@b,c@d"] {
        wrong(&format!("contact = [{odd:?}]"), "tls.acme.contact[1]");
    }
    let wildcard = wrong("domains = \"*.example.com\"", "tls.acme.domains");
    assert!(wildcard.wrong.contains("wildcard") && wildcard.wrong.contains("DNS"), "{wildcard}");
    for odd in ["192.0.2.7", "[2001:db8::1]", "a..b", "-a.example.com", "a_b.example.com", ""] {
        wrong(&format!("domains = {odd:?}"), "tls.acme.domains");
    }
    wrong("domains = []", "tls.acme.domains");
    let stranger = wrong("domains = [\"nobody.example.com\"]", "tls.acme.domains");
    assert!(stranger.wrong.contains("is not a host"), "{stranger}");
    wrong("ca = \"/nowhere\"", "tls.acme.ca");
    wrong(&format!("ca = {:?}", one.path().join("key")), "tls.acme.ca");
    wrong("zzz = 1", "tls.acme.zzz");
    wrong("challenge = \"dns-01\"", "tls.acme.challenge");
    let nowhere = wrong("challenge = \"http-01\"", "tls.acme.challenge");
    assert!(nowhere.instead.contains("[redirect]"), "{nowhere}");
    let plain = |listen: &str| {
        let tables = format!("[redirect]\nlisten = {listen:?}\n");
        let config = good(&ordering(folder.path(), &format!("{AGREED}challenge = \"http-01\"\n"), &tables));
        assert_eq!(config.server.tls.unwrap().ordered.unwrap().proof, Proof::Http);
        config.notes.iter().any(|note| note.contains("port 80 of each host"))
    };
    assert!(plain("127.0.0.1:8080") && !plain("0.0.0.0:80"));
    // What is brought is not ordered, and what is ordered not brought.
    let files = pair(one.path());
    let both = ordering(folder.path(), &format!("{AGREED}domains = \"wiki.example.com\""), &format!("[tls]\n{files}"));
    let problem = complaint(&both, "tls.acme.domains");
    assert!(problem.wrong.contains("already") && problem.instead.contains("remove"), "{problem}");
    let alone = top("public_url = \"https://wiki.example.com\"");
    let idle = format!("{alone}[tls]\n{files}[tls.acme]\n{AGREED}folder = {:?}\n", folder.path());
    assert!(complaint(&idle, "tls.acme.domains").instead.contains("remove [tls.acme]"));
    let half = ordering(folder.path(), AGREED, "[tls]\ncertificate = \"/nowhere\"\n");
    assert_eq!(problems_with(&half, &[]).keys().collect::<Vec<_>>(), ["tls.private_key", "tls.certificate"]);
}

#[test]
fn a_name_that_no_public_authority_reaches_is_refused_there_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    for host in ["localhost", "wiki", "192.0.2.7", "a.localhost"] {
        let toml = |more: &str| {
            let top = top(&format!("public_url = \"https://{host}\""));
            format!("{top}[tls.acme]\n{AGREED}folder = {:?}\n{more}", folder.path())
        };
        complaint(&toml(""), "tls.acme.domains");
        let own = toml("directory = \"https://acme.internal/directory\"\n");
        if host == "192.0.2.7" {
            complaint(&own, "tls.acme.domains");
        } else {
            good(&own);
        }
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = |folder: &Path| complaint(&ordering(folder, AGREED, ""), "tls.acme.folder");
    assert!(wrong(&folder.path().join("nowhere")).instead.contains("create it"));
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    wrong(&file);
    // Where nobody, not even root, can make a file.
    assert!(wrong(Path::new("/proc/self")).wrong.contains("nothing can be written"));
    let missing = ordering(folder.path(), AGREED, "").replace("folder =", "#");
    complaint(&missing, "tls.acme.folder");
    good(&ordering(folder.path(), AGREED, ""));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left of the trial");
}
