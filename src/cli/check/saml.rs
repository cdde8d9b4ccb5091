//! What `portcullis check` says of a provider that speaks SAML.
//!
//! The values to enter are printed letter by letter as answers must have them: Salesforce copies them into every
//! answer, and the gateway compares. Certificates are looked at long before their end, because Salesforce's are
//! exchanged by hand. Called by `cli::check`.

use std::time::Duration;

use super::live::{Finding, date, failed, good, warning};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::identity::Entry;
use crate::identity::saml::provider::Provider;
use crate::identity::saml::setup::{Setup, Source};
use crate::identity::saml::{Binding, Organization, Requests, Unsolicited};
use crate::identity::xmldsig::{Certificate, Sha1};

/// When somebody should think of the next certificate.
const SOON: Duration = Duration::from_secs(30 * 86_400);

/// Where the provider is, for the summary.
pub(super) fn place(setup: &Setup) -> String {
    match &setup.source {
        Source::Pinned { issuer, .. } => format!("{issuer} (SAML)"),
        Source::Metadata { place, .. } => format!("{place} (SAML metadata)"),
    }
}

/// What to enter in Salesforce, by the words of its pages: name and value.
pub(super) fn entries(setup: &Setup, provider: &Entry, config: &Config) -> Vec<(&'static str, String)> {
    let mut entries = vec![("Entity Id", setup.entity_id.clone())];
    for (index, callback) in config.callbacks(provider).enumerate() {
        entries.push((if index == 0 { "ACS URL" } else { "" }, callback));
    }
    entries.push(("Start URL", start_url(setup)));
    entries.push(("Subject Type", "Username, or whatever single logout should name people by".to_owned()));
    entries.push(("Name ID Format", "as offered (unspecified)".to_owned()));
    entries.push((
        "Signing Algorithm for SAML Messages",
        match setup.sha1 {
            Sha1::Refused => "SHA256".to_owned(),
            Sha1::DangerouslyBelieved => "SHA256 (SHA1 is believed too, dangerously)".to_owned(),
        },
    ));
    let logs_out = match &setup.source {
        Source::Pinned { slo_url, .. } => slo_url.is_some(),
        Source::Metadata { .. } => setup.key.is_some(),
    };
    entries.push((
        "Verify Request Signatures",
        match (setup.requests, logs_out) {
            (Requests::Signed, _) => "on, with the certificate of request_certificate".to_owned(),
            // The certificate is uploaded there and nowhere else, and logout requests are always signed.
            (Requests::Unsigned, true) => {
                "on, with the certificate of request_certificate, for single logout; then write sign_requests = true"
                    .to_owned()
            }
            (Requests::Unsigned, false) => "off".to_owned(),
        },
    ));
    if logs_out {
        let origin = config.origins.first().map_or("", |origin| origin.as_str());
        let path = provider.paths().logout.unwrap_or_default();
        entries.push(("Single Logout URL", format!("{origin}{}{path}", config.prefix)));
        let binding = match setup.binding {
            Binding::Redirect => "HTTP Redirect",
            Binding::Post => "HTTP POST",
        };
        entries.push(("Single Logout Binding", binding.to_owned()));
    } else {
        entries.push(("Enable Single Logout", "off (there is no slo_url)".to_owned()));
    }
    if let Organization::Attribute(name) = &setup.organization {
        entries.push(("Custom Attribute", format!("{name}, with the value $Organization.Id")));
    }
    entries
}

fn start_url(setup: &Setup) -> String {
    match setup.unsolicited {
        Unsolicited::Refused => "empty, or the app's own address".to_owned(),
        Unsolicited::Accepted => "empty: people come in by the app's tile".to_owned(),
    }
}

/// Asks what the first sign-in would need: metadata, and certificates that will still be there tomorrow.
pub(super) async fn ask(setup: &Setup, now: Timestamp) -> Vec<Finding> {
    let name = &setup.name;
    let provider = match Provider::new(setup.clone()) {
        Ok(provider) => provider,
        Err(problem) => return vec![failed(format!("provider {name}: {problem}"))],
    };
    let mut findings = Vec::new();
    if let Source::Metadata { place, .. } = &setup.source {
        if let Err(problem) = provider.read(now).await {
            return vec![failed(format!("provider {name}: {problem}"))];
        }
        findings.push(good(format!("metadata: {place} was read")));
    }
    let settings = match provider.settings(now) {
        Ok(settings) => settings,
        Err(fault) => return vec![failed(format!("provider {name}: {fault}"))],
    };
    findings.push(good(format!("provider {name}: {} signs in at {}", settings.issuer, settings.sso_url)));
    findings.extend(certificates(&settings.certificates, now));
    if let Some(key) = &settings.key {
        let exchange = "make a new one and upload it to the app in Salesforce";
        findings.push(dates("request_certificate", &key.certificate, now, exchange).0);
    }
    findings
}

