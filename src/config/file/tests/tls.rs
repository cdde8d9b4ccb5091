//! `[tls]`: certificates that are given.

use super::*;

#[test]
fn tls_needs_both_files_and_https() {
    let https = top("public_url = \"https://localhost\"");
    let missing = problems_with(&format!("{https}[tls]\ncertificate = \"/nowhere/a.crt\"\n"), &[]);
    assert_eq!(missing.keys().collect::<Vec<_>>(), ["tls.private_key", "tls.certificate"], "{missing}");
    let (one, other) = (files(), files());
    let tls = |certificate: &Path, key: &Path| format!("[tls]\ncertificate = {certificate:?}\nprivate_key = {key:?}\n");
    let sound = tls(&one.path().join("crt"), &one.path().join("key"));
    assert_eq!(good(&format!("{https}{sound}")).server.tls.unwrap().pairs[0].private_key, one.path().join("key"));
    assert_eq!(good(&format!("{https}{sound}")).server.listen.list, [tcp("0.0.0.0:443")]);
    let mismatched = tls(&one.path().join("crt"), &other.path().join("key"));
    let problems = problems_with(&format!("{https}{mismatched}"), &[]);
    assert_eq!(problems.keys().collect::<Vec<_>>(), ["tls.private_key"], "{problems}");
    assert!(problems.0[0].wrong.contains("does not belong to"), "{problems}");
    let swapped = tls(&one.path().join("key"), &one.path().join("crt"));
    let problems = problems_with(&format!("{https}{swapped}"), &[]);
    assert_eq!(problems.keys().collect::<Vec<_>>(), ["tls.certificate"], "{problems}");
    complaint(&and(&sound), "public_url");
}

#[test]
fn further_certificates_are_tables_of_their_own() {
    let (one, other) = (files(), files());
    let more = format!("[[tls.more]]\n{}[[tls.more]]\n{}", pair(other.path()), pair(one.path()));
    let pairs = good(&tls(one.path(), "", &more)).server.tls.unwrap().pairs;
    let folders: Vec<_> = pairs.iter().map(|files| files.certificate.parent().unwrap()).collect();
    assert_eq!(folders, [one.path(), other.path(), one.path()]);
    let wrong = |tables: &str, key: &str| complaint(&tls(one.path(), "", tables), key);
    wrong(&format!("[[tls.more]]\nprivate_key = {:?}\n", other.path().join("key")), "tls.more[1].certificate");
    wrong(&format!("[[tls.more]]\ncertificate = {:?}\n", other.path().join("crt")), "tls.more[1].private_key");
    wrong(&format!("[[tls.more]]\n{}zzz = 1\n", pair(other.path())), "tls.more[1].zzz");
    wrong("[tls.more]\ncertificate = \"/x\"\n", "tls.more");
    let mixed = format!(
        "[[tls.more]]\ncertificate = {:?}\nprivate_key = {:?}\n",
        one.path().join("crt"),
        other.path().join("key")
    );
    assert!(wrong(&mixed, "tls.more[1].private_key").wrong.contains("does not belong to"));
}

#[test]
fn further_certificates_and_routes_can_both_come_from_the_environment() {
    let (one, other) = (files(), files());
    let more =
        format!("[{{ certificate = {:?}, private_key = {:?} }}]", other.path().join("crt"), other.path().join("key"));
    let routes = "[{ upstream = \"http://127.0.0.1:7\" }, { upstream = \"http://127.0.0.1:8\", path = \"/b\" }]";
    let config = good_with(&tls(one.path(), "", ""), &[("PORTCULLIS_ROUTE", routes), ("PORTCULLIS_TLS__MORE", &more)]);
    assert_eq!(config.routes.len(), 2);
    assert_eq!(config.server.tls.unwrap().pairs[1].certificate, other.path().join("crt"));
}

