//! What a door shows and demands, and what it makes of files that change. Handshakes are rustls' own, in memory.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Error, HandshakeKind, ServerConnection, SignatureScheme};

use self::gullible::{Gullible, SCHEMES};
use super::*;

mod clients;
#[path = "../../../tests/it/gullible.rs"]
mod gullible;
mod orders;
mod reload;
mod revocation;

/// 2026-11-22.
const NOW: Timestamp = Timestamp(1_795_305_600);

/// A self-signed certificate and its key, in PEM.
pub(super) fn made_for(names: &[&str]) -> (String, String) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

pub(super) fn write(folder: &Path, name: &str, certificate: &str, key: &str) -> Files {
    let path = |end| folder.join(format!("{name}.{end}"));
    fs::write(path("crt"), certificate).unwrap();
    fs::write(path("key"), key).unwrap();
    Files { certificate: path("crt"), private_key: path("key") }
}

fn write_new(folder: &Path, name: &str, names: &[&str]) -> Files {
    let (certificate, key) = made_for(names);
    write(folder, name, &certificate, &key)
}

fn settings(pairs: Vec<Files>) -> Settings {
    Settings { pairs, ordered: None, clients: Clients::default(), min_version: MinVersion::default(), hsts: None }
}

fn open(settings: Settings) -> (Arc<Tls>, Reloader) {
    Tls::open(settings, Vec::new()).unwrap()
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn client(
    versions: &[&'static SupportedProtocolVersion],
    schemes: &[SignatureScheme],
    own: Option<Identity>,
) -> Client {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible(schemes.to_vec())));
    Client(match own {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    })
}

struct Client(ClientConfig);

impl Client {
    fn new() -> Self {
        client(&[&rustls::version::TLS13, &rustls::version::TLS12], &SCHEMES, None)
    }

    /// Shakes hands with the door, and takes what it sends afterwards: tickets, or an alert.
    fn meet(&self, tls: &Tls, name: &str) -> Result<Met, Error> {
        let (client, server) = shake(self.0.clone(), &tls.current().config, name)?;
        assert_eq!(client.handshake_kind(), server.handshake_kind());
        Ok(Met {
            certificate: client.peer_certificates().unwrap()[0].clone().into_owned(),
            kind: server.handshake_kind().unwrap(),
            shown: tls.current().shown(server.server_name()),
        })
    }

    fn sees(&self, tls: &Tls, name: &str) -> CertificateDer<'static> {
        self.meet(tls, name).unwrap().certificate
    }
}

/// What somebody is shown who asks for `name` and speaks `protocol`, and believes anything.
pub(super) fn shown_for(protocol: &[u8], server: &Arc<ServerConfig>, name: &str) -> Option<CertificateDer<'static>> {
    let mut client = Client::new().0;
    client.alpn_protocols = vec![protocol.to_vec()];
    let (client, _) = shake(client, server, name).ok()?;
    Some(client.peer_certificates()?.first()?.clone().into_owned())
}

fn shake(
    client: ClientConfig,
    server: &Arc<ServerConfig>,
    name: &str,
) -> Result<(ClientConnection, ServerConnection), Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    for _ in 0..8 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

struct Met {
    certificate: CertificateDer<'static>,
    kind: HandshakeKind,
    shown: Shown,
}

fn first_of(files: &Files) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(&files.certificate).unwrap()
}

#[test]
fn the_name_that_is_asked_for_chooses_the_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let files = [("a", ["wiki.example.com"]), ("b", ["*.example.com"]), ("c", ["ci.example.org"])];
    let files = files.map(|(file, names)| write_new(folder.path(), file, &names));
    let (tls, _) = open(settings(files.to_vec()));
    for (name, place) in [
        ("wiki.example.com", 0),
        ("WIKI.example.com", 0),
        ("grafana.example.com", 1),
        ("ci.example.org", 2),
        ("nobody.example.org", 0),
        ("192.0.2.7", 0),
    ] {
        let met = Client::new().meet(&tls, name).unwrap();
        assert_eq!((met.certificate, met.shown), (first_of(&files[place]), Shown(place)), "{name}");
    }
    let mut silent = Client::new();
    silent.0.enable_sni = false;
    assert_eq!(silent.sees(&tls, "ci.example.org"), first_of(&files[0]));
}

#[test]
fn a_name_with_two_kinds_of_keys_shows_the_kind_that_the_client_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let rsa = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let made = CertificateParams::new(["wiki.example.com".to_owned()]).unwrap().self_signed(&rsa).unwrap();
    let rsa = write(folder.path(), "rsa", &made.pem(), &rsa.serialize_pem());
    let ecdsa = write_new(folder.path(), "ecdsa", &["wiki.example.com"]);
    let (tls, _) = open(settings(vec![rsa.clone(), ecdsa.clone()]));
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        for (schemes, files) in [(&SCHEMES[..1], &ecdsa), (&SCHEMES[1..], &rsa), (&SCHEMES[..], &rsa)] {
            assert_eq!(
                client(&[version], schemes, None).sees(&tls, "wiki.example.com"),
                first_of(files),
                "{schemes:?}"
            );
        }
    }
}

