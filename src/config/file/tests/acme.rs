//! `[tls.acme]`: certificates that are ordered.

use super::*;

/// A good configuration for two hosts, with these lines in `[tls.acme]` and these tables before it; the folder is this.
fn ordering(folder: &Path, lines: &str, tables: &str) -> String {
    let top = top("public_url = \"https://wiki.example.com\"");
    format!(
        "{top}[[route]]\nhost = \"ci.example.com\"\nupstream = \"http://127.0.0.1:1\"\n{tables}\
         [tls.acme]\nfolder = {folder:?}\n{lines}\n"
    )
}

const AGREED: &str = "accept_terms = true\n";

#[test]
fn certificates_are_ordered_for_every_host_that_has_none() {
    let (one, folder) = (files_for("ci.example.com"), tempfile::tempdir().unwrap());
    let read = |lines: &str, tables: &str| {
        let tls = good(&ordering(folder.path(), &format!("{AGREED}{lines}"), tables)).server.tls.unwrap();
        (tls.pairs.len(), tls.ordered.unwrap())
    };
    let (brought, ordered) = read("", "");
    assert_eq!((brought, ordered.names), (0, vec!["ci.example.com".to_owned(), "wiki.example.com".to_owned()]));
    assert_eq!(ordered.directory, "https://acme-v02.api.letsencrypt.org/directory");
    let files = pair(one.path());
    for tables in [format!("[[tls.more]]\n{files}"), format!("[tls]\n{files}")] {
        let (brought, ordered) = read("contact = [\"ops@example.com\"]", &tables);
        assert_eq!((brought, ordered.names), (1, vec!["wiki.example.com".to_owned()]));
        assert_eq!(ordered.contact, ["ops@example.com"]);
    }
    let (_, ordered) = read("domains = \"Wiki.Example.com\"\ndirectory = \"letsencrypt-staging\"", "");
    assert_eq!(ordered.names, ["wiki.example.com"]);
    assert!(ordered.directory.contains("staging"));
    let toml = ordering(folder.path(), &format!("{AGREED}directory = \"letsencrypt-staging\""), "");
    let notes = good(&toml).notes;
    assert!(!notes.iter().any(|note| note.contains("comes to port 443")), "{notes:?}");
    let notes = good(&format!("listen = \"127.0.0.1:8443\"\n{toml}")).notes;
    assert!(notes.iter().any(|note| note.contains("comes to port 443")), "{notes:?}");
    assert!(notes.iter().any(|note| note.contains("is a rehearsal")), "{notes:?}");
}

#[test]
fn nothing_is_ordered_before_somebody_accepts_the_terms() {
    let folder = tempfile::tempdir().unwrap();
    for lines in ["", "accept_terms = false"] {
        let problem = complaint(&ordering(folder.path(), lines, ""), "tls.acme.accept_terms");
        assert!(problem.instead.contains("accept_terms = true"), "{problem}");
    }
    complaint(&ordering(folder.path(), "accept_terms = \"yes\"", ""), "tls.acme.accept_terms");
}

#[test]
fn certificates_are_not_kept_where_everybody_may_write() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let problem = complaint(&ordering(folder.path(), AGREED, ""), "tls.acme.folder");
    assert!(problem.instead.contains("chmod o-w"), "{problem}");
    // As volumes of Kubernetes are.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o2770)).unwrap();
    good(&ordering(folder.path(), AGREED, ""));
}