#[test]
fn what_clients_have_to_show_and_what_browsers_are_told_is_checked() {
    let folder = files();
    let settings = |lines: &str| good(&tls(folder.path(), lines, "")).server.tls.unwrap();
    let wrong = |lines: &str, key: &str| complaint(&tls(folder.path(), lines, ""), key);
    assert_eq!((settings("").min_version, settings("").hsts), (MinVersion::Tls12, None));
    assert_eq!(settings("min_version = \"1.3\"").min_version, MinVersion::Tls13);
    assert!(wrong("min_version = \"1.1\"", "tls.min_version").wrong.contains("RFC 8996"));
    wrong("min_version = \"1.4\"", "tls.min_version");
    wrong("min_version = 1.3", "tls.min_version");
    assert_eq!(settings("hsts = \"1day\"").hsts, Some(Duration::from_secs(86_400)));
    assert_eq!(settings("hsts = \"off\"").hsts, None);
    for odd in ["hsts = \"0s\"", "hsts = \"1s\"", "hsts = \"100y\"", "hsts = \"on\"", "hsts = true"] {
        wrong(odd, "tls.hsts");
    }
    let notes = good(&tls(folder.path(), "hsts = \"1y\"", "")).notes;
    assert!(notes.iter().any(|note| note.contains("every port of this machine")), "{notes:?}");
    let (certificate, key, empty) = (folder.path().join("crt"), folder.path().join("key"), folder.path().join("empty"));
    std::fs::write(&empty, "").unwrap();
    assert!(settings("").clients.authorities.is_empty());
    assert_eq!(
        settings(&format!("client_ca = {certificate:?}")).clients.authorities,
        std::slice::from_ref(&certificate)
    );
    assert_eq!(settings(&format!("client_ca = [{certificate:?}, {certificate:?}]")).clients.authorities.len(), 2);
    wrong(&format!("client_ca = {key:?}"), "tls.client_ca");
    wrong(&format!("client_ca = {empty:?}"), "tls.client_ca");
    wrong("client_ca = \"/nowhere\"", "tls.client_ca");
    wrong("client_ca = []", "tls.client_ca");
    let asked = format!("client_ca = {certificate:?}\n");
    assert_eq!(settings(&asked).clients.demand, Demand::Required);
    assert_eq!(settings(&format!("{asked}client_certificate = \"optional\"")).clients.demand, Demand::Optional);
    wrong(&format!("{asked}client_certificate = \"off\""), "tls.client_certificate");
    let nobody = wrong("client_certificate = \"optional\"", "tls.client_certificate");
    assert!(nobody.wrong.contains("client_ca is missing"), "{nobody}");
    let made = rcgen::CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2021, 1, 1),
        next_update: rcgen::date_time_ymd(2090, 1, 1),
        crl_number: rcgen::SerialNumber::from_slice(&[1]),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    let mut signer = rcgen::CertificateParams::default();
    signer.distinguished_name.push(rcgen::DnType::CommonName, "somebody else");
    let signer = rcgen::Issuer::new(signer, rcgen::KeyPair::generate().unwrap());
    let list = folder.path().join("list");
    std::fs::write(&list, made.signed_by(&signer).unwrap().pem().unwrap()).unwrap();
    let looked_up = settings(&format!("{asked}client_crl = [{list:?}]"));
    assert_eq!(looked_up.clients.revocations, std::slice::from_ref(&list));
    let notes = good(&tls(folder.path(), &format!("{asked}client_crl = {list:?}"), "")).notes;
    assert!(notes.iter().any(|note| note.contains("no list of CN=rcgen self signed cert")), "{notes:?}");
    for bad in [&key, &certificate, &empty] {
        wrong(&format!("{asked}client_crl = {bad:?}"), "tls.client_crl");
    }
    wrong(&format!("{asked}client_crl = []"), "tls.client_crl");
    wrong(&format!("{asked}client_crl = \"/nowhere\""), "tls.client_crl");
    assert!(wrong(&format!("client_crl = {list:?}"), "tls.client_crl").wrong.contains("client_ca is missing"));
    let told = "[headers.custom]\nX-Device = \"client_certificate.subject\"\n";
    let device = good(&tls(folder.path(), &asked, told)).headers.custom;
    assert_eq!(device, [(HeaderName::from_static("x-device"), Source::Certificate(Part::Subject))]);
    let unasked = complaint(&tls(folder.path(), "", told), "headers.custom.X-Device");
    assert!(unasked.instead.contains("tls.client_ca"), "{unasked}");
    let typo = "[headers.custom]\nX-Device = \"client_certificate.subjet\"\n";
    let typo = complaint(&tls(folder.path(), &asked, typo), "headers.custom.X-Device");
    assert!(typo.instead.contains("client_certificate.subject"), "{typo}");
    let silent = problems_with(&tls(folder.path(), "", ""), &[("PORTCULLIS_TLS__CLIENT_CA", "")]);
    assert_eq!(silent.keys().collect::<Vec<_>>(), ["tls.client_ca"], "{silent}");
}
