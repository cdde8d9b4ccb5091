//! Fields as they lie in a head, held against a map of the same lines.

use super::*;
use proptest::prelude::*;

/// The fields of a head of which nothing but these lines is told.
pub(crate) fn parse(lines: &[u8]) -> Option<Received> {
    let text = Bytes::from([b"GET / HTTP/1.1\r\n", lines, b"\r\n"].concat());
    let mut space = [httparse::EMPTY_HEADER; 128];
    let mut parsed = httparse::Request::new(&mut space);
    let status = parsed.parse(&text).ok()?;
    (status.unwrap() == text.len()).then_some(())?;
    Some(Received::of(&text, parsed.headers).unwrap())
}

fn written(fields: Fields<'_>) -> Vec<Vec<u8>> {
    let line = |field: Field<'_>| {
        let mut line = Vec::new();
        field.write(&mut line);
        // A map has names in lower case.
        line[..field.name().len()].make_ascii_lowercase();
        line
    };
    let mut all: Vec<_> = fields.into_iter().map(line).collect();
    // A map keeps fields of one name together.
    all.sort_by_key(|line| line.split(|byte| *byte == b':').next().map(<[u8]>::to_vec));
    all
}

#[test]
fn lines_say_what_a_map_of_them_says() {
    let lines =
        parse(b"Host: a\r\nX-Two:one\r\nCookie:   a=b; c \t\r\nx-two: t\xffo\r\nEmpty:\r\nEmpty2: \r\n").unwrap();
    let names: Vec<_> = lines.fields().into_iter().map(|field| field.name().to_ascii_lowercase()).collect();
    assert_eq!(names, [&b"host"[..], b"x-two", b"cookie", b"x-two", b"empty", b"empty2"]);
    let values: Vec<_> = lines.fields().into_iter().map(|field| field.value()).collect();
    assert_eq!(values, [&b"a"[..], b"one", b"a=b; c", b"t\xffo", b"", b""]);
    let map = lines.map();
    assert_eq!(written(lines.fields()), written(Fields::from(&map)));
    assert_eq!(map.get_all("x-two").iter().count(), 2);
    let mut all = Vec::new();
    lines.fields().into_iter().for_each(|field| field.write(&mut all));
    assert_eq!(all, b"Host: a\r\nX-Two: one\r\nCookie: a=b; c\r\nx-two: t\xffo\r\nEmpty: \r\nEmpty2: \r\n");
}

#[test]
fn what_is_not_kept_is_gone_however_it_is_asked_for() {
    let mut lines = parse(b"Host: a\r\nX: 1\r\nx: 2\r\nY: 3\r\n").unwrap();
    lines.retain(|field| !field.is("x"));
    assert_eq!(lines.fields().into_iter().map(|field| field.value()).collect::<Vec<_>>(), [b"a", b"3"]);
    assert!(!lines.map().contains_key("x") && lines.len() == 2);
}

/// What [`Received::map`] relies on.
#[test]
fn a_map_takes_every_byte_that_the_parser_takes() {
    for byte in 0..=u8::MAX {
        for (line, name) in
            [(vec![b'a', byte, b'b', b':', b' ', b'c'], true), (vec![b'a', b':', b'b', byte, b'c'], false)]
        {
            let Some(lines) = parse(&[&line[..], b"\r\n"].concat()) else { continue };
            let map = lines.map();
            assert_eq!(map.len(), lines.len(), "{byte} in a {}", if name { "name" } else { "value" });
            assert_eq!(written(lines.fields()), written(Fields::from(&map)), "{byte}");
        }
    }
    let longest = [&vec![b'a'; LONGEST_NAME][..], b": b\r\n"].concat();
    assert_eq!(parse(&longest).unwrap().map().len(), 1);
    let text = Bytes::from([b"GET / HTTP/1.1\r\na", &longest[..], b"\r\n"].concat());
    let mut space = [httparse::EMPTY_HEADER; 1];
    let mut parsed = httparse::Request::new(&mut space);
    let _ = parsed.parse(&text).unwrap();
    assert_eq!(Received::of(&text, parsed.headers).unwrap_err(), TooLong);
}

proptest! {
    #[test]
    fn any_lines_say_what_a_map_of_them_says(
        fields in prop::collection::vec(("[a-zA-Z_.~-]{1,12}", "[ \t]{0,2}", "[!-~é][ -~\té]{0,10}|", "[ \t]{0,2}"), 0..12),
    ) {
        let text: String = fields.iter().map(|(name, before, value, after)| format!("{name}:{before}{value}{after}\r\n")).collect();
        let lines = parse(text.as_bytes()).unwrap();
        prop_assert_eq!(lines.len(), fields.len());
        let map = lines.map();
        prop_assert_eq!(written(lines.fields()), written(Fields::from(&map)));
        for name in map.keys() {
            let theirs: Vec<_> = map.get_all(name).iter().map(HeaderValue::as_bytes).collect();
            prop_assert_eq!(lines.fields().values(name).collect::<Vec<_>>(), theirs);
        }
    }
}
