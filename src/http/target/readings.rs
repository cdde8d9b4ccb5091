//! A path as apps may read it.
//!
//! One app decodes escapes and then drops parameters, another the other way round; one decodes once, one until nothing
//! is left; one cuts at `?` or `#` after it decoded, one takes what follows two slashes for a host (RFC 3986 section
//! 4.2). What nobody reads alike is found by reading it in all these ways. Called by `http::target` for paths that are not
//! plain.

use super::BadTarget;

/// How often escapes are decoded until none is left; beyond it a path is refused.
const MOST_DECODINGS: usize = 3;

/// How long a path may be that has to be read in several ways: what common servers take, and not so much that reading it
/// is work.
const LONGEST: usize = 8 * 1024;

/// What cuts a path into segments.
const CUTS: [char; 2] = ['/', '\\'];

/// The same path in other eyes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Readings {
    /// As the most lenient app might read it: every escape decoded until none is left, characters that only look like
    /// `/`, `\`, `.` or `;` taken for them, parameters dropped, slashes merged, dots and spaces at the end of a segment
    /// dropped, as Windows does, and all behind a `?` or `#`.
    pub(super) usual: String,
    /// In every other order.
    pub(super) odd: Vec<String>,
}

impl Readings {
    /// Those of a canonical path; none when all are that path.
    ///
    /// # Errors
    /// [`BadTarget`] when one of them has what no path may have.
    pub(super) fn of(path: &str) -> Result<Option<Self>, BadTarget> {
        if path.len() > LONGEST {
            return Err(BadTarget::Ambiguous);
        }
        let stages = stages(path)?;
        let decoded = stages.last().map(Vec::as_slice).unwrap_or_default();
        if has_overlong_character(decoded) || has_wide_escape(decoded) {
            return Err(BadTarget::ForbiddenCharacter);
        }
        let text = lenient(decoded);
        if text.chars().any(|character| character.is_ascii_control()) {
            return Err(BadTarget::ForbiddenCharacter);
        }
        let mut odd = Vec::new();
        for stage in &stages {
            let text = lenient(stage).replace(char::REPLACEMENT_CHARACTER, "");
            let cut = before_the_cut(&text);
            for text in [Some(text.as_str()), (cut.len() < text.len()).then_some(cut)].into_iter().flatten() {
                if text.split(CUTS).any(is_dot) {
                    return Err(BadTarget::DotSegment);
                }
                let hosts = [behind_a_host(text, &CUTS[..1]), behind_a_host(text, &CUTS)];
                for text in [Some(text)].into_iter().chain(hosts).flatten() {
                    odd.push(bare(text)?);
                }
            }
        }
        let usual = usual(before_the_cut(&text), path);
        odd.sort_unstable();
        odd.dedup();
        // A slash at the end leads nowhere else.
        odd.retain(|reading| reading.trim_end_matches('/') != usual.trim_end_matches('/'));
        let is_plain = usual == path && odd.is_empty();
        Ok((!is_plain).then_some(Self { usual, odd }))
    }
}

/// The path as it was sent, decoded once, and so on until nothing is left to decode.
fn stages(path: &str) -> Result<Vec<Vec<u8>>, BadTarget> {
    let mut stages = vec![path.as_bytes().to_vec()];
    while let Some(last) = stages.last() {
        let decoded: Vec<u8> = percent_encoding::percent_decode(last).collect();
        if decoded.len() == last.len() {
            break;
        }
        if stages.len() > MOST_DECODINGS {
            return Err(BadTarget::Ambiguous);
        }
        stages.push(decoded);
    }
    Ok(stages)
}

/// Bytes as text in which nothing is in disguise.
fn lenient(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().map(without_disguise).collect()
}

fn before_the_cut(text: &str) -> &str {
    text.split(['?', '#']).next().unwrap_or_default()
}

fn without_parameters(segment: &str) -> &str {
    segment.split(';').next().unwrap_or_default()
}

/// Whether a lenient app reads a segment as `.` or `..`.
fn is_dot(segment: &str) -> bool {
    matches!(without_parameters(segment).trim(), "." | "..")
}

/// What follows the host, for those who see one behind two slashes.
fn behind_a_host<'a>(text: &'a str, cuts: &[char]) -> Option<&'a str> {
    let host = text.trim_start_matches(cuts);
    if text.len() < host.len() + 2 {
        return None;
    }
    Some(host.find(cuts).and_then(|end| host.get(end..)).unwrap_or("/"))
}

fn usual(text: &str, path: &str) -> String {
    let segments = text.split(CUTS).map(|segment| without_parameters(segment).trim_end_matches(['.', ' ']));
    let mut reading = joined(segments);
    if reading.is_empty() || (path.ends_with('/') && path.len() > 1) {
        reading.push('/');
    }
    reading
}

/// Parameters dropped first, then decoded, then what that brought to light dropped again.
fn bare(text: &str) -> Result<String, BadTarget> {
    let mut reading = String::with_capacity(text.len());
    for segment in text.split('/').map(without_parameters) {
        if !segment.contains(['%', '\\']) {
            let segment = trimmed(segment);
            reading.push_str(if segment.is_empty() { "" } else { "/" });
            reading.push_str(segment);
            continue;
        }
        // There may be more to decode than before: what is dropped may have stood in an escape.
        let decoded = stages(segment)?.pop().unwrap_or_default();
        let text = lenient(&decoded).replace(char::REPLACEMENT_CHARACTER, "");
        if text.split(CUTS).any(is_dot) {
            return Err(BadTarget::DotSegment);
        }
        reading.push_str(&joined(text.split(CUTS).map(|segment| trimmed(without_parameters(segment)))));
    }
    Ok(if reading.is_empty() { "/".to_owned() } else { reading })
}

fn trimmed(segment: &str) -> &str {
    segment.trim().trim_end_matches(['.', ' '])
}

fn joined<'a>(segments: impl Iterator<Item = &'a str>) -> String {
    segments.filter(|segment| !segment.is_empty()).flat_map(|segment| ["/", segment]).collect()
}

/// Whether there is a character in a longer form than it needs, which RFC 3629 section 3 forbids: decoders that
/// do not mind read `%C0%AE` as a dot.
fn has_overlong_character(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| {
        matches!(
            pair,
            [0xC0 | 0xC1, 0x80..=0xBF] | [0xE0, 0x80..=0x9F] | [0xF0, 0x80..=0x8F] | [0xF8 | 0xFC, 0x80..=0x87]
        )
    })
}

/// Whether an escape of Windows' own kind (`%u002e`) is left, which could only hide behind another escape.
fn has_wide_escape(bytes: &[u8]) -> bool {
    bytes.windows(6).any(|six| six.starts_with(b"%u") && six[2..].iter().all(u8::is_ascii_hexdigit))
}

/// A character whose compatibility form (Unicode NFKC, or Windows' best fit) is one that cuts paths.
fn without_disguise(character: char) -> char {
    match character {
        '\u{2024}' | '\u{FE52}' | '\u{FF0E}' => '.',
        '\u{2044}' | '\u{2215}' | '\u{FF0F}' => '/',
        // The last two are Windows' best fit where the code page is a Japanese or Korean one.
        '\u{2216}' | '\u{FE68}' | '\u{FF3C}' | '\u{A5}' | '\u{20A9}' => '\\',
        '\u{037E}' | '\u{FE54}' | '\u{FF1B}' => ';',
        '\u{FE56}' | '\u{FF1F}' => '?',
        '\u{FE5F}' | '\u{FF03}' => '#',
        other => other,
    }
}
