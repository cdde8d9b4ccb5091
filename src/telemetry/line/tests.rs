//! The access line in each of its formats.

use super::super::request_id::RequestIds;
use super::*;
use proptest::prelude::*;

pub(in super::super) fn line<'a>(id: RequestId, path: &'a str, user: Option<&'a str>) -> AccessLine<'a> {
    AccessLine {
        time: SystemTime::now(),
        request_id: id,
        client: Some(IpAddr::from([192, 0, 2, 7])),
        method: &Method::GET,
        host: "wiki.example.com",
        path,
        status: StatusCode::OK,
        route: Some("wiki"),
        user,
        decision: Decision::Pass,
        refusal: None,
        duration: Duration::from_micros(1234),
        address: None,
        bytes: Some(42),
    }
}

fn written(line: &AccessLine<'_>, format: Format) -> String {
    let mut buffer = Vec::new();
    line.write(format, "2026-11-21T23:04:02.123Z", &mut buffer);
    String::from_utf8(buffer).unwrap()
}

#[test]
fn the_two_forms_are_as_documented() {
    let id = RequestIds::new().unwrap().next();
    let line = line(id, "/page?secret=1", Some("ada@example.com"));
    let expected = format!(
        "2026-11-21T23:04:02.123Z 192.0.2.7 GET wiki.example.com /page 200 pass route=wiki user=ada@example.com \
         1234us bytes=42 id={id}\n"
    );
    assert_eq!(written(&line, Format::Text), expected);
    let expected = format!(
        "{{\"time\":\"2026-11-21T23:04:02.123Z\",\"request_id\":\"{id}\",\"client\":\"192.0.2.7\",\
         \"method\":\"GET\",\"host\":\"wiki.example.com\",\"path\":\"/page\",\"status\":200,\
         \"decision\":\"pass\",\"route\":\"wiki\",\"user\":\"ada@example.com\",\"duration_us\":1234,\
         \"bytes\":42}}\n"
    );
    assert_eq!(written(&line, Format::Json), expected);
}

#[test]
fn a_client_of_a_unix_socket_has_no_address() {
    let line = AccessLine { client: None, ..line(RequestIds::new().unwrap().next(), "/", None) };
    assert!(written(&line, Format::Text).starts_with("2026-11-21T23:04:02.123Z unix GET "));
    assert!(written(&line, Format::Json).contains("\"client\":\"unix\","));
}

#[test]
fn an_address_is_written_as_the_standard_library_writes_it() {
    let octets = [0, 1, 9, 10, 99, 100, 101, 110, 199, 200, 255];
    let four = octets.into_iter().flat_map(|one| octets.map(|two| IpAddr::from([one, two, two, one])));
    let six = ["::1", "2001:db8::1", "::ffff:10.0.0.2"].map(|text| text.parse().unwrap());
    for address in four.chain(six) {
        let mut text = Vec::new();
        write_address(address, &mut text);
        assert_eq!(String::from_utf8(text).unwrap(), address.to_string());
    }
}

#[test]
fn numbers_are_written_whole() {
    for number in [0, 7, 10, 999, 1000, 65_535, u64::MAX] {
        let mut buffer = Vec::new();
        write_number(number, &mut buffer);
        assert_eq!(String::from_utf8(buffer).unwrap(), number.to_string());
    }
}

#[test]
fn the_log_document_names_every_field() {
    let document = include_str!("../../../docs/log.md");
    let id = RequestIds::new().unwrap().next();
    let full = AccessLine { refusal: Some("x"), ..line(id, "/", Some("ada")) };
    let json: serde_json::Value = serde_json::from_str(&written(&full, Format::Json)).unwrap();
    for name in json.as_object().unwrap().keys() {
        assert!(document.contains(&format!("| `{name}` |")), "docs/log.md does not explain {name}");
    }
    for decision in Decision::ALL {
        let name = decision.as_str();
        assert!(document.contains(&format!("| `{name}` |")), "docs/log.md does not explain {name}");
        assert_eq!(serde_json::to_value(decision).unwrap(), name);
    }
}

#[test]
fn what_a_terminal_would_act_upon_is_escaped() {
    let id = RequestIds::new().unwrap().next();
    let line = line(id, "/\u{9b}31m\u{202e}\u{7f}\u{1b}[0m\r\n", Some("Zo\u{eb} \" = \\"));
    let json = written(&line, Format::Json);
    assert!(json.contains(r"/\u009b31m\u202e\u007f\u001b[0m\r\n"), "{json}");
    assert!(json.contains("Zo\u{eb}"), "{json}");
    let text = written(&line, Format::Text);
    assert!(text.contains(r"/\u{9b}31m\u{202e}\u{7f}\u{1b}[0m\u{d}\u{a} "), "{text}");
    assert!(text.contains("user=Zo\u{eb}\\u{20}\\u{22}\\u{20}\\u{3d}\\u{20}\\u{5c} "), "{text}");
}

#[test]
fn a_very_long_path_is_cut_between_characters() {
    let id = RequestIds::new().unwrap().next();
    let path = format!("/{}", "\u{eb}".repeat(LONGEST));
    let json: serde_json::Value = serde_json::from_str(&written(&line(id, &path, None), Format::Json)).unwrap();
    assert_eq!(json["path"].as_str().unwrap().len(), LONGEST - 1);
}

#[test]
fn plain_is_what_needs_no_escape_wherever_it_stands() {
    for odd in 0..=u8::MAX {
        let is_odd = !(0x20..0x7f).contains(&odd) || matches!(odd, b'"' | b'\\');
        for length in 1..20 {
            for place in 0..length {
                let mut text = vec![b'~'; length];
                text[place] = odd;
                assert_eq!(is_plain(&text), !is_odd, "{odd} at {place} of {length}");
            }
        }
    }
    assert!(is_plain(b"") && is_plain("\u{20}!#[]~aZ0".as_bytes()));
}

#[test]
fn a_method_of_any_characters_is_a_json_string() {
    let id = RequestIds::new().unwrap().next();
    let method = Method::from_bytes(b"!#$%&'*+-.^_`|~aZ09").unwrap();
    let json = written(&AccessLine { method: &method, ..line(id, "/", None) }, Format::Json);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["method"], method.as_str());
    assert!((0..=u8::MAX).all(|byte| Method::from_bytes(&[byte]).is_err() || is_plain(&[byte])));
}

proptest! {
    #[test]
    fn whatever_a_client_sends_stays_one_line(path: String, user: String) {
        let id = RequestIds::new().unwrap().next();
        let line = line(id, &path, Some(&user));
        for format in [Format::Json, Format::Text] {
            let written = written(&line, format);
            let inner = written.strip_suffix('\n').unwrap();
            prop_assert!(!inner.chars().any(|character| character.is_control() || acts(character)));
        }
        let json: serde_json::Value = serde_json::from_str(&written(&line, Format::Json)).unwrap();
        prop_assert_eq!(json["user"].as_str(), Some(user.as_str()));
        prop_assert_eq!(json["path"].as_str(), Some(before_query(&path)));
        prop_assert_eq!(written(&line, Format::Text).split(' ').count(), 12);
    }
}
