//! Files that change: what is taken up, what is kept, and what is told.

use super::*;

#[test]
fn a_new_pair_is_shown_from_the_next_look_on() {
    let folder = tempfile::tempdir().unwrap();
    let files = write_new(folder.path(), "a", &["localhost"]);
    let (tls, mut reloader) = open(settings(vec![files.clone()]));
    let before = Client::new().sees(&tls, "localhost");
    for _ in 0..3 {
        assert!(reloader.look(Occasion::Time, NOW).is_empty());
    }
    write_new(folder.path(), "a", &["localhost", "wiki.example.com"]);
    let changes = reloader.look(Occasion::Time, NOW);
    let [Change { outcome: Outcome::Shown { names, .. }, file }] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!((&names[..], file), (&["localhost".to_owned(), "wiki.example.com".to_owned()][..], &files.certificate));
    let after = Client::new().sees(&tls, "localhost");
    assert_ne!(before, after);
    assert_eq!(after, first_of(&files));
    for _ in 0..3 {
        assert!(reloader.look(Occasion::Time, NOW).is_empty());
    }
}

#[test]
fn a_bad_pair_keeps_the_one_before_and_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let files = write_new(folder.path(), "a", &["localhost"]);
    let (tls, mut reloader) = open(settings(vec![files.clone()]));
    let before = first_of(&files);
    let (certificate, key) = made_for(&["localhost"]);
    for (bad_certificate, bad_key) in [(&certificate[..], "nonsense"), ("", &key[..]), (&key[..], &certificate[..])] {
        write(folder.path(), "a", bad_certificate, bad_key);
        let told: Vec<_> = (0..4).flat_map(|_| reloader.look(Occasion::Time, NOW)).collect();
        assert!(told.len() == 1 && kept(&told[0]), "{told:?}");
        assert_eq!(Client::new().sees(&tls, "localhost"), before);
        assert!(kept(&reloader.look(Occasion::Asked, NOW)[0]));
    }
    fs::remove_file(&files.private_key).unwrap();
    let told: Vec<_> = (0..4).flat_map(|_| reloader.look(Occasion::Time, NOW)).collect();
    assert!(told.len() == 1 && told[0].file == files.certificate && kept(&told[0]), "{told:?}");
    write(folder.path(), "a", &certificate, &key);
    assert!(replaced(&reloader.look(Occasion::Time, NOW)[0]));
    assert_eq!(Client::new().sees(&tls, "localhost"), first_of(&files));
}

#[test]
fn a_pair_may_be_renewed_one_file_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let files = write_new(folder.path(), "a", &["localhost"]);
    let (_, mut reloader) = open(settings(vec![files.clone()]));
    let (certificate, key) = made_for(&["localhost"]);
    fs::write(&files.private_key, key).unwrap();
    assert!(reloader.look(Occasion::Time, NOW).is_empty());
    fs::write(&files.certificate, certificate).unwrap();
    assert!(replaced(&reloader.look(Occasion::Time, NOW)[0]));
}

#[test]
fn one_bad_pair_does_not_hold_up_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let pairs = ["a", "b"].map(|name| write_new(folder.path(), name, &[&format!("{name}.localhost")]));
    let (tls, mut reloader) = open(settings(pairs.to_vec()));
    let before = first_of(&pairs[0]);
    fs::write(&pairs[0].certificate, "nonsense").unwrap();
    write_new(folder.path(), "b", &["b.localhost"]);
    let changes = reloader.look(Occasion::Asked, NOW);
    assert!(kept(&changes[0]) && replaced(&changes[1]), "{changes:?}");
    assert_eq!(Client::new().sees(&tls, "a.localhost"), before);
    assert_eq!(Client::new().sees(&tls, "b.localhost"), first_of(&pairs[1]));
}

#[test]
fn a_link_turned_to_another_folder_is_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for generation in ["1", "2"] {
        fs::create_dir(path(generation)).unwrap();
        write_new(&path(generation), "tls", &["localhost"]);
    }
    symlink("1", path("..data")).unwrap();
    symlink("..data/tls.crt", path("tls.crt")).unwrap();
    symlink("..data/tls.key", path("tls.key")).unwrap();
    let files = Files { certificate: path("tls.crt"), private_key: path("tls.key") };
    let (tls, mut reloader) = open(settings(vec![files.clone()]));
    while !reloader.look(Occasion::Time, NOW).is_empty() {}
    symlink("2", path("..new")).unwrap();
    fs::rename(path("..new"), path("..data")).unwrap();
    assert!(replaced(&reloader.look(Occasion::Time, NOW)[0]));
    assert_eq!(
        Client::new().sees(&tls, "localhost"),
        CertificateDer::from_pem_file(path("2").join("tls.crt")).unwrap()
    );
}

#[test]
fn what_nobody_would_accept_now_does_not_replace_what_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let dated = |from, until| {
        let mut wishes = CertificateParams::new(["localhost".to_owned()]).unwrap();
        wishes.not_before = rcgen::date_time_ymd(from, 1, 1);
        wishes.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        write(folder.path(), "a", &wishes.self_signed(&key).unwrap().pem(), &key.serialize_pem())
    };
    let (_, mut reloader) = open(settings(vec![dated(2026, 2028)]));
    let mut told = |from, until, now| {
        dated(from, until);
        (0..3).flat_map(|_| reloader.look(Occasion::Time, now)).collect::<Vec<_>>()
    };
    assert!(matches!(told(2020, 2026, NOW)[..], [Change { outcome: Outcome::Kept(Problem::Ended { .. }), .. }]));
    assert!(matches!(told(2027, 2029, NOW)[..], [Change { outcome: Outcome::Kept(Problem::NotYet { .. }), .. }]));
    // Its time comes while it lies there; and in the place of one that has ended, anything may be put.
    let later = reloader.look(Occasion::Time, Timestamp(1_800_000_000));
    assert!(replaced(&later[0]), "{later:?}");
    dated(2020, 2026);
    assert!(replaced(&reloader.look(Occasion::Time, Timestamp(2_000_000_000))[0]));
}

#[test]
fn whoever_asks_is_told_even_that_nothing_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut reloader) = open(settings(vec![write_new(folder.path(), "a", &["localhost"])]));
    let changes = reloader.look(Occasion::Asked, NOW);
    assert!(matches!(changes[..], [Change { outcome: Outcome::Same, .. }]), "{changes:?}");
}
