//! The dates and names of the certificates that the gateway will show.
//!
//! They stand in the files that the configuration names, so every check judges them, not only a live one. Called by
//! `cli::check`.

use std::path::PathBuf;
use std::time::Duration;

use super::live::{Finding, date, failed, good, warning};
use crate::clock::Timestamp;
use crate::http::origin::Origin;
use crate::server::tls::acme::{Folder, due};
use crate::server::tls::{Clients, Files, Pair, Settings, Source, Validity};

/// Certificates are renewed before their last weeks.
const SOON: Duration = Duration::from_secs(30 * 86_400);

/// Every certificate's dates, and every public host that none of them was made for.
pub(super) fn judge(tls: &Settings, origins: &[Origin], now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (mut pairs, mut ordered) = (Vec::new(), Vec::new());
    for Source { files, ordered_for } in tls.sources() {
        if let Some(host) = ordered_for {
            findings.push(order(tls, &host, now));
            ordered.push(host);
            continue;
        }
        match files.load() {
            Ok(pair) => {
                findings.extend(dates(&files, &pair, now));
                pairs.push(pair);
            }
            Err(problem) => findings.push(failed(format!("certificate {problem}"))),
        }
    }
    for host in origins.iter().map(Origin::host) {
        if !ordered.iter().any(|name| name == host) && !pairs.iter().any(|pair| pair.covers(host)) {
            findings.push(failed(format!("certificates: none was made for {host}: browsers will warn of it")));
        }
    }
    findings.extend(revocations(&tls.clients, now));
    findings
}

/// Until when the lists of client certificates that are no longer good are believed.
fn revocations(clients: &Clients, now: Timestamp) -> Vec<Finding> {
    let ends = match clients.read() {
        Ok(found) => found.ends,
        Err(problem) => return vec![failed(format!("client certificates: {problem}"))],
    };
    let judge = |(file, end): (PathBuf, Timestamp)| {
        let (file, until) = (file.display(), date(end));
        if end <= now {
            failed(format!("revocation list {file}: ended on {until}: clients of its authority are refused"))
        } else {
            good(format!("revocation list {file}: holds until {until}"))
        }
    };
    ends.into_iter().map(judge).collect()
}

/// What a start would make of a host whose certificate is ordered.
fn order(tls: &Settings, host: &str, now: Timestamp) -> Finding {
    let Some(settings) = &tls.ordered else { return failed(format!("certificate for {host}: nobody orders it")) };
    let directory = &settings.directory;
    let Some(pair) = Folder::of(settings).kept(host) else {
        return good(format!("certificate for {host}: none yet, and one is ordered at the start from {directory}"));
    };
    let Some(validity) = pair.validity() else { return failed(format!("certificate for {host}: it has no dates")) };
    let until = date(validity.not_after);
    if validity.not_after < now {
        warning(format!("certificate for {host}: ended on {until}, and one is ordered at the start from {directory}"))
    } else if due(&pair) <= now {
        good(format!("certificate for {host}: valid until {until}, and renewed at the start from {directory}"))
    } else {
        good(format!("certificate for {host}: valid until {until}, and renewed on {}", date(due(&pair))))
    }
}

fn dates(files: &Files, pair: &Pair, now: Timestamp) -> Vec<Finding> {
    let file = files.certificate.display();
    let judge = |(place, validity): (usize, &Validity)| {
        let which = match place {
            0 if pair.names().is_empty() => format!("certificate {file}"),
            0 => format!("certificate {file} for {}", pair.names().join(", ")),
            place => format!("certificate {file}, number {}", place + 1),
        };
        if now < validity.not_before {
            return failed(format!("{which}: not valid before {}", date(validity.not_before)));
        }
        if now > validity.not_after {
            return failed(format!("{which}: ended on {}", date(validity.not_after)));
        }
        let left = validity.not_after.since(now);
        let text = format!("{which}: valid until {} ({} days)", date(validity.not_after), left.as_secs() / 86_400);
        if left < SOON { warning(format!("{text}: renew it")) } else { good(text) }
    };
    pair.chain().iter().enumerate().map(judge).collect()
}

#[cfg(test)]
mod tests {
    use super::super::live::Outcome;
    use super::*;
    use crate::server::tls::{MinVersion, acme};

    /// 2026-01-01.
    const NOW: Timestamp = Timestamp(1_767_225_600);

    type Date = (i32, u8, u8);

    fn findings(certificates: &[(&str, Date, Date)]) -> Vec<Finding> {
        let directory = tempfile::tempdir().unwrap();
        let pair = |(place, (host, begins, ends)): (usize, &(&str, Date, Date))| {
            let mut parameters = rcgen::CertificateParams::new([(*host).to_owned()]).unwrap();
            parameters.not_before = rcgen::date_time_ymd(begins.0, begins.1, begins.2);
            parameters.not_after = rcgen::date_time_ymd(ends.0, ends.1, ends.2);
            let key = rcgen::KeyPair::generate().unwrap();
            let path = |end| directory.path().join(format!("{place}.{end}"));
            std::fs::write(path("crt"), parameters.self_signed(&key).unwrap().pem()).unwrap();
            std::fs::write(path("key"), key.serialize_pem()).unwrap();
            Files { certificate: path("crt"), private_key: path("key") }
        };
        let pairs = certificates.iter().enumerate().map(pair).collect();
        let min_version = MinVersion::default();
        let tls = Settings { pairs, ordered: None, clients: Clients::default(), min_version, hsts: None };
        let origins = ["https://wiki.example.com:8443", "https://192.0.2.7"].map(|text| Origin::parse(text).unwrap());
        judge(&tls, &origins, NOW)
    }

