//! What our own pages show: nothing of an attacker's that could act, and nothing of a token.

use http_body_util::BodyExt;
use portcullis::clock::Timestamp;
use portcullis::pages::{Choice, Form, Links, Me, Pages, SignOut, Visit, WayIn};
use portcullis::refusal::Refusal;

use super::*;
use crate::browser::TOKENS;

const PAYLOADS: [&str; 12] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "</title><svg onload=alert(1)>",
    "javascript:alert(1)",
    "{{7*7}}{% include 'x' %}",
    "--><script>",
    "</style><script>",
    "&#60;script&#62;",
    "\u{2028}alert(1)",
    "+ADw-script+AD4-",
    "`${alert(1)}`",
];

/// No text of a page begins a tag, ends an attribute or names a script.
fn check_page(body: &str) {
    let lower = body.to_ascii_lowercase();
    for bad in ["<script", "<img", "<svg on", "onerror=", "onmouseover='", "onload=", "href=\"javascript", "</title><"]
    {
        let escaped = lower.matches(bad).count();
        let inert = ["onerror=", "onload="].contains(&bad) && !lower.contains("<img") && !lower.contains("<svg on");
        assert!(escaped == 0 || inert, "{bad}: {body}");
    }
}

// T-XSS-1; CVE-2021-32792, CVE-2026-33525, CVE-2019-1010247
#[tokio::test]
async fn nothing_reflected_can_act() {
    let world = half_open().await;
    for payload in PAYLOADS {
        let encoded: String = url::form_urlencoded::byte_serialize(payload.as_bytes()).collect();
        for target in [
            format!("/.portcullis/callback?error={encoded}&error_description={encoded}&state={encoded}"),
            format!("/.portcullis/callback?code={encoded}&state={encoded}&iss={encoded}"),
            format!("/.portcullis/{encoded}"),
            format!("/.portcullis/start?return_to=/{encoded}"),
            format!("/.portcullis/signed-out?{encoded}={encoded}"),
            format!("/.portcullis/me?{encoded}"),
            format!("/closed/{encoded}?x={encoded}"),
            format!("/pub/../{encoded}"),
        ] {
            for method in ["GET", "POST"] {
                let lines = format!(
                    "Accept: text/html\r\nSec-Fetch-Mode: cors\r\nReferer: {encoded}\r\nUser-Agent: {encoded}\r\nX-Request-Id: {encoded}\r\nCookie: portcullis={encoded}\r\nConnection: close\r\n"
                );
                let heard = say(&world, head(&world, &format!("{method} {target} HTTP/1.1"), &lines)).await;
                let text = heard.text();
                assert!(heard.statuses().len() == 1 && heard.statuses()[0] < 500, "{target}: {text}");
                check_page(&text);
                if text.contains("text/html") {
                    let lower = text.to_ascii_lowercase();
                    for header in [
                        "content-security-policy: default-src 'none'",
                        "x-content-type-options: nosniff",
                        "x-frame-options: deny",
                        "cache-control: no-store",
                        "referrer-policy: no-referrer",
                    ] {
                        assert!(lower.contains(header), "{target}: {header} is missing: {text}");
                    }
                    assert!(!lower.contains("unsafe-inline"), "{text}");
                }
            }
        }
        let heard = say(&world, format!("GET / HTTP/1.1\r\nHost: {payload}\r\nAccept: text/html\r\n\r\n")).await;
        check_page(&heard.text());
    }
    assert_eq!(world.app.hits(), 0);
}

#[tokio::test]
async fn a_hostile_person_is_shown_as_text() {
    let pages = Pages::new().unwrap();
    let visit = Visit { request_id: "r", host: "wiki.example", now: Timestamp(1_790_000_000) };
    for payload in PAYLOADS {
        let text = || payload.to_owned();
        let me = Me {
            name: Some(text()),
            username: text(),
            email: Some(text()),
            user_id: text(),
            organization_id: text(),
            user_type: Some(text()),
            provider: text(),
            signed_in_by: text(),
            since: visit.now,
            idle_until: visit.now,
            until: visit.now,
            headers: vec![(text(), text())],
            sign_out: text(),
            home: text(),
        };
        let sign_out = SignOut { who: text(), action: "/.portcullis/sign-out".to_owned(), home: text(), onward: None };
        let links = Links { sign_in: text(), another: text(), again: text(), others: Some(text()), home: text() };
        let way = |link: &str| WayIn { provider: text(), title: text(), place: Some(text()), link: link.to_owned() };
        let choice = Choice { ways: vec![way(payload), way("https://wiki.example/.portcullis/start?provider=a")] };
        for response in [
            pages.choice(&choice, Form::Page, &visit),
            pages.me(&me, Form::Page, &visit),
            pages.sign_out(&sign_out, &visit),
            pages.signed_out(&visit, &links),
            pages.refusal(&Refusal::SignInRequired, Form::Page, &visit, &links),
            pages.refusal(&Refusal::UnknownPage, Form::Page, &visit, &links),
        ] {
            let body = response.into_body().collect().await.unwrap().to_bytes();
            check_page(std::str::from_utf8(&body).unwrap());
        }
        for response in [
            pages.choice(&choice, Form::Json, &visit),
            pages.me(&me, Form::Json, &visit),
            pages.refusal(&Refusal::SignInRequired, Form::Json, &visit, &links),
        ] {
            assert_eq!(response.headers()["content-type"], "application/json");
            assert_eq!(response.headers()["x-content-type-options"], "nosniff");
            let body = response.into_body().collect().await.unwrap().to_bytes();
            serde_json::from_slice::<serde_json::Value>(&body).unwrap();
        }
    }
}

