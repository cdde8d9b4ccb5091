//! Paths, hosts and methods: no spelling of a closed page is open, and no header opens one.

use hyper::Method;

use super::*;

/// A closed place within an open one within a closed one.
const NESTED: &str = "[[route]]\nname = \"open\"\npath = \"/pub\"\npublic = true\nupstream = \"http://{app}\"\n\
     [[route]]\nname = \"inner\"\npath = \"/pub/admin\"\nupstream = \"http://{app}\"\n\
     [[route]]\nname = \"closed\"\nupstream = \"http://{app}\"\n";

/// Asks for raw targets without signing in; none may reach the app.
async fn closed(targets: impl IntoIterator<Item = String>) {
    let world = World::with().routes(NESTED).start().await;
    // All on few connections, pipelined: a refusal of a target does not end a connection.
    for target in targets {
        let bytes = head(&world, &format!("GET {target} HTTP/1.1"), "Connection: close\r\n");
        let heard = say(&world, bytes).await;
        assert!(matches!(heard.statuses()[..], [400 | 401]), "{target}: {}", heard.text());
        assert_eq!(world.app.hits(), 0, "{target}: {:?}", world.app.everything());
    }
    still_standing(&world).await;
}

// T-PATH-2, CVE-2026-41059
#[tokio::test]
async fn a_fragment_or_a_parameter_does_not_open_a_page() {
    let targets = [
        "/admin#/pub",
        "/admin%23/pub",
        "/admin;/pub",
        "/admin?/pub",
        "/admin%3f/pub",
        "/admin%3F../pub",
        "/admin#/pub/../../pub",
        "/#/pub",
        "/?/pub",
    ];
    closed(targets.map(str::to_owned)).await;
}

// T-PATH-3, CVE-2025-54576
#[tokio::test]
async fn a_query_does_not_open_a_page() {
    let targets = ["/secret?x=/pub", "/secret?/pub/", "/secret?x=/pub/y", "/secret?path=/pub&/pub", "/?=/pub"];
    closed(targets.map(str::to_owned)).await;
}

/// Every way that somebody may write one character of a path.
fn spellings(character: char) -> Vec<String> {
    let code = u32::from(character);
    let once = [format!("%{code:02x}"), format!("%{code:02X}")];
    let mut all: Vec<String> = vec![character.to_string()];
    for plain in &once {
        all.extend([
            plain.clone(),
            plain.replace('%', "%25"),
            plain.replace('%', "%2525"),
            plain.replace('%', "%252525"),
        ]);
    }
    all.push(format!("%u{code:04x}"));
    all.push(format!("%25u{code:04x}"));
    // Longer than UTF-8 allows, in two and three bytes.
    all.push(format!("%{:02x}%{:02x}", 0xc0 | (code >> 6), 0x80 | (code & 0x3f)));
    all.push(format!("%e0%{:02x}%{:02x}", 0x80 | (code >> 6), 0x80 | (code & 0x3f)));
    all.push(format!("%f0%80%{:02x}%{:02x}", 0x80 | (code >> 6), 0x80 | (code & 0x3f)));
    // The full-width form.
    let wide = char::from_u32(code + 0xfee0).unwrap().to_string();
    let escaped: String = wide.bytes().map(|byte| format!("%{byte:02X}")).collect();
    all.extend([escaped.replace('%', "%25"), escaped]);
    all
}

// T-PATH-6, CVE-2026-33494, CVE-2019-9901, CVE-2021-29492
#[tokio::test]
async fn no_spelling_of_two_dots_leaves_the_open_place() {
    let mut targets = Vec::new();
    for dot in spellings('.') {
        for slash in ["/", "%2f", "%252f", "%5c", "\\", "%255c", "%c0%af", "%EF%BC%8F"] {
            targets.push(format!("/pub/{dot}{dot}{slash}secret"));
            targets.push(format!("/pub/x/.{dot}{slash}{dot}.{slash}secret"));
        }
        targets.push(format!("/pub/{dot}{dot};x=1/secret"));
        targets.push(format!("/pub/{dot}{dot}%00/secret"));
        targets.push(format!("/pub/{dot}{dot}%3b/secret"));
        targets.push(format!("/pub/{dot}{dot}%20/secret"));
        targets.push(format!("/pub/;/{dot}{dot}/secret"));
        targets.push(format!("/pub/{dot}/admin"));
        targets.push(format!("/pub/{dot}{dot}"));
        targets.push(format!("/pub/{dot}{dot}?"));
        targets.push(format!("//pub/{dot}{dot}/secret"));
    }
    targets.extend(["/pub/%u002e%u002e/secret", "/pub/%2e%2e%u2215secret"].map(str::to_owned));
    closed(targets).await;
}

