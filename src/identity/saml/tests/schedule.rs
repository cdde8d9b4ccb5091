//! Metadata that is read again on a schedule: what it says next counts from then on, and what cannot be used changes
//! nothing. The hours pass as arguments.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::super::provider::{Accepted, Provider};
use super::super::setup::{Place, Setup, Source};
use super::super::trial::*;
use super::super::*;
use crate::clock::Timestamp;
use crate::http::client::script::{Reply, Script, reply};
use crate::http::path::LocalPath;
use crate::identity::oidc::UserTypes;
use crate::identity::xmldsig::{Sha1, encode};
use crate::identity::{self, Attempt, ProviderName, Secrets};

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;

fn setup(place: Place) -> Setup {
    let settings = settings();
    Setup {
        name: settings.name,
        entity_id: settings.entity_id,
        source: Source::Metadata { place, issuer: None },
        binding: settings.binding,
        key: settings.key,
        requests: settings.requests,
        reauthentication: settings.reauthentication,
        unsolicited: settings.unsolicited,
        organization: settings.organization,
        organizations: Vec::new(),
        user_types: UserTypes::Any,
        clock_skew: settings.clock_skew,
        sha1: Sha1::Refused,
        timeout: Duration::from_secs(5),
        ca: None,
    }
}

/// An org's metadata with these certificates.
fn metadata(issuer: &str, pairs: &[&Pair], more: &str) -> String {
    let key = |pair: &&Pair| {
        format!(
            "<md:KeyDescriptor use=\"signing\"><ds:KeyInfo xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"><ds:X509Data>\
             <ds:X509Certificate>{}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>",
            encode(pair.certificate.der())
        )
    };
    let keys: String = pairs.iter().map(key).collect();
    format!(
        "<md:EntityDescriptor xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\" entityID=\"{issuer}\"{more}>\
         <md:IDPSSODescriptor protocolSupportEnumeration=\"urn:oasis:names:tc:SAML:2.0:protocol\">{keys}\
         <md:SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect\" \
         Location=\"{issuer}/idp/endpoint/HttpRedirect\"/></md:IDPSSODescriptor></md:EntityDescriptor>"
    )
}

/// What the provider makes of an answer that `pair` signed.
fn comes_in(provider: &Provider, pair: &Pair) -> Result<Accepted, identity::Fault> {
    comes_in_at(provider, pair, NOW)
}

fn comes_in_at(provider: &Provider, pair: &Pair, now: Timestamp) -> Result<Accepted, identity::Fault> {
    let attempt = Attempt {
        state: "state".to_owned(),
        secrets: Secrets::Saml { request_id: ASKED.to_owned() },
        provider: ProviderName("salesforce".to_owned()),
        origin: "https://wiki.example.com".to_owned(),
        return_to: LocalPath::root(),
        started: NOW,
    };
    let response = encode(Draft::new().signed_by(pair, Signed::Both).as_bytes());
    provider.complete(Some(&attempt), &response, Some("state"), ACS, now)
}

#[track_caller]
fn believes(provider: &Provider, good: &[&Pair], bad: &[&Pair]) {
    for pair in good {
        comes_in(provider, pair).unwrap();
    }
    for pair in bad {
        let refused = comes_in(provider, pair).unwrap_err();
        assert!(
            matches!(&refused, identity::Fault::Saml(fault) if fault.reason == Reason::SignatureKey),
            "{refused:?}"
        );
    }
}

/// An address whose answer a test changes.
struct Org {
    script: Script,
    says: Arc<Mutex<Reply>>,
}

impl Org {
    async fn start(says: Reply) -> Self {
        let says = Arc::new(Mutex::new(says));
        let answer = Arc::clone(&says);
        Self { script: Script::start(move |_| answer.lock().unwrap().clone()).await, says }
    }

    fn says(&self, reply: Reply) {
        *self.says.lock().unwrap() = reply;
    }

    fn provider(&self) -> Provider {
        let url = format!("http://{}/.well-known/samlidp.xml", self.script.address());
        Provider::new(setup(Place::Address(url.parse().unwrap()))).unwrap()
    }

    fn asked(&self) -> usize {
        self.script.count("/.well-known/samlidp.xml")
    }
}

fn document(pairs: &[&Pair]) -> Reply {
    reply(200, "Content-Type: application/samlmetadata+xml\r\n", metadata(ISSUER, pairs, ""))
}

