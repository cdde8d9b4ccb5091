//! Open redirects: several hundred spellings of another host against everything that redirects.

use super::*;

/// Texts that some browser, proxy or library has read as another host. Our own generator: hosts, the ways to begin,
/// the ways to hide a beginning, and the ways to encode all of it.
fn foreign_spellings() -> Vec<String> {
    let hosts = [
        "evil.example",
        "evil.example:443",
        "localhost@evil.example",
        "evil.example%2f..",
        "2130706433",
        "%65vil.example",
        "[::ffff:6.6.6.6]",
        "evil\u{3002}example",
    ];
    let beginnings = [
        "//",
        "///",
        "////",
        "/\\",
        "\\/",
        "\\\\",
        "/\\/",
        "\\",
        "http://",
        "https://",
        "http:",
        "https:",
        "https:/",
        "https:///",
        "http:\\\\",
        "HtTp://",
        "ftp://",
        "javascript://",
        "javascript:alert(1)//",
        "data:text/html,",
        "vbscript:",
        "//localhost@",
        "https://localhost@",
        "/%2f",
        "/%5c",
        "%2f%2f",
        "%5c%5c",
        "/%09/",
        "/%0a/",
        "/%0d%0a/",
        "/\t/",
        "/\n/",
        "/\r/",
        "\t//",
        "\n//",
        " //",
        "\0//",
        "/\0/",
        "/ /",
        "/%00/",
        "/\u{a0}/",
        "/\u{2028}/",
        "/\u{feff}/",
        "\u{feff}//",
        "/\u{ff0f}",
        "\u{ff0f}\u{ff0f}",
        "/\u{2215}",
        "/.\\",
        "/;//",
        "//;",
        "//%09",
        "///\\;@",
        "/x:@",
        "///www.localhost@",
        "?//",
        "#//",
        "@",
        ".",
        "",
    ];
    let mut all = Vec::new();
    for beginning in beginnings {
        for host in hosts {
            all.push(format!("{beginning}{host}"));
            all.push(format!("{beginning}{host}/%2e%2e"));
        }
    }
    all.extend(
        [
            "/a\r\nSet-Cookie: evil=1",
            "/a\r\n\r\n<script>",
            "/a%0d%0aLocation:%20//evil.example",
            "/\u{85}",
            "//\\",
            "//",
            "/\\",
            "\\",
            "",
        ]
        .map(str::to_owned),
    );
    all
}

/// Where a browser at `base` ends up after `Location: location`, by the URL standard.
fn lands_at(base: &str, location: &str) -> String {
    url::Url::parse(base).unwrap().join(location).unwrap().origin().ascii_serialization()
}

// T-REDIR-2, T-REDIR-5: GHSA-5m6c-jp6f-2vcv, GHSA-qqxw-m5fj-f7gv, CVE-2019-20479, CVE-2021-32786, CVE-2022-23527,
// CVE-2019-3877
#[tokio::test]
async fn a_sign_in_never_begins_on_another_host() {
    let world = World::new().await;
    let payloads = foreign_spellings();
    assert!(payloads.len() > 500, "{}", payloads.len());
    let mut browser = world.browser();
    for payload in payloads {
        let encoded: String = url::form_urlencoded::byte_serialize(payload.as_bytes()).collect();
        let start = browser.get(world.at(&format!("/.portcullis/start?return_to={encoded}"))).await.location();
        assert!(start.as_str().starts_with(world.org.org_url()), "{payload:?}: {start}");
        let back = start.query_pairs().find(|pair| pair.0 == "redirect_uri").unwrap().1;
        assert_eq!(back, world.at("/.portcullis/callback"));
    }
}

#[tokio::test]
async fn where_a_sign_in_ends_is_a_page_of_this_host() {
    let world = World::new().await;
    let mut browser = world.signed_in().await;
    // A sample of each kind, through the whole sign-in; `LocalPath` decides alike for all.
    for payload in foreign_spellings().into_iter().step_by(16) {
        browser.forget_cookie("localhost", "portcullis-bounce");
        let encoded: String = url::form_urlencoded::byte_serialize(payload.as_bytes()).collect();
        let callback = browser
            .sign_in_until_callback(
                &world.at(&format!("/.portcullis/start?return_to={encoded}")),
                people::STANDARD.username,
            )
            .await;
        let reply = browser.get(callback.as_str()).await;
        assert_eq!(reply.status, 303, "{payload:?}: {}", reply.body);
        let location = reply.header("location").unwrap();
        assert_eq!(lands_at(callback.as_str(), location), world.url, "{payload:?}: {location}");
        assert!(location.starts_with('/') && !location.starts_with("//"), "{location}");
        assert!(!reply.cookies().iter().any(|line| line.contains("evil")));
    }
}