#[tokio::test]
async fn no_spelling_of_a_closed_prefix_is_open() {
    let mut targets = Vec::new();
    for slash in [
        "//",
        "///",
        "/;/",
        "/;x/",
        "%2f",
        "%2F",
        "%252f",
        "%25252f",
        "%EF%BC%8F",
        "%E2%88%95",
        "%5c",
        "%5C%5c",
        "/%5c",
        "/%20/",
        "/%2f",
        "%2f/",
        ";/",
        "%3b/",
        "%253b/",
    ] {
        targets.push(format!("/pub{slash}admin"));
        targets.push(format!("/pub{slash}admin/x"));
    }
    for name in [
        "Admin",
        "ADMIN",
        "aDmIn",
        "%61dmin",
        "%2561dmin",
        "%252561dmin",
        "admin;x",
        "admin;",
        "admin%3bx",
        "admin%253b",
        "admin%20",
        "admin.",
        "admin..",
        "admin%2e",
        "admin%2520",
        "adm%69n",
        "ADM%C4%B1N",
        "adm\u{131}n",
        "%EF%BC%9Badmin",
        "admin%EF%BC%9Bx",
        "admin%2f",
        "admin%2fx",
        "admin%5cx",
        "admin%00",
        "admin%0a",
        "admin%09",
        "admin%0d%0aX-Salesforce-User-Id:%20evil-identity",
        "admin%23x",
        "admin%3fx",
    ] {
        targets.push(format!("/pub/{name}/x"));
    }
    // Not the same page for any app: `%23` and `%3f` within a segment are part of its name.
    targets.retain(|target| {
        !target.contains("%23x")
            && !target.contains("%3fx")
            && target.is_ascii()
            && !target.contains("%C4%B1")
            && !target.contains("/%EF%BC%9Badmin")
    });
    closed(targets).await;
}

// T-PATH-1, CVE-2026-40575, CVE-2026-33495
#[tokio::test]
async fn no_header_moves_a_request_to_an_open_place() {
    for trusted in [false, true] {
        let world = World::with().routes(TWO_ROUTES);
        let world = if trusted { world.top("trusted_proxies = [\"127.0.0.0/8\"]") } else { world }.start().await;
        for name in [
            "X-Forwarded-Uri",
            "X-Forwarded-Path",
            "X-Forwarded-Prefix",
            "X-Original-URL",
            "X-Original-URI",
            "X-Rewrite-URL",
            "X-Envoy-Original-Path",
            "X-Auth-Request-Redirect",
            "X-Forwarded-Host",
            "X-Original-Host",
            "X-Host",
            "Forwarded",
            "X-Script-Name",
            "Destination",
            "X-Accel-Redirect",
            "X-Sendfile",
        ] {
            for value in ["/pub", "/pub/", "/pub/x?y", "host=/pub;proto=https"] {
                let heard = say(
                    &world,
                    head(&world, "GET /secret HTTP/1.1", &format!("{name}: {value}\r\nConnection: close\r\n")),
                )
                .await;
                assert_eq!(heard.statuses(), [401], "{name}: {value}");
            }
        }
        assert_eq!(world.app.hits(), 0);
    }
}