#[test]
fn version_1_2_is_spoken_unless_1_3_is_the_oldest() {
    let folder = tempfile::tempdir().unwrap();
    let files = write_new(folder.path(), "a", &["localhost"]);
    let old = client(&[&rustls::version::TLS12], &SCHEMES, None);
    assert!(old.meet(&open(settings(vec![files.clone()])).0, "localhost").is_ok());
    let strict = Settings { min_version: MinVersion::Tls13, ..settings(vec![files]) };
    let (strict, _) = open(strict);
    assert!(matches!(old.meet(&strict, "localhost"), Err(Error::PeerIncompatible(_))));
    assert!(Client::new().meet(&strict, "localhost").is_ok());
}

#[test]
fn no_request_is_ever_taken_from_early_data() {
    let folder = tempfile::tempdir().unwrap();
    let (tls, _) = open(settings(vec![write_new(folder.path(), "a", &["localhost"])]));
    assert_eq!(tls.current().config.max_early_data_size, 0);
}

#[test]
fn a_client_that_comes_back_resumes_and_so_it_does_after_a_reload() {
    let folder = tempfile::tempdir().unwrap();
    let files = write_new(folder.path(), "a", &["localhost"]);
    let (tls, mut reloader) = open(settings(vec![files.clone()]));
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let client = client(&[version], &SCHEMES, None);
        assert_ne!(client.meet(&tls, "localhost").unwrap().kind, HandshakeKind::Resumed);
        assert_eq!(client.meet(&tls, "localhost").unwrap().kind, HandshakeKind::Resumed);
        write_new(folder.path(), "a", &["localhost"]);
        assert_eq!(reloader.look(Occasion::Time, NOW).len(), 1);
        assert_eq!(client.meet(&tls, "localhost").unwrap().kind, HandshakeKind::Resumed);
        assert_ne!(client.meet(&tls, "other.localhost").unwrap().kind, HandshakeKind::Resumed);
    }
}

#[test]
fn each_handshake_brings_one_ticket_and_none_where_certificates_are_demanded() {
    let folder = tempfile::tempdir().unwrap();
    let config = client(&[&rustls::version::TLS13], &SCHEMES, None).0;
    let (tls, _) = open(settings(vec![write_new(folder.path(), "a", &["localhost"])]));
    for _ in 0..3 {
        let (client, _) = shake(config.clone(), &tls.current().config, "localhost").unwrap();
        assert_eq!(client.tls13_tickets_received(), 1);
    }
    let (demanding, _) = open(demanding(folder.path(), &Authority::new("ours")));
    assert_eq!(demanding.current().config.send_tls13_tickets, 0);
}

#[test]
fn the_suites_that_browsers_prefer_are_chosen_and_the_others_spoken() {
    let folder = tempfile::tempdir().unwrap();
    let (tls, _) = open(settings(vec![write_new(folder.path(), "a", &["localhost"])]));
    let chosen = |version, offered: &dyn Fn(&str) -> bool| {
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites.retain(|suite| offered(&format!("{:?}", suite.suite())));
        let builder =
            ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&[version]).unwrap();
        let verifier = Arc::new(Gullible(SCHEMES.to_vec()));
        let config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        let (client, _) = shake(config, &tls.current().config, "localhost").unwrap();
        format!("{:?}", client.negotiated_cipher_suite().unwrap().suite())
    };
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let all = chosen(version, &|_| true);
        assert!(all.ends_with("AES_128_GCM_SHA256"), "{all}");
        for other in ["AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256"] {
            let one = chosen(version, &|suite| suite.ends_with(other));
            assert!(one.ends_with(other), "{one}");
        }
    }
}

#[test]
fn tickets_are_sealed_with_keys_that_are_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (tls, _) = open(settings(vec![write_new(folder.path(), "a", &["localhost"])]));
    let ticketer = Arc::clone(&tls.current().config.ticketer);
    assert!(ticketer.enabled());
    // rustls opens a ticket with the present and the last key, each in use for half of this.
    assert_eq!(ticketer.lifetime(), 12 * 60 * 60);
}

/// Somebody who signs certificates.
struct Authority(Issuer<'static, KeyPair>, String);

impl Authority {
    fn new(name: &str) -> Self {
        let mut wishes = CertificateParams::new(Vec::new()).unwrap();
        wishes.distinguished_name.push(DnType::CommonName, name);
        wishes.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = wishes.self_signed(&key).unwrap().pem();
        Self(Issuer::new(wishes, key), pem)
    }

    /// Another whom this one has made one, and the certificate that says so.
    fn below(&self, name: &str) -> (Self, Identity) {
        let mut wishes = CertificateParams::new(Vec::new()).unwrap();
        wishes.distinguished_name.push(DnType::CommonName, name);
        wishes.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = wishes.signed_by(&key, &self.0).unwrap();
        let identity = (vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap());
        (Self(Issuer::new(wishes, key), certificate.pem()), identity)
    }

    fn sign(&self, years: (i32, i32), purpose: ExtendedKeyUsagePurpose) -> Identity {
        let mut wishes = CertificateParams::new(["device".to_owned()]).unwrap();
        wishes.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        wishes.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        wishes.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        let certificate = wishes.signed_by(&key, &self.0).unwrap();
        (vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }
}

fn demanding(folder: &Path, authority: &Authority) -> Settings {
    let file = folder.join("ca.crt");
    fs::write(&file, &authority.1).unwrap();
    let clients = Clients { authorities: vec![file], ..Clients::default() };
    Settings { clients, ..settings(vec![write_new(folder, "a", &["localhost"])]) }
}

fn kept(change: &Change) -> bool {
    matches!(change.outcome, Outcome::Kept(_))
}

fn replaced(change: &Change) -> bool {
    matches!(change.outcome, Outcome::Shown { .. })
}
