//! What two readers of one HTTP/1.1 head disagree about, looked for once for both sides of the gateway.
//!
//! Called by the lean readers of `server` and `proxy`, which do not know each other.

/// Whether a line ends with LF alone. RFC 9112 section 2.2 lets a recipient take that for a line's end; it is what two
/// readers disagree about.
pub fn has_bare_line_feed(head: &[u8]) -> bool {
    // Without a branch and on slices of one length, so that it is done for many bytes at a time.
    let before = head.get(..head.len().saturating_sub(1)).unwrap_or_default();
    let after = head.get(1..).unwrap_or_default();
    let found = before
        .iter()
        .zip(after)
        .fold(0, |found, (first, second)| found | (u8::from(*second == b'\n') & u8::from(*first != b'\r')));
    found != 0 || head.first() == Some(&b'\n')
}

/// `Content-Length = 1*DIGIT` (RFC 9110 section 8.6), and nothing that merely can be read as such.
pub fn digits(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// A value as text: visible ASCII, spaces and tabs alone.
pub fn text(value: &[u8]) -> Option<&str> {
    let is_text = value.iter().all(|byte| (b' '..=b'~').contains(byte) || *byte == b'\t');
    if is_text { std::str::from_utf8(value).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_feed_is_bare_wherever_no_carriage_return_is_before_it() {
        for bare in ["\n", "a\n", "\r\n\n", "a\r\nb\n\r\n", "\n\r\n", "a\r b\n"] {
            assert!(has_bare_line_feed(bare.as_bytes()), "{bare:?}");
        }
        for paired in ["", "a", "\r", "\r\n", "a\r\n\r\n", "\r\r\n"] {
            assert!(!has_bare_line_feed(paired.as_bytes()), "{paired:?}");
        }
    }

    #[test]
    fn a_length_is_digits_alone() {
        assert_eq!(digits(b"0"), Some(0));
        assert_eq!(digits(b"18446744073709551615"), Some(u64::MAX));
        for none in ["", "+5", "-1", " 5", "5 ", "5,5", "0x5", "18446744073709551616"] {
            assert_eq!(digits(none.as_bytes()), None, "{none:?}");
        }
    }

    #[test]
    fn text_is_what_a_map_says_it_is() {
        for byte in 0..=u8::MAX {
            let value = [b'a', byte, b'b'];
            let Ok(theirs) = hyper::header::HeaderValue::from_bytes(&value) else {
                assert_eq!(text(&value), None, "{byte}");
                continue;
            };
            assert_eq!(text(&value), theirs.to_str().ok(), "{byte}");
        }
        assert_eq!(text(b""), Some(""));
    }
}