#[test]
fn no_spelling_of_another_host_is_a_local_path() {
    use portcullis::http::path::LocalPath;
    for payload in foreign_spellings() {
        let Some(path) = LocalPath::parse(&payload) else { continue };
        assert_eq!(lands_at("https://wiki.example/a/b", path.as_str()), "https://wiki.example", "{payload:?}");
        // As old browsers and libraries read it: without white space and controls, and with `\` as `/`.
        let lenient: String =
            path.as_str().chars().filter(|character| !character.is_whitespace() && !character.is_control()).collect();
        assert!(!lenient.replace('\\', "/").starts_with("//"), "{payload:?}");
        assert_eq!(lenient, path.as_str());
    }
}

#[tokio::test]
async fn a_deep_link_of_slashes_does_not_come_back_as_a_host() {
    let world = World::new().await;
    let browser = world.signed_in().await;
    for target in [
        "//evil.example/x",
        "///evil.example",
        "/%2fevil.example",
        "/%09/evil.example",
        "//evil.example%2f..",
        "/;/evil.example",
        "/.portcullis//evil.example",
        "/@evil.example",
        "/http://evil.example",
    ] {
        let mut stranger = browser.clone();
        stranger.forget_cookie("localhost", "portcullis");
        let heard = say(&world, head(&world, &format!("GET {target} HTTP/1.1"), "Accept: text/html\r\n")).await;
        let text = heard.text();
        assert!(!text.contains("href=\"//") && !text.contains("href=\"http://evil"), "{target}: {text}");
        for line in text.lines().filter(|line| line.to_ascii_lowercase().starts_with("location:")) {
            let location = line.split_once(": ").unwrap().1;
            assert!(location.starts_with(world.org.org_url()), "{target}: {line}");
        }
        if heard.statuses() == [303] {
            stranger.forget_cookie("localhost", "portcullis-bounce");
            let callback = stranger.sign_in_until_callback(&world.at(target), people::STANDARD.username).await;
            let reply = stranger.get(callback.as_str()).await;
            let location = reply.header("location").unwrap_or_default();
            assert_eq!(lands_at(callback.as_str(), location), world.url, "{target}: {location}");
        }
    }
}

// T-REDIR-3, T-PARAM-2: nothing in a request chooses where the provider sends the code.
#[tokio::test]
async fn the_callbacks_address_is_configured_and_never_asked_for() {
    let world = World::new().await;
    let lies = "Accept: text/html\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: https\r\nForwarded: host=evil.example\r\nX-Original-Host: evil.example\r\nOrigin: https://evil.example\r\nReferer: https://evil.example/\r\n";
    for target in [
        "/",
        "/.portcullis/start?redirect_uri=https://evil.example&client_id=evil&scope=full&response_type=token&state=evil&nonce=evil&code_challenge=evil",
        "/.portcullis/start?return_to=/a&return_to=//evil.example",
        "/.portcullis/start?rd=//evil.example&next=//evil.example&url=//evil.example&callback=//evil.example",
    ] {
        let heard = say(&world, head(&world, &format!("GET {target} HTTP/1.1"), lies)).await;
        assert_eq!(heard.statuses(), [303], "{}", heard.text());
        assert!(!heard.text().contains("evil"), "{target}: {}", heard.text());
        assert!(heard.text().contains("scope=openid+profile+email"), "{}", heard.text());
    }
}

// T-REDIR-5, CVE-2022-23527, CVE-2020-1723
#[tokio::test]
async fn signing_out_leads_nowhere_else() {
    let world = World::new().await;
    for payload in ["//evil.example", "https://evil.example", "/\\evil.example"] {
        for parameter in ["return_to", "redirect", "rd", "post_logout_redirect_uri", "logout", "next"] {
            let mut browser = world.browser();
            let reply = browser.get(world.at(&format!("/.portcullis/sign-out?{parameter}={payload}"))).await;
            assert_eq!(reply.header("location"), Some("/.portcullis/signed-out"));
            let url = url::Url::parse(&world.at(&format!("/.portcullis/sign-out?{parameter}={payload}"))).unwrap();
            let reply = browser.post(&url, &[(parameter, payload)]).await;
            assert_eq!(reply.header("location"), Some("/.portcullis/signed-out"));
            let page = browser.get(world.at(&format!("/.portcullis/signed-out?{parameter}={payload}"))).await;
            assert!(!page.body.contains("evil"), "{}", page.body);
        }
    }
}
