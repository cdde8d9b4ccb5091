//! What can be wrong with an app's address and with TLS to it, by the key that is complained about.

use std::path::Path;

use crate::config::Config;
use crate::config::file::read;
use crate::config::problem::{Problem, Problems};

fn config(route: &str) -> Result<Config, Problems> {
    let text = format!(
        "public_url = \"https://wiki.example.com\"\nlisten = \"127.0.0.1:8080\"\n[provider.sf]\n\
         org = \"https://acme.my.salesforce.com\"\nclient_id = \"x\"\n[[route]]\n{route}\n"
    );
    read(&text, "gateway.toml", &[])
}

#[track_caller]
fn good(route: &str) -> Config {
    config(route).unwrap_or_else(|problems| panic!("{route}: {problems}"))
}

#[track_caller]
fn complaint(route: &str, key: &str) -> Problem {
    let problems = config(route).expect_err(route);
    assert_eq!(problems.keys().collect::<Vec<_>>(), [format!("route[1].{key}")], "{problems}");
    problems.0[0].clone()
}

fn upstream(address: &str) -> String {
    format!("upstream = {address:?}")
}

#[test]
fn an_address_is_read_and_shown_as_it_is_written() {
    for address in [
        "http://127.0.0.1:3000",
        "http://[::1]:80",
        "https://wiki.internal:8443",
        "unix:/run/app.sock",
        "h2c://wiki:50051",
        "h2c+unix:/run/app.sock",
    ] {
        assert_eq!(good(&upstream(address)).proxy.apps[0].addresses[0].to_string(), address);
    }
    for (written, shown) in [
        ("http://wiki", "http://wiki:80"),
        ("https://WIKI/", "https://wiki:443"),
        ("h2c://[::1]", "h2c://[::1]:80"),
        ("http://[0:0::1]", "http://[::1]:80"),
    ] {
        assert_eq!(good(&upstream(written)).proxy.apps[0].addresses[0].to_string(), shown);
    }
}

#[test]
fn what_is_no_address_is_complained_about() {
    let long = format!("unix:/{}", "x".repeat(110));
    for address in [
        "127.0.0.1:3000",
        "ftp://127.0.0.1",
        "http://",
        "http://user:pass@127.0.0.1",
        "http://127.0.0.1:0",
        "https://127.0.0.1/wiki",
        "https://127.0.0.1?x=1",
        "http://127.0.0.1:8080",
        "https://localhost:8080",
        "unix:",
        "unix:app.sock",
        "unix:///run/app.sock",
        "unix:/run/",
        "h2c+unix:app.sock",
        "h2c://wiki/x",
        "h2://wiki",
        &long,
    ] {
        complaint(&upstream(address), "upstream");
    }
    assert!(complaint(&upstream("unix://run/app.sock"), "upstream").instead.contains("\"unix:/run/app.sock\""));
}

/// Files of a certificate and its key, and of another pair.
fn files(folder: &Path) -> [String; 4] {
    let mut paths = Vec::new();
    for name in ["one", "other"] {
        let made = rcgen::generate_simple_self_signed(["wiki.internal".to_owned()]).unwrap();
        for (kind, text) in [("crt", made.cert.pem()), ("key", made.signing_key.serialize_pem())] {
            let path = folder.join(format!("{name}.{kind}"));
            std::fs::write(&path, text).unwrap();
            paths.push(format!("{:?}", path.display().to_string()));
        }
    }
    paths.try_into().unwrap()
}

fn tls(lines: &str) -> String {
    format!("{}\n[route.tls]\n{lines}", upstream("https://wiki.internal"))
}

#[test]
fn tls_to_an_app_is_checked_before_anybody_comes() {
    let folder = tempfile::tempdir().unwrap();
    let [certificate, key, other, other_key] = files(folder.path());
    good(&tls(&format!("ca = {certificate}\nserver_name = \"10.0.0.1\"")));
    good(&tls(&format!("ca = [{certificate}, {certificate}]\ncertificate = {certificate}\nprivate_key = {key}")));
    for (lines, wrong) in [
        ("ca = \"/nowhere/ca.crt\"".to_owned(), "ca"),
        (format!("ca = {key}"), "ca"),
        ("server_name = \"not a name\"".to_owned(), "server_name"),
        (format!("ca = {certificate}\ncertificate = {certificate}"), "private_key"),
        (format!("ca = {certificate}\nprivate_key = {key}"), "certificate"),
        (format!("ca = {certificate}\ncertificate = {certificate}\nprivate_key = {other_key}"), "private_key"),
        (format!("ca = {certificate}\ncertificate = {key}\nprivate_key = {key}"), "certificate"),
        (format!("ca = {certificate}\ncertificate = {certificate}\nprivate_key = {other}"), "private_key"),
        (format!("ca = {certificate}\ndangerous_accept_any_certificate = true"), "ca"),
        ("http2 = 2".to_owned(), "http2"),
        ("dangerous_accept_any_certificate = \"yes\"".to_owned(), "dangerous_accept_any_certificate"),
        (format!("ca = {certificate}\nservername = \"x\""), "servername"),
    ] {
        complaint(&tls(&lines), &format!("tls.{wrong}"));
    }
    let plain = format!("{}\n[route.tls]\nca = {certificate}", upstream("http://wiki.internal"));
    complaint(&plain, "tls");
}

#[test]
fn believing_any_certificate_is_noted_as_dangerous() {
    let config = good(&tls("dangerous_accept_any_certificate = true"));
    let note = config.notes.iter().find(|note| note.contains("dangerous_accept_any_certificate"));
    assert!(note.is_some_and(|note| note.starts_with("DANGEROUS") && note.contains("https://wiki.internal:443")));
    assert!(good(&tls("")).notes.iter().all(|note| !note.contains("DANGEROUS")));
}