// T-HEALTH-1, CVE-2026-34457; T-PATH-5, CVE-2019-3878
#[tokio::test]
async fn no_header_turns_the_gate_off() {
    let world = half_open().await;
    let mut requests: Vec<String> = [
        "kube-probe/1.30",
        "GoogleHC/1.0",
        "ELB-HealthChecker/2.0",
        "Amazon-Route53-Health-Check-Service",
        "oauth2-proxy",
        "portcullis",
    ]
    .iter()
    .map(|agent| format!("User-Agent: {agent}\r\n"))
    .collect();
    requests.extend(
        [
            "Accept: application/vnd.paos+xml\r\nPAOS: ver=\"urn:liberty:paos:2003-08\";\"urn:oasis:names:tc:SAML:2.0:profiles:SSO:ecp\"\r\n",
            "X-Auth: internal\r\nX-Internal: true\r\nX-Debug: 1\r\n",
            "X-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\nX-Client-IP: 127.0.0.1\r\n",
            "X-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\n",
            "Origin: http://localhost\r\nAccess-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: x\r\n",
            "Purpose: prefetch\r\nSec-Purpose: prefetch\r\nX-Moz: prefetch\r\n",
            "Range: bytes=0-1\r\nIf-None-Match: *\r\nIf-Modified-Since: Sat, 01 Jan 2000 00:00:00 GMT\r\nCache-Control: only-if-cached\r\n",
            "Max-Forwards: 0\r\n",
            "X-SSL-Client-Verify: SUCCESS\r\nX-Client-Cert: x\r\n",
        ]
        .map(str::to_owned),
    );
    for lines in requests {
        for method in ["GET", "HEAD", "OPTIONS", "POST"] {
            let heard = say(
                &world,
                head(&world, &format!("{method} /secret HTTP/1.1"), &format!("{lines}Connection: close\r\n")),
            )
            .await;
            assert_eq!(heard.statuses(), [401], "{method} {lines}");
        }
    }
    assert_eq!(world.app.hits(), 0);
}

// T-PATH-8, CVE-2020-14359
#[tokio::test]
async fn no_method_turns_the_gate_off() {
    let world = half_open().await;
    for method in [
        "get", "GeT", "head", "FOO", "PROPFIND", "PATCH", "PURGE", "TRACE", "TRACK", "DEBUG", "BAN", "LINK",
        "M-SEARCH", "!", "PRI", "GET_",
    ] {
        for more in ["", "X-HTTP-Method-Override: GET\r\n", "X-HTTP-Method: HEAD\r\nX-Method-Override: OPTIONS\r\n"] {
            let heard = say(
                &world,
                head(&world, &format!("{method} /secret HTTP/1.1"), &format!("{more}Connection: close\r\n")),
            )
            .await;
            assert!(heard.statuses().iter().all(|status| (400..=501).contains(status)), "{method}: {}", heard.text());
        }
    }
    assert_eq!(world.app.hits(), 0);
    still_standing(&world).await;
}

// T-PATH-4, CVE-2023-33189: over many odd targets, what the app receives is judged again and comes out the same.
#[tokio::test]
async fn what_is_forwarded_is_what_was_judged() {
    use portcullis::http::target::Target;
    let world = half_open().await;
    let parts = [
        "a", "%61", ".x", "x.", "..x", "%20", ";p=1", "%2F", "~", "%C3%A9", "%e9", "@", ":", "+", "%25", "''", "(", "",
    ];
    for first in parts {
        for second in parts {
            let target = format!("/pub/{first}/{second}?q={first}%2f..");
            let before = world.app.hits();
            let heard = say(&world, head(&world, &format!("GET {target} HTTP/1.1"), "Connection: close\r\n")).await;
            if world.app.hits() == before {
                assert_eq!(heard.statuses(), [400], "{target}: {}", heard.text());
                continue;
            }
            let seen = world.app.last().target;
            let judged = Target::parse(&Method::GET, &target.parse().unwrap()).unwrap();
            assert_eq!(seen, judged.path_and_query().as_str());
            let again = Target::parse(&Method::GET, &seen.parse().unwrap()).unwrap();
            assert_eq!(again, judged, "{target}");
        }
    }
    check_seen(&world.app.everything());
}

