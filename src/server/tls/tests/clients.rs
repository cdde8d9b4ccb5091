//! Certificates that are demanded of clients.

use super::*;

#[test]
fn a_client_certificate_is_demanded_and_each_refusal_has_its_cause() {
    use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new("first"), Authority::new("second"));
    let (tls, _) = open(demanding(folder.path(), &ours));
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let meet = |own| client(&[version], &SCHEMES, own).meet(&tls, "localhost");
        let fault = |own| ClientFault::of(&io::Error::new(io::ErrorKind::InvalidData, meet(own).err().unwrap()));
        assert_eq!(fault(None), Some(ClientFault::Missing));
        assert_eq!(fault(Some(theirs.sign((2020, 2090), ClientAuth))), Some(ClientFault::UnknownIssuer));
        assert_eq!(fault(Some(ours.sign((2020, 2021), ClientAuth))), Some(ClientFault::Expired));
        assert_eq!(fault(Some(ours.sign((2080, 2090), ClientAuth))), Some(ClientFault::NotYetValid));
        assert_eq!(fault(Some(ours.sign((2020, 2090), ServerAuth))), Some(ClientFault::Unfit));
        assert!(meet(Some(ours.sign((2020, 2090), ClientAuth))).is_ok());
    }
    assert_eq!(ClientFault::of(&io::Error::other("reset")), None);
}

#[test]
fn where_certificates_are_demanded_nobody_resumes_past_them() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let (tls, mut reloader) = open(demanding(folder.path(), &first));
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let own = first.sign((2020, 2090), ExtendedKeyUsagePurpose::ClientAuth);
        let client = client(&[version], &SCHEMES, Some(own));
        for _ in 0..3 {
            assert_ne!(client.meet(&tls, "localhost").unwrap().kind, HandshakeKind::Resumed);
        }
        fs::write(folder.path().join("ca.crt"), &second.1).unwrap();
        let changes = reloader.look(Occasion::Time, NOW);
        assert!(matches!(changes[..], [Change { outcome: Outcome::Trusted(1, 0), .. }]), "{changes:?}");
        assert!(client.meet(&tls, "localhost").is_err());
        fs::write(folder.path().join("ca.crt"), &first.1).unwrap();
        assert_eq!(reloader.look(Occasion::Time, NOW).len(), 1);
    }
}

#[test]
fn authorities_that_cannot_be_read_are_not_done_without() {
    let folder = tempfile::tempdir().unwrap();
    let settings = demanding(folder.path(), &Authority::new("ours"));
    let (tls, mut reloader) = open(settings.clone());
    for broken in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"] {
        fs::write(folder.path().join("ca.crt"), broken).unwrap();
        assert!(Tls::open(settings.clone(), Vec::new()).is_err(), "{broken}");
        assert!(kept(&reloader.look(Occasion::Asked, NOW)[1]), "{broken}");
        assert!(Client::new().meet(&tls, "localhost").is_err(), "{broken}");
    }
}