#[test]
fn orders_that_could_not_be_met_are_refused_before_they_are_placed() {
    let (one, folder) = (files_for("wiki.example.com"), tempfile::tempdir().unwrap());
    let wrong = |lines: &str, key: &str| complaint(&ordering(folder.path(), &format!("{AGREED}{lines}"), ""), key);
    for odd in
        ["http://acme.example/dir", "letsencript", "https://", "https://a:b@acme.example/dir", "acme.example/directory"]
    {
        wrong(&format!("directory = {odd:?}"), "tls.acme.directory");
    }
    for odd in ["ops", "@example.com", "ops@", "a@b@c", "mailto:ops@example.com", "a@b,c@d"] {
        wrong(&format!("contact = [{odd:?}]"), "tls.acme.contact[1]");
    }
    let wildcard = wrong("domains = \"*.example.com\"", "tls.acme.domains");
    assert!(wildcard.wrong.contains("wildcard") && wildcard.wrong.contains("DNS"), "{wildcard}");
    for odd in ["192.0.2.7", "[2001:db8::1]", "a..b", "-a.example.com", "a_b.example.com", ""] {
        wrong(&format!("domains = {odd:?}"), "tls.acme.domains");
    }
    wrong("domains = []", "tls.acme.domains");
    let stranger = wrong("domains = [\"nobody.example.com\"]", "tls.acme.domains");
    assert!(stranger.wrong.contains("is not a host"), "{stranger}");
    wrong("ca = \"/nowhere\"", "tls.acme.ca");
    wrong(&format!("ca = {:?}", one.path().join("key")), "tls.acme.ca");
    wrong("zzz = 1", "tls.acme.zzz");
    wrong("challenge = \"dns-01\"", "tls.acme.challenge");
    let nowhere = wrong("challenge = \"http-01\"", "tls.acme.challenge");
    assert!(nowhere.instead.contains("[redirect]"), "{nowhere}");
    let plain = |listen: &str| {
        let tables = format!("[redirect]\nlisten = {listen:?}\n");
        let config = good(&ordering(folder.path(), &format!("{AGREED}challenge = \"http-01\"\n"), &tables));
        assert_eq!(config.server.tls.unwrap().ordered.unwrap().proof, Proof::Http);
        config.notes.iter().any(|note| note.contains("port 80 of each host"))
    };
    assert!(plain("127.0.0.1:8080") && !plain("0.0.0.0:80"));
    // What is brought is not ordered, and what is ordered not brought.
    let files = pair(one.path());
    let both = ordering(folder.path(), &format!("{AGREED}domains = \"wiki.example.com\""), &format!("[tls]\n{files}"));
    let problem = complaint(&both, "tls.acme.domains");
    assert!(problem.wrong.contains("already") && problem.instead.contains("remove"), "{problem}");
    let alone = top("public_url = \"https://wiki.example.com\"");
    let idle = format!("{alone}[tls]\n{files}[tls.acme]\n{AGREED}folder = {:?}\n", folder.path());
    assert!(complaint(&idle, "tls.acme.domains").instead.contains("remove [tls.acme]"));
    let half = ordering(folder.path(), AGREED, "[tls]\ncertificate = \"/nowhere\"\n");
    assert_eq!(problems_with(&half, &[]).keys().collect::<Vec<_>>(), ["tls.private_key", "tls.certificate"]);
}

#[test]
fn a_name_that_no_public_authority_reaches_is_refused_there_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    for host in ["localhost", "wiki", "192.0.2.7", "a.localhost"] {
        let toml = |more: &str| {
            let top = top(&format!("public_url = \"https://{host}\""));
            format!("{top}[tls.acme]\n{AGREED}folder = {:?}\n{more}", folder.path())
        };
        complaint(&toml(""), "tls.acme.domains");
        let own = toml("directory = \"https://acme.internal/directory\"\n");
        if host == "192.0.2.7" {
            complaint(&own, "tls.acme.domains");
        } else {
            good(&own);
        }
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = |folder: &Path| complaint(&ordering(folder, AGREED, ""), "tls.acme.folder");
    assert!(wrong(&folder.path().join("nowhere")).instead.contains("create it"));
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    wrong(&file);
    // Where nobody, not even root, can make a file.
    assert!(wrong(Path::new("/proc/self")).wrong.contains("nothing can be written"));
    let missing = ordering(folder.path(), AGREED, "").replace("folder =", "#");
    complaint(&missing, "tls.acme.folder");
    good(&ordering(folder.path(), AGREED, ""));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left of the trial");
}
