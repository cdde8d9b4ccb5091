//! Addresses: the public one, those that are listened on, and those that are believed.

use super::*;

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
