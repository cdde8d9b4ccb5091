//! How single values are written: durations, sizes, numbers, addresses, choices.
//!
//! Each reader takes the text and answers the value or what is wrong with it; where it stands is
//! `config::reader`'s business. Called by the sections of `config`.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::problem::Wrong;

/// A duration between two bounds, such as `"30s"` or `"1h 30m"`.
pub(super) fn duration(text: &str, least: Duration, most: Duration) -> Result<Duration, Wrong> {
    let span = humantime::parse_duration(text).map_err(|_| {
        Wrong::new(format!("{text:?} is not a duration"), "write a number and a unit: \"30s\", \"5m\", \"8h\"")
    })?;
    let shown = humantime::format_duration;
    if span < least {
        let what = if span.is_zero() { "is zero".to_owned() } else { format!("{text:?} is too short") };
        return Err(Wrong::new(what, format!("write at least \"{}\"", shown(least))));
    }
    if span > most {
        return Err(Wrong::new(format!("{text:?} is too long"), format!("write at most \"{}\"", shown(most))));
    }
    Ok(span)
}

/// A size in bytes between two bounds, such as `"64KiB"`.
pub(super) fn size(text: &str, least: usize, most: usize) -> Result<usize, Wrong> {
    let bytes =
        text.parse::<bytesize::ByteSize>().ok().and_then(|size| usize::try_from(size.as_u64()).ok()).ok_or_else(
            || Wrong::new(format!("{text:?} is not a size"), "write a number and a unit: \"64KiB\", \"1MiB\""),
        )?;
    let shown = |bytes: usize| bytesize::ByteSize::b(bytes as u64).display().iec_short().to_string();
    if bytes < least {
        return Err(Wrong::new(
            format!("{text:?} is too small"),
            format!("write at least {least} bytes ({})", shown(least)),
        ));
    }
    if bytes > most {
        return Err(Wrong::new(
            format!("{text:?} is too large"),
            format!("write at most {most} bytes ({})", shown(most)),
        ));
    }
    Ok(bytes)
}

/// A whole number between two bounds.
pub(super) fn number(text: &str, least: u64, most: u64) -> Result<u64, Wrong> {
    let instead = format!("write a whole number from {least} to {most}");
    let number =
        text.parse::<u64>().map_err(|_| Wrong::new(format!("{text} is not a whole number"), instead.clone()))?;
    if (least..=most).contains(&number) {
        Ok(number)
    } else {
        Err(Wrong::new(format!("{number} is out of range"), instead))
    }
}

/// An address to listen at: an IP address and a port.
pub(super) fn listen(text: &str) -> Result<SocketAddr, Wrong> {
    text.parse().map_err(|_| {
        let what = format!("{text:?} is not an IP address and a port");
        let port = text.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
        match (text.rsplit_once(':'), port) {
            (Some(("" | "*", _)), Some(port)) => Wrong::new(what, format!("write \"0.0.0.0:{port}\"")),
            (Some(("localhost", _)), Some(port)) => Wrong::new(what, format!("write \"127.0.0.1:{port}\"")),
            (None, Some(port)) => Wrong::new(what, format!("write \"127.0.0.1:{port}\" or \"0.0.0.0:{port}\"")),
            _ => Wrong::new(what, "write for example \"0.0.0.0:443\" or \"[::]:443\""),
        }
    })
}

/// A network or a single address that is believed about who its clients are.
pub(super) fn network(text: &str) -> Result<IpNet, Wrong> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| {
        Wrong::new(format!("{text:?} is not a network"), "write for example \"10.0.0.0/8\" or \"192.0.2.7\"")
    })?;
    // Whoever believes everybody lets every client say where it comes from (CVE-2026-40575).
    if network.prefix_len() == 0 {
        return Err(Wrong::new(
            format!("{text:?} would let every client say where it comes from"),
            "name only the networks of your own proxies",
        ));
    }
    Ok(network.trunc())
}

/// One of a closed set of words.
pub(super) fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, Wrong> {
    if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
    let listed = words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
    let instead = match nearest(text, words) {
        Some(word) => format!("did you mean {word:?}? Possible: {listed}"),
        None => format!("write one of {listed}"),
    };
    Err(Wrong::new(format!("{text:?} is not one of the possible words"), instead))
}

/// `true` or `false`.
pub(super) fn truth(text: &str) -> Result<bool, Wrong> {
    text.parse().map_err(|_| Wrong::new(format!("{text:?} is neither true nor false"), "write true or false"))
}

/// Any text that is not empty and has no control characters.
pub(super) fn words(text: &str) -> Result<String, Wrong> {
    if text.chars().any(char::is_control) {
        return Err(Wrong::new("contains a control character", "write it on one line, without tabs"));
    }
    Ok(text.to_owned())
}

/// The most similar of `candidates`, when one is similar enough to be meant.
pub(super) fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = |text: &str| text.to_ascii_lowercase().replace(['-', ' '], "_");
    let text = folded(text);
    let scored = candidates.into_iter().map(|word| (strsim::jaro_winkler(&text, &folded(word)), word));
    let best = scored.max_by(|left, right| left.0.total_cmp(&right.0));
    best.filter(|(score, _)| *score > 0.8).map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn durations_are_read_with_their_unit() {
        assert_eq!(duration("1h 30m", SECOND, DAY).unwrap(), Duration::from_secs(5400));
        assert_eq!(duration("30 parsecs", SECOND, DAY).unwrap_err().what, "\"30 parsecs\" is not a duration");
        assert_eq!(duration("0s", SECOND, DAY).unwrap_err().what, "is zero");
        assert_eq!(duration("2days", SECOND, DAY).unwrap_err().instead, "write at most \"1day\"");
    }

    #[test]
    fn sizes_are_read_in_either_unit() {
        assert_eq!(size("64KiB", 1, 1 << 20).unwrap(), 65_536);
        assert_eq!(size("64 kB", 1, 1 << 20).unwrap(), 64_000);
        assert!(size("64 apples", 1, 1 << 20).is_err());
        assert!(size("2GiB", 1, 1 << 20).unwrap_err().instead.contains("1048576"));
    }

    #[test]
    fn a_listen_address_without_an_ip_is_corrected() {
        assert_eq!(listen(":8080").unwrap_err().instead, "write \"0.0.0.0:8080\"");
        assert_eq!(listen("localhost:80").unwrap_err().instead, "write \"127.0.0.1:80\"");
        assert_eq!(listen("8080").unwrap_err().instead, "write \"127.0.0.1:8080\" or \"0.0.0.0:8080\"");
        assert_eq!(listen("[::1]:80").unwrap().port(), 80);
    }

    #[test]
    fn nobody_trusts_the_whole_world() {
        assert!(network("0.0.0.0/0").is_err());
        assert!(network("::/0").is_err());
        assert_eq!(network("192.0.2.7").unwrap().to_string(), "192.0.2.7/32");
    }

    #[test]
    fn a_near_word_is_suggested_and_a_far_one_is_not() {
        assert_eq!(nearest("lsiten", ["listen", "workers"]), Some("listen"));
        assert_eq!(nearest("Client-Secret", ["client_id", "client_secret"]), Some("client_secret"));
        assert_eq!(nearest("zzz", ["listen", "workers"]), None);
    }
}
