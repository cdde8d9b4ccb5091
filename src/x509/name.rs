//! Distinguished names as text (RFC 4514): whose a certificate is, and who signed it.
//!
//! Two names that differ never read the same: what has a meaning in the text is escaped, and what is no text, or of a
//! kind that nobody named, is written as the bytes that it is. Called by `x509`.

use super::der::{OBJECT_IDENTIFIER, SEQUENCE, element, take};

const SET: u8 = 0x31;

// How its text is written.
const UTF8: u8 = 0x0c;
const NUMERIC: u8 = 0x12;
const PRINTABLE: u8 = 0x13;
const TELETEX: u8 = 0x14;
const IA5: u8 = 0x16;
const BMP: u8 = 0x1e;

/// The kinds that have names: those of RFC 4514 section 3, and two that devices and people have.
const KINDS: [(&[u8], &str); 11] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 9], "STREET"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "UID"),
    (&[0x55, 4, 5], "serialNumber"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], "emailAddress"),
];

/// The contents of a `Name` as text; the last of its parts comes first (RFC 4514 section 2.1).
pub(super) fn write(mut name: &[u8]) -> Option<String> {
    let mut parts = Vec::new();
    while !name.is_empty() {
        let (mut set, rest) = take(name, SET)?;
        let mut together = Vec::new();
        while !set.is_empty() {
            let (attribute, others) = take(set, SEQUENCE)?;
            together.push(attribute_text(attribute)?);
            set = others;
        }
        parts.push(together.join("+"));
        name = rest;
    }
    parts.reverse();
    Some(parts.join(","))
}

fn attribute_text(attribute: &[u8]) -> Option<String> {
    let (kind, value) = take(attribute, OBJECT_IDENTIFIER)?;
    let (tag, content, rest) = element(value)?;
    if !rest.is_empty() {
        return None;
    }
    let named = KINDS.iter().find(|(known, _)| *known == kind).map(|(_, word)| *word);
    Some(match (named, text(tag, content)) {
        (Some(word), Some(text)) => format!("{word}={}", escape(&text)),
        // RFC 4514 section 2.4: who is not known by name is written as bytes, and so is what is no text.
        (Some(word), None) => format!("{word}=#{}", hex(value)),
        (None, _) => format!("{}=#{}", dotted(kind)?, hex(value)),
    })
}

fn text(tag: u8, content: &[u8]) -> Option<String> {
    match tag {
        UTF8 => std::str::from_utf8(content).ok().map(str::to_owned),
        NUMERIC | PRINTABLE | TELETEX | IA5 if content.is_ascii() => String::from_utf8(content.to_vec()).ok(),
        BMP => {
            let (units, rest) = content.as_chunks();
            let units: Vec<u16> = units.iter().map(|unit| u16::from_be_bytes(*unit)).collect();
            if rest.is_empty() { String::from_utf16(&units).ok() } else { None }
        }
        _ => None,
    }
}

/// RFC 4514 section 2.4. Spaces at the ends are written by number, so that no trimming changes a name.
fn escape(text: &str) -> String {
    let last = text.len().saturating_sub(1);
    let mut escaped = String::with_capacity(text.len());
    for (place, letter) in text.char_indices() {
        match letter {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => escaped.extend(['\\', letter]),
            '#' if place == 0 => escaped.push_str("\\#"),
            ' ' if place == 0 || place == last => escaped.push_str("\\20"),
            '\0' => escaped.push_str("\\00"),
            _ => escaped.push(letter),
        }
    }
    escaped
}

/// An object identifier in its usual form (X.690 section 8.19).
fn dotted(identifier: &[u8]) -> Option<String> {
    let mut numbers: Vec<String> = Vec::new();
    let mut number: Option<u64> = None;
    for byte in identifier {
        let sum = number.unwrap_or_default().checked_mul(128)?.checked_add(u64::from(byte & 0x7f))?;
        if byte & 0x80 != 0 {
            number = Some(sum);
            continue;
        }
        number = None;
        if numbers.is_empty() {
            let first = (sum / 40).min(2);
            numbers.push(first.to_string());
            numbers.push((sum - 40 * first).to_string());
        } else {
            numbers.push(sum.to_string());
        }
    }
    if number.is_none() && !numbers.is_empty() { Some(numbers.join(".")) } else { None }
}

/// Bytes in lower case.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(*DIGITS.get(usize::from(value)).unwrap_or(&b'0'));
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{DistinguishedName, DnType, DnValue};

    use super::super::read;

    fn subject(parts: Vec<(DnType, DnValue)>) -> String {
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        let mut name = DistinguishedName::new();
        parts.into_iter().for_each(|(kind, value)| name.push(kind, value));
        parameters.distinguished_name = name;
        let made = parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        read(made.der()).unwrap().subject().unwrap()
    }

    fn common(text: &str) -> String {
        subject(vec![(DnType::CommonName, DnValue::Utf8String(text.to_owned()))])
    }

    #[test]
    fn the_last_part_comes_first() {
        let printable = DnValue::PrintableString("NZ".try_into().unwrap());
        let organization = DnValue::BmpString("Zoë".try_into().unwrap());
        let parts = vec![
            (DnType::CountryName, printable),
            (DnType::OrganizationName, organization),
            (DnType::CommonName, DnValue::Utf8String("tablet 7".to_owned())),
        ];
        assert_eq!(subject(parts), "CN=tablet 7,O=Zoë,C=NZ");
        assert_eq!(subject(Vec::new()), "");
    }

    #[test]
    fn nobody_writes_himself_another_part() {
        for (text, written) in [
            ("eve,CN=admin", "CN=eve\\,CN=admin"),
            ("eve+O=board", "CN=eve\\+O=board"),
            ("a\\,b", "CN=a\\\\\\,b"),
            ("\"<;>\"", "CN=\\\"\\<\\;\\>\\\""),
            ("#04", "CN=\\#04"),
            (" a ", "CN=\\20a\\20"),
            (" ", "CN=\\20"),
            ("a\0b", "CN=a\\00b"),
            ("a\r\nx: y", "CN=a\r\nx: y"),
            ("", "CN="),
        ] {
            assert_eq!(common(text), written, "{text:?}");
        }
    }

    #[test]
    fn what_has_no_name_is_written_as_bytes() {
        let kind = DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 99_999, 1]);
        assert_eq!(subject(vec![(kind, DnValue::Utf8String("x".to_owned()))]), "1.3.6.1.4.1.99999.1=#0c0178");
        let mail = DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]);
        let address = DnValue::Ia5String("ada@example.com".try_into().unwrap());
        assert_eq!(subject(vec![(mail, address)]), "emailAddress=ada@example.com");
        let teletex = DnValue::TeletexString("plain".try_into().unwrap());
        assert_eq!(subject(vec![(DnType::LocalityName, teletex)]), "L=plain");
        let universal = DnValue::UniversalString("a".try_into().unwrap());
        assert_eq!(subject(vec![(DnType::LocalityName, universal)]), "L=#1c0400000061");
    }

    #[test]
    fn a_broken_number_is_none() {
        for broken in [&[][..], &[0x80], &[0x55, 0x84], &[0xff; 12]] {
            assert_eq!(super::dotted(broken), None, "{broken:x?}");
        }
        assert_eq!(super::dotted(&[0x88, 0x37, 3]).unwrap(), "2.999.3");
    }
}
