//! Certificates that are ordered, and what is shown while they are awaited.

use super::*;

/// Settings by which certificates for these names are ordered into that folder, beside these pairs.
fn ordering(folder: &Path, pairs: Vec<Files>, names: &[&str]) -> (Settings, acme::Folder) {
    let ordered = acme::Settings {
        directory: "https://acme.example/directory".to_owned(),
        contact: Vec::new(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        folder: folder.to_owned(),
        ca: None,
        proof: acme::Proof::default(),
    };
    let own = acme::Folder::of(&ordered);
    (Settings { ordered: Some(ordered), ..settings(pairs) }, own)
}

#[test]
fn a_certificate_that_is_awaited_is_shown_once_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, own) = ordering(folder.path(), Vec::new(), &["a.example.com", "b.example.com"]);
    let (tls, mut reloader) = open(settings);
    assert!(!tls.shows_any() && tls.pairs().len() == 2 && tls.challenges().is_some());
    for name in ["a.example.com", "b.example.com", "nobody.example.com"] {
        assert!(Client::new().meet(&tls, name).is_err(), "{name}");
    }
    // Nothing is there, and that is no change and no mistake.
    for occasion in [Occasion::Time, Occasion::Asked, Occasion::Time] {
        assert!(reloader.look(occasion, NOW).is_empty());
    }
    let file = own.files("b.example.com").certificate;
    fs::create_dir(file.parent().unwrap()).unwrap();
    let (certificate, key) = made_for(&["b.example.com"]);
    fs::write(&file, format!("{key}{certificate}")).unwrap();
    assert!(replaced(&reloader.look(Occasion::Time, NOW)[0]));
    assert_eq!(Client::new().sees(&tls, "b.example.com"), first_of(&own.files("b.example.com")));
    assert!(tls.shows_any() && Client::new().meet(&tls, "a.example.com").is_err());
    // What it is replaced by has to be as good.
    fs::write(&file, "nonsense").unwrap();
    assert!((0..3).flat_map(|_| reloader.look(Occasion::Time, NOW)).any(|change| !replaced(&change)));
    assert!(Client::new().meet(&tls, "b.example.com").is_ok());
}

#[test]
fn what_is_brought_is_shown_while_another_is_awaited_and_to_nobody_elses_name() {
    let folder = tempfile::tempdir().unwrap();
    let brought = write_new(folder.path(), "a", &["a.example.com"]);
    let (settings, _) = ordering(folder.path(), vec![brought.clone()], &["b.example.com"]);
    let (tls, _) = open(settings);
    assert_eq!(Client::new().sees(&tls, "a.example.com"), first_of(&brought));
    assert_eq!(Client::new().sees(&tls, "nobody.example.com"), first_of(&brought));
    assert!(Client::new().meet(&tls, "b.example.com").is_err());
    assert!(tls.shows_any());
}

#[test]
fn a_damaged_certificate_that_was_ordered_keeps_nobody_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, own) = ordering(folder.path(), Vec::new(), &["a.example.com"]);
    let file = own.files("a.example.com").certificate;
    fs::create_dir(file.parent().unwrap()).unwrap();
    fs::write(&file, "nonsense").unwrap();
    let (tls, _) = open(settings);
    assert!(!tls.shows_any() && own.kept("a.example.com").is_none());
}

#[test]
fn whoever_asks_for_a_proof_alone_shares_no_protocol_with_the_door() {
    let folder = tempfile::tempdir().unwrap();
    let (tls, _) = open(settings(vec![write_new(folder.path(), "a", &["localhost"])]));
    assert!(shown_for(b"acme-tls/1", &tls.current().config, "localhost").is_none());
    assert!(shown_for(b"http/1.1", &tls.current().config, "localhost").is_some());
    assert!(tls.challenges().is_none());
}