/// One that counts today is enough to sign in; each that ends soon is worth a word.
fn certificates(certificates: &[Certificate], now: Timestamp) -> Vec<Finding> {
    let exchange = "download Salesforce's next certificate and add it to certificate";
    let judge = |(index, certificate): (usize, &Certificate)| {
        dates(&format!("Salesforce's certificate {}", index + 1), certificate, now, exchange)
    };
    let (mut findings, counting): (Vec<Finding>, Vec<bool>) = certificates.iter().enumerate().map(judge).unzip();
    if !counting.contains(&true) {
        let text = "certificates: none of Salesforce's is valid today; it may already sign with another";
        findings.push(failed(text));
    }
    findings
}

/// What is to be said of a certificate's dates, and whether it is valid. Nobody is kept out by a date alone: the
/// key counts, and Salesforce signs with it until somebody exchanges it there.
fn dates(what: &str, certificate: &Certificate, now: Timestamp, then: &str) -> (Finding, bool) {
    let validity = certificate.validity();
    if now < validity.not_before {
        return (warning(format!("{what}: not valid before {}", date(validity.not_before))), false);
    }
    if now > validity.not_after {
        return (warning(format!("{what}: ended on {}: {then}", date(validity.not_after))), false);
    }
    let left = validity.not_after.since(now);
    let text = format!("{what}: valid until {} ({} days)", date(validity.not_after), left.as_secs() / 86_400);
    (if left < SOON { warning(format!("{text}: {then}")) } else { good(text) }, true)
}

#[cfg(test)]
mod tests {
    use super::super::live::Outcome;
    use super::*;

    /// 2026-01-01.
    const NOW: Timestamp = Timestamp(1_767_225_600);

    fn certificate(begins: (i32, u8, u8), ends: (i32, u8, u8)) -> Certificate {
        let mut parameters = rcgen::CertificateParams::new(["org.example".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(begins.0, begins.1, begins.2);
        parameters.not_after = rcgen::date_time_ymd(ends.0, ends.1, ends.2);
        let key = rcgen::KeyPair::generate().unwrap();
        Certificate::from_der(parameters.self_signed(&key).unwrap().der()).unwrap()
    }

    fn outcomes(made: &[Certificate]) -> Vec<Outcome> {
        certificates(made, NOW).iter().map(|finding| finding.outcome).collect()
    }

    /// What is to be ticked for a provider with these lines.
    fn verify_request_signatures(lines: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let made = rcgen::CertificateParams::new(["org.example".to_owned()]).unwrap().self_signed(&key).unwrap();
        std::fs::write(directory.path().join("org.crt"), made.pem()).unwrap();
        std::fs::write(directory.path().join("ours.key"), key.serialize_pem()).unwrap();
        let text = format!(
            "public_url = \"https://wiki.example.com\"\n[provider.sf]\nprotocol = \"saml\"\n\
             issuer = \"https://acme.example\"\nsso_url = \"https://acme.example/idp/endpoint/HttpRedirect\"\n\
             certificate = \"org.crt\"\norganization = \"00D5g00000ABCDE\"\nrequest_key = {{ file = \"ours.key\" }}\n\
             request_certificate = \"org.crt\"\n{lines}\n[[route]]\nupstream = \"http://127.0.0.1:3000\"\n"
        );
        let origin = directory.path().join("gateway.toml").display().to_string();
        let config = crate::config::file::read(&text, &origin, &[]).unwrap_or_else(|problems| panic!("{problems}"));
        let provider = &config.providers[0];
        let crate::identity::Settings::Saml(setup) = &provider.settings else { panic!("another protocol") };
        let entries = entries(setup, provider, &config);
        entries.into_iter().find(|(name, _)| *name == "Verify Request Signatures").unwrap().1
    }

    #[test]
    fn single_logout_needs_our_certificate_at_the_org_as_signed_requests_do() {
        let (signed, slo) = ("sign_requests = true", "slo_url = \"https://acme.example/logout\"");
        assert_eq!(verify_request_signatures(""), "off");
        let on = "on, with the certificate of request_certificate";
        assert_eq!(verify_request_signatures(signed), on);
        assert_eq!(verify_request_signatures(&format!("{signed}\n{slo}")), on);
        let logout = verify_request_signatures(slo);
        assert!(logout.starts_with(on) && logout.contains("single logout"), "{logout}");
        assert!(logout.ends_with("sign_requests = true"), "unsigned questions are refused then: {logout}");
    }

    #[test]
    fn a_certificate_is_warned_of_a_month_before_it_ends() {
        let begins = (2025, 1, 1);
        assert_eq!(outcomes(&[certificate(begins, (2026, 2, 5))]), [Outcome::Good]);
        assert_eq!(outcomes(&[certificate(begins, (2026, 1, 30))]), [Outcome::Warning]);
    }

    #[test]
    fn none_that_is_valid_fails_and_one_of_two_does_not() {
        let (old, next) = (certificate((2024, 1, 1), (2025, 1, 1)), certificate((2026, 6, 1), (2027, 6, 1)));
        assert_eq!(outcomes(&[old.clone(), next.clone()]), [Outcome::Warning, Outcome::Warning, Outcome::Failed]);
        let sound = certificate((2025, 6, 1), (2026, 6, 1));
        assert_eq!(outcomes(&[old, sound, next]), [Outcome::Warning, Outcome::Good, Outcome::Warning]);
    }
}
