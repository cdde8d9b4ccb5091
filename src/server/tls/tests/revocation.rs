//! Client certificates that are no longer good, and lists that cannot say so.

use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};

use super::*;

const CLIENT: ExtendedKeyUsagePurpose = ExtendedKeyUsagePurpose::ClientAuth;

fn good(authority: &Authority) -> Identity {
    authority.sign((2020, 2090), CLIENT)
}

/// A list of these, with an end.
fn list(authority: &Authority, revoked: &[&Identity], until: i32) -> rcgen::CertificateRevocationList {
    let number = |identity: &&Identity| {
        let fields = crate::x509::read(&identity.0[0]).unwrap();
        SerialNumber::from_slice(fields.serial)
    };
    let entry = |identity| RevokedCertParams {
        serial_number: number(identity),
        revocation_time: rcgen::date_time_ymd(2021, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let wishes = CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2021, 1, 1),
        next_update: rcgen::date_time_ymd(until, 1, 1),
        crl_number: SerialNumber::from_slice(&[1]),
        issuing_distribution_point: None,
        revoked_certs: revoked.iter().map(entry).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    wishes.signed_by(&authority.0).unwrap()
}

fn pem(authority: &Authority, revoked: &[&Identity], until: i32) -> String {
    list(authority, revoked, until).pem().unwrap()
}

/// A door that demands certificates of this authority, and looks them up in `lists.crl`.
fn looking_up(folder: &Path, authority: &Authority, lists: impl AsRef<[u8]>) -> Settings {
    let file = folder.join("lists.crl");
    fs::write(&file, lists).unwrap();
    let mut settings = demanding(folder, authority);
    settings.clients.revocations = vec![file];
    settings
}

fn cloned(identity: &Identity) -> Identity {
    (identity.0.clone(), identity.1.clone_key())
}

/// Why this client is refused by every version.
fn fault(tls: &Tls, identity: &Identity) -> Option<ClientFault> {
    let meet = |version| client(&[version], &SCHEMES, Some(cloned(identity))).meet(tls, "localhost");
    let fault = |version| {
        let refused = meet(version).err()?;
        Some(ClientFault::of(&io::Error::new(io::ErrorKind::InvalidData, refused)).expect("a certificate's fault"))
    };
    let faults = [&rustls::version::TLS13, &rustls::version::TLS12].map(fault);
    assert_eq!(faults[0], faults[1]);
    faults[0]
}

#[test]
fn a_revoked_certificate_is_refused_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new("ours");
    let (lost, kept) = (good(&ours), good(&ours));
    let made = list(&ours, &[&lost], 2090);
    for lists in [made.der().to_vec(), made.pem().unwrap().into_bytes()] {
        let (tls, _) = open(looking_up(folder.path(), &ours, lists));
        assert_eq!((fault(&tls, &lost), fault(&tls, &kept)), (Some(ClientFault::Revoked), None));
    }
}

#[test]
fn who_shows_none_may_still_come_where_it_is_optional() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new("ours");
    let lost = good(&ours);
    let mut settings = looking_up(folder.path(), &ours, pem(&ours, &[&lost], 2090));
    settings.clients.demand = Demand::Optional;
    let (tls, _) = open(settings);
    assert!(Client::new().meet(&tls, "localhost").is_ok());
    assert_eq!(fault(&tls, &lost), Some(ClientFault::Revoked));
}

#[test]
fn a_list_that_says_nothing_of_an_authority_lets_nobody_in() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs, forged) = (Authority::new("ours"), Authority::new("theirs"), Authority::new("ours"));
    let good = good(&ours);
    for (lists, refused) in [
        (pem(&theirs, &[], 2090), ClientFault::UnknownStatus),
        (pem(&forged, &[], 2090), ClientFault::UnknownStatus),
        (pem(&ours, &[], 2022), ClientFault::EndedList),
    ] {
        let (tls, _) = open(looking_up(folder.path(), &ours, lists));
        assert_eq!(fault(&tls, &good), Some(refused));
    }
    let settings = looking_up(folder.path(), &ours, pem(&theirs, &[], 2090));
    assert_eq!(settings.clients.read().unwrap().lacking, ["CN=ours"]);
    let both = pem(&theirs, &[], 2090) + &pem(&ours, &[], 2090);
    let settings = looking_up(folder.path(), &ours, both);
    assert!(settings.clients.read().unwrap().lacking.is_empty());
    assert_eq!(fault(&open(settings).0, &good), None);
}