#[tokio::test]
async fn an_address_is_read_each_hour_and_a_certificate_comes_and_goes_with_it() {
    let (old, next) = (&*IDP, &*FORGER);
    let org = Org::start(document(&[old])).await;
    let provider = org.provider();
    assert!(comes_in(&provider, old).is_err(), "nothing was read yet");
    provider.warm(NOW).await.unwrap();
    believes(&provider, &[old], &[next]);
    // Both for a while, then the new one alone, as an administrator exchanges them.
    for (hour, says, good, bad) in [(1, &[old, next][..], &[old, next][..], &[][..]), (2, &[next], &[next], &[old])] {
        org.says(document(says));
        let before = org.asked();
        provider.warm(NOW.after(Duration::from_secs(hour * HOUR - 1))).await.unwrap();
        assert_eq!(org.asked(), before, "the hour has not passed");
        provider.warm(NOW.after(Duration::from_secs(hour * HOUR))).await.unwrap();
        assert_eq!(org.asked(), before + 1);
        believes(&provider, good, bad);
    }
}

#[tokio::test]
async fn what_cannot_be_used_changes_nothing_and_is_asked_for_again_in_a_minute() {
    let (old, next) = (&*IDP, &*FORGER);
    let org = Org::start(document(&[old])).await;
    let provider = org.provider();
    provider.warm(NOW).await.unwrap();
    let other = reply(200, "", metadata("https://evil.example", &[next], ""));
    let ended = reply(200, "", metadata(ISSUER, &[next], " validUntil=\"2020-01-01T00:00:00Z\""));
    let bare = reply(200, "", metadata(ISSUER, &[], ""));
    let moved = reply(302, "Location: /elsewhere\r\n", "");
    let broken =
        [reply(503, "", "later"), moved, reply(200, "", "<html>"), other, ended, bare, Reply::Bytes(Vec::new())];
    let mut now = NOW.after(Duration::from_secs(HOUR));
    for (asked, says) in broken.into_iter().enumerate() {
        org.says(says);
        provider.warm(now).await.unwrap();
        assert_eq!(org.script.asked().len(), 2 + asked, "asked for once, and nowhere else");
        believes(&provider, &[old], &[next]);
        now = now.after(Duration::from_secs(MINUTE));
    }
    org.says(document(&[next]));
    provider.warm(now).await.unwrap();
    believes(&provider, &[next], &[old]);
}

#[tokio::test]
async fn metadata_that_has_ended_lets_nobody_in() {
    let pair = &*IDP;
    let until = NOW.after(Duration::from_secs(100));
    let ending = metadata(ISSUER, &[pair], &format!(" validUntil=\"{}\"", write_time(until)));
    let org = Org::start(reply(200, "", ending)).await;
    let provider = org.provider();
    provider.warm(NOW).await.unwrap();
    comes_in_at(&provider, pair, Timestamp(until.0 - 1)).unwrap();
    let refused = comes_in_at(&provider, pair, until).unwrap_err();
    assert!(matches!(refused, identity::Fault::ProviderUnreachable(_)), "{refused:?}");
    assert!(provider.warm(until).await.is_err(), "it is read at once, not at the hour, and still says that it ended");
    assert_eq!(org.asked(), 2);
    org.says(document(&[pair]));
    provider.warm(until).await.unwrap();
    comes_in_at(&provider, pair, until).unwrap();
}

#[tokio::test]
async fn a_file_is_read_each_time_and_left_as_it_was_while_it_is_broken() {
    let (old, next) = (&*IDP, &*FORGER);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("org.xml");
    let write = |path: &Path, pairs: &[&Pair]| std::fs::write(path, metadata(ISSUER, pairs, "")).unwrap();
    write(&path, &[old]);
    let provider = Provider::new(setup(Place::File(path.clone()))).unwrap();
    provider.warm(NOW).await.unwrap();
    believes(&provider, &[old], &[next]);
    std::fs::write(&path, &metadata(ISSUER, &[next], "")[..300]).unwrap();
    provider.warm(NOW.after(Duration::from_secs(MINUTE))).await.unwrap();
    believes(&provider, &[old], &[next]);
    std::fs::remove_file(&path).unwrap();
    provider.warm(NOW.after(Duration::from_secs(2 * MINUTE))).await.unwrap();
    believes(&provider, &[old], &[next]);
    write(&path, &[next]);
    provider.warm(NOW.after(Duration::from_secs(3 * MINUTE))).await.unwrap();
    believes(&provider, &[next], &[old]);
}
