//! The pages: whole, escaped, and the same words for people and programs.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, REFRESH};

use super::*;
use crate::http::Body;
use crate::refusal::ProviderDoubt;

const VISIT: Visit<'static> =
    Visit { request_id: "request-0123456789", host: "wiki.example.com", now: Timestamp(1_791_381_802) };

fn links() -> Links {
    Links {
        sign_in: "https://wiki.example.com/.portcullis/start?a=1&b=2".into(),
        another: "https://wiki.example.com/.portcullis/start?account=another".into(),
        again: "/a".into(),
        others: None,
        home: "/".into(),
    }
}

fn me() -> Me {
    Me {
        name: Some("Ada <b>Lovelace</b>".into()),
        username: "ada@acme.example".into(),
        email: None,
        user_id: "0055g00000ABCDEAA4".into(),
        organization_id: "00D5g00000ABCDEEA4".into(),
        user_type: Some("STANDARD".into()),
        provider: "salesforce".into(),
        signed_in_by: "Acme <staff>".into(),
        since: Timestamp(1_791_381_802),
        idle_until: Timestamp(1_791_385_402),
        until: Timestamp(1_791_410_602),
        headers: vec![("X-Forwarded-User".into(), "\"><script>".into())],
        sign_out: "/.portcullis/sign-out".into(),
        home: "/".into(),
    }
}

fn sign_out() -> SignOut {
    SignOut {
        who: "</p><script>alert(1)</script>".into(),
        action: "/.portcullis/sign-out".into(),
        home: "/".into(),
        onward: None,
    }
}

fn onward() -> PostOnward {
    PostOnward {
        title: "Sign in",
        why: "Because.",
        button: "Continue to Salesforce",
        action: "https://acme.my.salesforce.com/idp/endpoint/HttpPost?x='".into(),
        fields: vec![("SAMLRequest", "PHg+\"><script>".into())],
    }
}