fn tells_token(text: &str) -> bool {
    TOKENS.into_iter().any(|token| text.contains(token))
}

// T-LEAK-1, CVE-2024-39315
#[tokio::test]
async fn no_page_of_ours_holds_a_token() {
    let world = World::new().await;
    let mut browser = world.browser();
    let callback = browser.sign_in_until_callback(&world.at("/"), people::STANDARD.username).await;
    let code = callback.query_pairs().find(|pair| pair.0 == "code").unwrap().1.into_owned();
    let first = browser.get(callback.as_str()).await;
    assert_eq!(browser.get(world.at("/")).await.status, 200);
    let id = browser.cookie("localhost", "portcullis").unwrap();
    let mut replies = vec![first];
    for path in ["me", "sign-out", "signed-out", "callback", "nothing", "start"] {
        for accept in ["text/html", "application/json"] {
            replies.push(
                browser
                    .fetch(hyper::Method::GET, world.at(&format!("/.portcullis/{path}")), &[("accept", accept)], "")
                    .await,
            );
        }
    }
    for reply in replies {
        let own: Vec<String> = reply.cookies();
        let rest = format!("{:?} {}", reply.header("location"), reply.body);
        for secret in [&*id, &*code, "access_token", "id_token"].into_iter().chain(TOKENS) {
            assert!(!rest.contains(secret), "{} tells {secret}: {rest}", reply.url);
        }
        assert!(own.iter().all(|line| !line.contains(&code) && !tells_token(line)), "{own:?}");
    }
    for value in world.app.last().headers.values() {
        let value = value.to_str().unwrap();
        assert!(!value.contains(&id) && !tells_token(value), "{value}");
    }
    let metrics = world.metrics().await;
    assert!(!metrics.contains(&id) && !metrics.contains(&code) && !metrics.contains(people::STANDARD.username));
}

// T-LEAK-2, CVE-2025-31492, CVE-2022-29228
#[tokio::test]
async fn no_answer_to_a_stranger_holds_a_byte_of_the_app() {
    let world = World::new().await;
    for (method, accept) in
        [("GET", "text/html"), ("GET", "*/*"), ("POST", "text/html"), ("HEAD", "*/*"), ("OPTIONS", "*/*")]
    {
        let heard = say(
            &world,
            head(
                &world,
                &format!("{method} /secret HTTP/1.1"),
                &format!("Accept: {accept}\r\nExpect: 100-continue\r\nContent-Length: 0\r\n"),
            ),
        )
        .await;
        assert_eq!(heard.statuses().len(), 1, "{}", heard.text());
        assert!(!heard.text().contains("The app"));
    }
    assert_eq!(world.app.hits(), 0);
}

// T-DOS-2, CVE-2025-3891, CVE-2021-20718; T-DOS-8, CVE-2016-2145
#[tokio::test]
async fn odd_bodies_are_answered_at_every_page_of_ours() {
    let world = half_open().await;
    let cookie = session_of(&world).await;
    let own = format!("Origin: {}\r\nCookie: {cookie}\r\n", world.url);
    let bodies: [&[u8]; 6] = [b"", b"\0", b"=&=&&&=", b"\xff\xfe", b"{\"a\":", b"%"];
    for path in ["start", "callback", "sign-out", "signed-out", "me", "", "x"] {
        for method in ["GET", "POST", "PUT", "HEAD"] {
            if method == "POST" && path == "sign-out" {
                continue;
            }
            for body in bodies {
                for kind in [
                    "",
                    "Content-Type: \r\n",
                    "Content-Type: application/x-www-form-urlencoded; charset=x\r\n",
                    "Content-Type: multipart/form-data\r\n",
                ] {
                    let mut bytes = head(
                        &world,
                        &format!("{method} /.portcullis/{path} HTTP/1.1"),
                        &format!("{own}{kind}Connection: close\r\nContent-Length: {}\r\n", body.len()),
                    )
                    .into_bytes();
                    bytes.extend_from_slice(body);
                    let heard = say(&world, bytes).await;
                    assert!(
                        matches!(heard.statuses()[..], [200 | 303 | 400..=499]),
                        "{method} {path}: {}",
                        heard.text()
                    );
                }
            }
        }
    }
    // A body without end is not read to its end.
    let endless = format!(
        "{}FFFFFF\r\n{}",
        head(&world, "POST /.portcullis/sign-out HTTP/1.1", &format!("{own}Transfer-Encoding: chunked\r\n")),
        "x".repeat(200_000)
    );
    let heard = say(&world, endless).await;
    assert_eq!(heard.statuses(), [413], "{}", heard.text());
    let lying = head(&world, "POST /.portcullis/sign-out HTTP/1.1", &format!("{own}Content-Length: 99999999999\r\n"));
    let heard = say(&world, format!("{lying}{}", "x".repeat(200_000))).await;
    assert_eq!(heard.statuses(), [413], "{}", heard.text());
    still_standing(&world).await;
}
