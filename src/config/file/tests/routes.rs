//! `[[route]]`: which app gets which request, and with which headers.

use super::*;

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
fn an_app_may_read_destinations_in_its_own_words() {
    let scheme = |config: Config| config.proxy.apps[0].destination_scheme;
    assert_eq!(scheme(good(GOOD)), DestinationScheme::Public);
    let config = good(&and("destination_scheme = \"app\"\n"));
    let note = "localhost:8080/ is reached by the scheme that people see: nothing comes of destination_scheme";
    assert!(config.notes.iter().any(|said| said == note), "{:?}", config.notes);
    assert_eq!(scheme(config), DestinationScheme::App);
    let secure = and("destination_scheme = \"app\"\n").replace("http://localhost:8080", "https://wiki.example");
    assert!(!good(&secure).notes.iter().any(|note| note.contains("destination_scheme")));
    let problem = complaint(&and("destination_scheme = \"http\"\n"), "route[1].destination_scheme");
    assert!(problem.instead.contains("\"app\""), "{problem}");
}

#[test]
fn connections_end_after_bodies_unless_the_app_reads_them() {
    let after_body = |config: &Config| config.proxy.apps[0].after_body;
    assert_eq!(after_body(&good(GOOD)), AfterBody::Close);
    assert_eq!(after_body(&good(&and("after_body = \"keep\"\n"))), AfterBody::Keep);
    complaint(&and("after_body = true\n"), "route[1].after_body");
    let problem = complaint(&and("after_body = \"kept\"\n"), "route[1].after_body");
    assert!(problem.instead.contains("\"keep\""), "{problem}");
}

#[test]
fn a_house_without_a_lock_is_noted() {
    let config = good(&route("public = true"));
    assert!(config.notes.iter().any(|note| note.contains("every route is public")), "{:?}", config.notes);
}

#[test]
fn a_lock_within_an_open_house_is_noted() {
    let noted = |routes: &[&str]| {
        let routes: String = routes.iter().map(|lines| format!("[[route]]\n{lines}\n")).collect();
        let config = good(&format!("{}{routes}", GOOD.split("[[route]]").next().unwrap()));
        config.notes.into_iter().filter(|note| note.contains("is closed within")).collect::<Vec<_>>()
    };
    let app = "upstream = \"http://127.0.0.1:3000\"";
    let open = format!("{app}\npublic = true");
    let admin = format!("path = \"/admin\"\n{app}");
    let notes = noted(&[&open, &admin]);
    assert!(
        notes.len() == 1 && notes[0].contains("localhost:8080/admin is closed within localhost:8080/"),
        "{notes:?}"
    );
    // Only where it begins.
    let (users, other) = (format!("path = \"/admin/users\"\n{app}"), admin.replace("3000", "4000"));
    assert_eq!(noted(&[&users, &admin, &open]).len(), 1);
    for safe in [&[app, &open.replace("upstream", "path = \"/health\"\nupstream")][..], &[&open, &other]] {
        assert!(noted(safe).is_empty(), "{safe:?}");
    }
    let elsewhere = format!("host = \"other.localhost\"\n{admin}");
    assert!(noted(&[&open, &elsewhere]).is_empty());
}