fn read(response: Response) -> (hyper::HeaderMap, String) {
    let (parts, body) = response.into_parts();
    let Body::Full(body) = body else { panic!("no whole body") };
    (parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

/// Every page there is, by name.
fn every_page() -> Vec<(&'static str, hyper::HeaderMap, String)> {
    let pages = Pages::new().unwrap();
    let mut all = vec![
        ("sign out", pages.sign_out(&sign_out(), &VISIT)),
        ("signed out", pages.signed_out(&VISIT, &links())),
        ("onward", pages.post_onward(&onward(), &VISIT)),
        ("me", pages.me(&me(), Form::Page, &VISIT)),
    ];
    for refusal in Refusal::samples() {
        all.push((refusal.code(), pages.refusal(&refusal, Form::Page, &VISIT, &links())));
    }
    all.into_iter()
        .map(|(name, response)| (name, read(response)))
        .map(|(name, (head, body))| (name, head, body))
        .collect()
}

#[test]
fn every_page_is_whole_and_says_where_it_is() {
    for (name, _, page) in every_page() {
        assert!(page.starts_with("<!doctype html>\n<html lang=\"en\">"), "{name}");
        assert!(page.ends_with("</html>"), "{name}");
        for part in ["<main>", "<header>", "<footer>", "<h1>", "<title>", "wiki.example.com", "width=device-width"] {
            assert_eq!(page.matches(part).count().min(1), 1, "{name} lacks {part}");
        }
        assert_eq!(page.matches("<h1>").count(), 1, "{name}");
    }
}

#[test]
fn every_refusal_shows_its_code_its_words_and_the_request() {
    let pages = Pages::new().unwrap();
    for refusal in Refusal::samples() {
        let response = pages.refusal(&refusal, Form::Page, &VISIT, &links());
        assert_eq!(response.status(), refusal.status());
        let (_, page) = read(response);
        assert!(page.contains(&format!("<code>{}</code>", refusal.code())), "{page}");
        assert!(page.replace("&#x27;", "'").contains(refusal.words().title), "{page}");
        assert!(page.contains("request-0123456789") && page.contains("7 October 2026, 14:03:22 UTC"), "{page}");
        assert!(page.contains("2026-10-07T14:03:22Z"), "{page}");
    }
}

#[test]
fn nothing_on_a_page_runs_or_comes_from_elsewhere() {
    for (name, headers, page) in every_page() {
        for sign in ["<script", "javascript:", " style=", " src=", "url(", "@import", "<link", "<img", "onclick"] {
            assert!(!page.contains(sign), "{name} has {sign}");
        }
        let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
        for part in ["default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{name}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{name}: {policy}");
        for (header, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(headers[header], value, "{name}");
        }
    }
}

#[test]
fn the_policy_admits_exactly_the_style_on_the_page() {
    for (name, headers, page) in every_page() {
        let (_, rest) = page.split_once("<style>").unwrap();
        let (style, _) = rest.split_once("</style>").unwrap();
        let hash = STANDARD.encode(digest(&SHA256, style.as_bytes()));
        let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains(&format!("style-src 'sha256-{hash}'")), "{name}");
    }
}

#[test]
fn what_people_are_called_is_escaped() {
    let pages = Pages::new().unwrap();
    let (_, page) = read(pages.sign_out(&sign_out(), &VISIT));
    assert!(page.contains("&lt;script&gt;alert(1)"), "{page}");
    let (_, page) = read(pages.me(&me(), Form::Page, &VISIT));
    assert!(page.contains("Ada &lt;b&gt;Lovelace") && page.contains("&quot;&gt;&lt;script&gt;"), "{page}");
}

#[test]
fn a_form_may_lead_to_the_provider_and_its_pages_alone() {
    let pages = Pages::new().unwrap();
    let policy = |response: Response| read(response).0[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
    let to_provider = "form-action 'self' https://acme.my.salesforce.com https:;";
    assert!(policy(pages.post_onward(&onward(), &VISIT)).contains(to_provider));
    let page = SignOut { onward: Some("https://acme.my.salesforce.com/slo".into()), ..sign_out() };
    assert!(policy(pages.sign_out(&page, &VISIT)).contains(to_provider));
    assert!(policy(pages.sign_out(&sign_out(), &VISIT)).contains("form-action 'self';"));
    let page = PostOnward { action: "javascript:alert(1)".into(), ..onward() };
    let (headers, page) = read(pages.post_onward(&page, &VISIT));
    assert!(!page.contains("javascript") && page.contains("action=\"&#x2f;\""), "{page}");
    assert!(headers[CONTENT_SECURITY_POLICY].to_str().unwrap().contains("form-action 'self';"));
}

#[test]
fn causes_stay_in_the_log() {
    let pages = Pages::new().unwrap();
    let refusal = Refusal::ProviderMisbehaved { doubt: ProviderDoubt::Nonce, cause: "xyzzy".into() };
    for form in [Form::Page, Form::Json] {
        let (_, body) = read(pages.refusal(&refusal, form, &VISIT, &links()));
        assert!(!body.contains("xyzzy"), "{body}");
    }
}

#[test]
fn a_link_that_could_run_a_script_or_leave_by_stealth_is_left_out() {
    let pages = Pages::new().unwrap();
    for link in ["javascript:alert(1)", "//evil.example", "/\\evil.example", "data:text/html,x", ""] {
        let others = Some(link.into());
        let another = link.into();
        let links = Links { sign_in: link.into(), another, again: link.into(), others, home: link.into() };
        let (_, page) = read(pages.refusal(&Refusal::AttemptExpired, Form::Page, &VISIT, &links));
        assert!(!page.contains("class=\"button\""), "{link}");
        let (_, body) = read(pages.refusal(&Refusal::AttemptExpired, Form::Json, &VISIT, &links));
        assert!(!body.contains("sign_in"), "{link}");
    }
}

#[test]
fn a_link_is_escaped_and_kept_whole() {
    let pages = Pages::new().unwrap();
    let (_, page) = read(pages.refusal(&Refusal::AttemptExpired, Form::Page, &VISIT, &links()));
    let whole = page.replace("&#x2f;", "/").replace("&amp;", "&");
    assert!(whole.contains("href=\"https://wiki.example.com/.portcullis/start?a=1&b=2\""), "{page}");
}

#[test]
fn a_program_gets_the_same_words_as_json() {
    let pages = Pages::new().unwrap();
    for refusal in Refusal::samples() {
        let response = pages.refusal(&refusal, Form::Json, &VISIT, &links());
        assert_eq!(response.status(), refusal.status());
        let (headers, body) = read(response);
        assert_eq!(headers[CONTENT_TYPE], "application/json");
        assert_eq!(headers[CACHE_CONTROL], "no-store");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        let words = refusal.words();
        assert_eq!(body["error"], refusal.code());
        assert_eq!(body["message"], *words.happened);
        assert_eq!(body["what_you_can_do"], words.you);
        assert_eq!(body["administrator"], *words.administrator);
        assert_eq!(body["request_id"], "request-0123456789");
        let sign_in = body.get("sign_in").is_some();
        assert_eq!(sign_in, matches!(refusal.onward(), Onward::SignIn | Onward::SignInAsAnother), "{}", refusal.code());
    }
}

#[test]
fn a_401_carries_a_challenge_that_says_where_to_sign_in() {
    let pages = Pages::new().unwrap();
    for form in [Form::Page, Form::Json] {
        let response = pages.refusal(&Refusal::SignInRequired, form, &VISIT, &links());
        let challenge = &response.headers()[WWW_AUTHENTICATE];
        assert_eq!(challenge, "Portcullis sign_in=\"https://wiki.example.com/.portcullis/start?a=1&b=2\"");
    }
    let odd = Links { sign_in: "/a\"b".into(), ..links() };
    let response = pages.refusal(&Refusal::SignInRequired, Form::Json, &VISIT, &odd);
    assert_eq!(response.headers()[WWW_AUTHENTICATE], "Portcullis");
}

#[test]
fn a_405_lists_the_methods_and_a_503_says_when_to_come_back() {
    let pages = Pages::new().unwrap();
    let refusal = Refusal::MethodNotAllowed { allow: "GET, HEAD" };
    let response = pages.refusal(&refusal, Form::Page, &VISIT, &links());
    assert_eq!(response.headers()[ALLOW], "GET, HEAD");
    let response = pages.refusal(&Refusal::Overloaded { cause: String::new() }, Form::Json, &VISIT, &links());
    assert_eq!(response.headers()[RETRY_AFTER], "10");
}

#[test]
fn the_sign_out_form_keeps_its_origin_and_no_other_page_has_a_referrer() {
    let pages = Pages::new().unwrap();
    let (headers, page) = read(pages.sign_out(&sign_out(), &VISIT));
    assert_eq!(headers[REFERRER_POLICY], "same-origin");
    assert!(page.contains("<form") && page.contains("method=\"post\""), "{page}");
    for (name, headers, page) in every_page() {
        assert_eq!(page.contains("<form"), headers[REFERRER_POLICY] == "same-origin", "{name}");
    }
}

#[test]
fn the_signed_out_page_does_not_sign_in_by_itself() {
    let response = Pages::new().unwrap().signed_out(&VISIT, &links());
    assert_eq!(response.status(), StatusCode::OK);
    let (headers, page) = read(response);
    assert!(!headers.contains_key(LOCATION) && !headers.contains_key(REFRESH));
    assert!(!page.to_ascii_lowercase().contains("http-equiv"), "{page}");
}

#[test]
fn who_am_i_is_the_same_for_people_and_programs() {
    let pages = Pages::new().unwrap();
    let (_, body) = read(pages.me(&me(), Form::Json, &VISIT));
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["user_id"], "0055g00000ABCDEAA4");
    assert_eq!(body["organization_id"], "00D5g00000ABCDEEA4");
    assert_eq!(body["until"], "2026-10-07T22:03:22Z");
    assert_eq!(body["headers"]["X-Forwarded-User"], "\"><script>");
    assert_eq!(body["email"], serde_json::Value::Null);
    let (_, page) = read(pages.me(&me(), Form::Page, &VISIT));
    assert!(page.contains("0055g00000ABCDEAA4") && page.contains("7 October 2026, 22:03:22 UTC"), "{page}");
}

#[test]
fn a_time_beyond_the_calendar_is_no_accident() {
    assert_eq!(Moment::from(Timestamp(u64::MAX)).machine, "1970-01-01T00:00:00Z");
}

/// WCAG 2.2 success criterion 1.4.3: 4.5 to 1.
#[test]
fn every_text_can_be_read_in_light_and_in_dark() {
    let style = include_str!("style.css");
    let (light, dark) = style.split_once("prefers-color-scheme: dark").unwrap();
    let colours = |part: &str| -> BTreeMap<String, f64> {
        let lines = part.split([';', '{', '}']).filter_map(|line| line.trim().strip_prefix("--"));
        let pairs = lines.filter_map(|line| line.split_once(": #"));
        pairs.map(|(name, hex)| (name.to_owned(), luminance(hex))).collect()
    };
    let contrast = |one: f64, other: f64| (one.max(other) + 0.05) / (one.min(other) + 0.05);
    for part in [light, dark] {
        let colours = colours(part);
        for (text, ground) in [
            ("text", "page"),
            ("text", "glow"),
            ("text", "card"),
            ("soft", "page"),
            ("soft", "glow"),
            ("soft", "card"),
            ("accent", "page"),
            ("accent", "card"),
            ("on-accent", "accent"),
            ("on-accent", "accent-over"),
        ] {
            let contrast = contrast(colours[text], colours[ground]);
            assert!(contrast >= 4.5, "{text} on {ground}: {contrast}");
        }
        for marks in part.split("--mark: #").skip(1) {
            let (mark, ground) = (luminance(marks), luminance(marks.split("--mark-ground: #").nth(1).unwrap()));
            assert!(contrast(mark, ground) >= 4.5, "{}", &marks[..6]);
        }
    }
}

fn luminance(hex: &str) -> f64 {
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
}