    #[test]
    fn until_when_revocation_lists_hold_is_judged() {
        let folder = tempfile::tempdir().unwrap();
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let (authority, file) = (folder.path().join("ca.crt"), folder.path().join("lists.crl"));
        std::fs::write(&authority, parameters.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = rcgen::Issuer::new(parameters, key);
        let clients = Clients { authorities: vec![authority], revocations: vec![file.clone()], ..Clients::default() };
        for (until, outcome, word) in
            [(2027, Outcome::Good, "holds until 2027-01-01"), (2026, Outcome::Failed, "refused")]
        {
            let list = rcgen::CertificateRevocationListParams {
                this_update: rcgen::date_time_ymd(2025, 1, 1),
                next_update: rcgen::date_time_ymd(until, 1, 1),
                crl_number: rcgen::SerialNumber::from_slice(&[1]),
                issuing_distribution_point: None,
                revoked_certs: Vec::new(),
                key_identifier_method: rcgen::KeyIdMethod::Sha256,
            };
            std::fs::write(&file, list.signed_by(&issuer).unwrap().der()).unwrap();
            let findings = revocations(&clients, NOW);
            let words = findings[0].to_string();
            assert!(findings.len() == 1 && findings[0].outcome == outcome && words.contains(word), "{words}");
        }
        std::fs::write(&file, "nonsense").unwrap();
        assert_eq!(revocations(&clients, NOW)[0].outcome, Outcome::Failed);
        assert!(revocations(&Clients::default(), NOW).is_empty());
    }

    #[test]
    fn what_would_be_ordered_is_said_and_what_is_kept_is_judged() {
        let folder = tempfile::tempdir().unwrap();
        let host = "wiki.example.com";
        let ordered = acme::Settings {
            directory: "https://acme.example/directory".to_owned(),
            contact: Vec::new(),
            names: vec![host.to_owned()],
            folder: folder.path().to_owned(),
            ca: None,
            proof: acme::Proof::default(),
        };
        let files = Folder::of(&ordered).files(host).certificate;
        let min_version = MinVersion::default();
        let ordered = Some(ordered);
        let tls = Settings { pairs: Vec::new(), ordered, clients: Clients::default(), min_version, hsts: None };
        let origins = [Origin::parse("https://wiki.example.com").unwrap()];
        let told = || {
            let findings = judge(&tls, &origins, NOW);
            assert_eq!(findings.len(), 1);
            (findings[0].outcome, findings[0].to_string())
        };
        let (outcome, words) = told();
        assert!(outcome == Outcome::Good && words.contains("ordered at the start from https://acme.ex"), "{words}");
        std::fs::create_dir(files.parent().unwrap()).unwrap();
        let keep = |begins: Date, ends: Date| {
            let mut parameters = rcgen::CertificateParams::new([host.to_owned()]).unwrap();
            parameters.not_before = rcgen::date_time_ymd(begins.0, begins.1, begins.2);
            parameters.not_after = rcgen::date_time_ymd(ends.0, ends.1, ends.2);
            let key = rcgen::KeyPair::generate().unwrap();
            let pem = format!("{}{}", key.serialize_pem(), parameters.self_signed(&key).unwrap().pem());
            std::fs::write(&files, pem).unwrap();
        };
        for (begins, ends, outcome, word) in [
            ((2025, 12, 1), (2026, 3, 1), Outcome::Good, "renewed on 2026-01-"),
            ((2025, 10, 10), (2026, 1, 8), Outcome::Good, "renewed at the start"),
            ((2025, 10, 1), (2025, 12, 30), Outcome::Warning, "ended on 2025-12-30"),
        ] {
            keep(begins, ends);
            let (told, words) = told();
            assert!(told == outcome && words.contains(word), "{words}");
        }
    }

    fn outcomes(certificates: &[(&str, Date, Date)]) -> Vec<Outcome> {
        findings(certificates).iter().map(|finding| finding.outcome).collect()
    }

    #[test]
    fn a_certificate_is_judged_by_its_dates() {
        let address = ("192.0.2.7", (2025, 1, 1), (2027, 1, 1));
        let of = |begins, ends| outcomes(&[("wiki.example.com", begins, ends), address])[0];
        assert_eq!(of((2025, 1, 1), (2027, 1, 1)), Outcome::Good);
        assert_eq!(of((2025, 1, 1), (2026, 2, 1)), Outcome::Good);
        assert_eq!(of((2025, 1, 1), (2026, 1, 30)), Outcome::Warning);
        assert_eq!(of((2025, 1, 1), (2025, 12, 31)), Outcome::Failed);
        assert_eq!(of((2026, 1, 2), (2027, 1, 1)), Outcome::Failed);
    }

    #[test]
    fn a_host_that_no_certificate_covers_is_named() {
        let (begins, ends) = ((2025, 1, 1), (2027, 1, 1));
        let found = findings(&[("*.example.com", begins, ends), ("ci.example.org", begins, ends)]);
        let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 3, "{texts:?}");
        assert!(texts[0].contains("for *.example.com: valid until 2027-01-01 (365 days)"), "{texts:?}");
        assert!(texts[2].starts_with("FAIL  certificates: none was made for 192.0.2.7"), "{texts:?}");
    }
}