// T-PATH-7, CVE-2026-48794, CVE-2026-27588
#[tokio::test]
async fn a_host_has_one_spelling_for_the_app() {
    let world = half_open().await;
    let port = world.gateway.address.port();
    for spelled in [format!("LOCALHOST:{port}"), format!("localhost.:{port}"), format!("LocalHost.:{port}")] {
        let heard = say(&world, format!("GET /pub/x HTTP/1.1\r\nHost: {spelled}\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(heard.statuses(), [200], "{spelled}");
        let seen = world.app.last();
        assert_eq!(seen.one("host").unwrap(), host(&world));
        assert_eq!(seen.one("x-forwarded-host").unwrap(), host(&world));
    }
    let hits = world.app.hits();
    for spelled in [
        format!("localhost..:{port}"),
        format!("localhost:0{port}"),
        format!("127.0.0.1:{port}"),
        format!("[::1]:{port}"),
        format!("xlocalhost:{port}"),
        format!("localhost:{port}:80"),
        format!("localhost:{port}."),
        "localhost".to_owned(),
        "localhost:".to_owned(),
        "localhost:80".to_owned(),
        "xn--localhost".to_owned(),
        "0x7f000001".to_owned(),
    ] {
        let heard = say(&world, format!("GET /pub/x HTTP/1.1\r\nHost: {spelled}\r\nConnection: close\r\n\r\n")).await;
        assert!(matches!(heard.statuses()[..], [400 | 421]), "{spelled}: {}", heard.text());
    }
    assert_eq!(world.app.hits(), hits);
}

// T-PATH-7 with many hosts: the answer does not depend on how long the list is.
#[tokio::test]
async fn a_long_list_of_hosts_is_as_strict_as_a_short_one() {
    let mut routes = TWO_ROUTES.to_owned();
    for number in 0..200 {
        routes.push_str(&format!("[[route]]\nhost = \"h{number}.localhost\"\nupstream = \"http://{{app}}\"\n"));
    }
    let world = World::with().routes(&routes).start().await;
    let port = world.gateway.address.port();
    for (spelled, status) in [
        ("H199.localhost", 401),
        ("h0.LOCALHOST.", 401),
        ("h200.localhost", 421),
        ("h1.localhost.evil", 421),
        ("h199.localhost.localhost", 421),
    ] {
        let heard = say(&world, format!("GET /pub HTTP/1.1\r\nHost: {spelled}:{port}\r\n\r\n")).await;
        assert_eq!(heard.statuses(), [status], "{spelled}: {}", heard.text());
    }
    assert_eq!(world.app.hits(), 0);
}

#[tokio::test]
async fn the_most_expensive_path_costs_little() {
    let world = half_open().await;
    let began = std::time::Instant::now();
    for path in [
        "%25".repeat(20_000),
        "%2525".repeat(12_000),
        "/".repeat(60_000),
        "/;".repeat(30_000),
        "%".repeat(60_000),
        "/.".repeat(30_000),
        format!("%{}", "25".repeat(30_000)),
    ] {
        let heard = say(&world, head(&world, &format!("GET /pub/{path} HTTP/1.1"), "Connection: close\r\n")).await;
        assert!(matches!(heard.statuses()[..], [200 | 400 | 414 | 431]), "{}", heard.text());
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    still_standing(&world).await;
}

// T-ADMIN-1, CVE-2022-24797
#[tokio::test]
async fn the_operators_pages_are_not_at_the_front_door() {
    let world = half_open().await;
    let operator = world.gateway.operator_address.unwrap();
    assert!(operator.ip().is_loopback());
    for path in [
        "/metrics",
        "/livez",
        "/readyz",
        "/healthz",
        "/ping",
        "/debug/pprof/",
        "/.portcullis/metrics",
        "/.portcullis/livez",
        "/.portcullis",
        "/.portcullis/",
        "/.portcullis/callback/",
        "/.portcullis/me/x",
        "/.portcullis/START",
    ] {
        let front = say(&world, head(&world, &format!("GET {path} HTTP/1.1"), "Connection: close\r\n")).await;
        assert!(matches!(front.statuses()[..], [401 | 404]), "{path}: {}", front.text());
        let documented = ["/metrics", "/livez", "/readyz"].contains(&path);
        let mut browser = Browser::new();
        let reply = browser.fetch(Method::GET, format!("http://{operator}{path}"), &[], "").await;
        assert_eq!(reply.status != 404, documented, "{path}");
    }
    assert_eq!(world.app.hits(), 0);
}