#[test]
fn every_certificate_of_a_chain_is_looked_up() {
    let folder = tempfile::tempdir().unwrap();
    let root = Authority::new("root");
    let (middle, between) = root.below("between");
    let mut device = good(&middle);
    device.0.extend(between.0.clone());
    let tls = |lists: String| open(looking_up(folder.path(), &root, lists)).0;
    let all = pem(&root, &[], 2090) + &pem(&middle, &[], 2090);
    assert_eq!(fault(&tls(all), &device), None);
    let revoked = pem(&root, &[&between], 2090) + &pem(&middle, &[], 2090);
    assert_eq!(fault(&tls(revoked), &device), Some(ClientFault::Revoked));
    assert_eq!(fault(&tls(pem(&root, &[], 2090)), &device), Some(ClientFault::UnknownStatus));
    assert_eq!(fault(&tls(pem(&middle, &[], 2090)), &device), Some(ClientFault::UnknownStatus));
}

#[test]
fn a_new_list_holds_from_the_next_look_on() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new("ours");
    let lost = good(&ours);
    let (tls, mut reloader) = open(looking_up(folder.path(), &ours, pem(&ours, &[], 2090)));
    assert!((0..3).all(|_| reloader.look(Occasion::Time, NOW).is_empty()));
    assert_eq!(fault(&tls, &lost), None);
    fs::write(folder.path().join("lists.crl"), pem(&ours, &[&lost], 2080)).unwrap();
    let changes = reloader.look(Occasion::Time, NOW);
    assert!(matches!(changes[..], [Change { outcome: Outcome::Trusted(1, 1), .. }]), "{changes:?}");
    assert_eq!(fault(&tls, &lost), Some(ClientFault::Revoked));
    let until = u64::try_from(rcgen::date_time_ymd(2080, 1, 1).unix_timestamp()).unwrap();
    assert_eq!(tls.list_ends()[..], [(folder.path().join("lists.crl"), Timestamp(until))]);
}

#[test]
fn a_bad_list_keeps_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new("ours");
    let lost = good(&ours);
    let lists = folder.path().join("lists.crl");
    let (tls, mut reloader) = open(looking_up(folder.path(), &ours, pem(&ours, &[&lost], 2090)));
    let broken = pem(&ours, &[], 2090).replace("-----END", "");
    let ended = pem(&ours, &[], 2022);
    // Only the first would be looked at, and whoever is on the second let in.
    let two = pem(&ours, &[], 2090) + &pem(&ours, &[&lost], 2090);
    let none = "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n";
    for bad in ["", "nonsense", none, &ours.1, &broken, &ended, &two] {
        fs::write(&lists, bad).unwrap();
        let told: Vec<_> = (0..4).flat_map(|_| reloader.look(Occasion::Time, NOW)).collect();
        assert!(told.len() == 1 && kept(&told[0]), "{bad}: {told:?}");
        let Outcome::Kept(problem) = &told[0].outcome else { panic!() };
        assert!(problem.file() == lists && problem.to_string().contains("lists.crl"), "{problem}");
        assert_eq!(fault(&tls, &lost), Some(ClientFault::Revoked), "{bad}");
    }
    fs::remove_file(&lists).unwrap();
    let told: Vec<_> = (0..4).flat_map(|_| reloader.look(Occasion::Time, NOW)).collect();
    assert!(told.len() == 1 && kept(&told[0]), "{told:?}");
    assert_eq!(fault(&tls, &lost), Some(ClientFault::Revoked));
}

#[test]
fn that_a_list_has_ended_is_told_once_and_to_whoever_asks() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new("ours");
    let (_, mut reloader) = open(looking_up(folder.path(), &ours, pem(&ours, &[], 2030)));
    let end = Timestamp(u64::try_from(rcgen::date_time_ymd(2030, 1, 1).unix_timestamp()).unwrap());
    let before = Timestamp(end.0 - 1);
    assert!((0..3).all(|_| reloader.look(Occasion::Time, before).is_empty()));
    let ended = |changes: &[Change]| {
        let is_it = |change: &Change| matches!(change.outcome, Outcome::ListEnded(then) if then == end);
        changes.iter().filter(|change| is_it(change) && change.file.ends_with("lists.crl")).count()
    };
    let told: Vec<_> = (0..4).flat_map(|_| reloader.look(Occasion::Time, end)).collect();
    assert_eq!((told.len(), ended(&told)), (1, 1), "{told:?}");
    assert_eq!(ended(&reloader.look(Occasion::Asked, end)), 1);
    // Better an ended one of today than one of last year: nothing good is lost by it.
    fs::write(folder.path().join("lists.crl"), pem(&ours, &[], 2029)).unwrap();
    let told: Vec<_> = (0..4).flat_map(|_| reloader.look(Occasion::Time, end)).collect();
    assert!(matches!(told[0].outcome, Outcome::Trusted(1, 1)), "{told:?}");
}
