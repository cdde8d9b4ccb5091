//! Where the account's key and the certificates are kept.
//!
//! For each authority a folder of its own, so that what one was asked for in a rehearsal is not shown in earnest.
//! A certificate lies in one file with its key and its chain: written beside and moved into place, it is whole at
//! every moment, and the next start finds the old one or the new one. Nobody but us may read any of it. Processes that
//! share a folder order one after the other, under a lock that ends with its process. Called by `order`, `gateway`
//! and `cli check`.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Settings;
use crate::clock::Timestamp;
use crate::server::tls::{Files, Pair, Problem};

const ACCOUNT: &str = "account.json";
const LOCK: &str = "lock";

/// More than a key and its chain take.
const ROOM: usize = 32 * 1024;

/// A place for what one authority gave.
#[derive(Clone, Debug)]
pub struct Folder {
    place: PathBuf,
}

/// Why something could not be kept, or found again.
#[derive(Debug, thiserror::Error)]
pub enum Unkept {
    /// The system says no.
    #[error("{} cannot be used: {cause}", file.display())]
    Io {
        /// Which file or folder.
        file: PathBuf,
        /// The system's words.
        cause: io::Error,
    },
    /// The account's file is damaged.
    #[error("{} holds no account: remove it, and a new account is made", .0.display())]
    Account(PathBuf),
}

/// An account at the authority, as it is kept.
#[derive(Deserialize, Serialize)]
pub(super) struct Account {
    /// As it was last told to the authority.
    pub(super) contact: Vec<String>,
    /// The account's address and private key, as the library writes them.
    pub(super) credentials: serde_json::Value,
}

/// Keeps other processes from ordering until it is dropped.
pub(super) struct Lock {
    _file: File,
}

impl Folder {
    /// The place for what these settings order.
    pub fn of(settings: &Settings) -> Self {
        let bare = settings.directory.strip_prefix("https://").unwrap_or(&settings.directory);
        Self { place: settings.folder.join(name_of(bare)) }
    }

    /// Where the certificate for `name` lies, once there is one: everything is in one file.
    pub fn files(&self, name: &str) -> Files {
        let file = self.place.join(format!("{name}.pem"));
        Files { certificate: file.clone(), private_key: file }
    }

    /// The certificate for `name`, if there is one that can be used.
    pub fn kept(&self, name: &str) -> Option<Pair> {
        self.files(name).load().ok().filter(|pair| pair.covers(name))
    }

    /// Whether nothing lies there for `name`, where something should.
    pub fn lacks(&self, name: &str) -> bool {
        !self.files(name).certificate.exists()
    }

    /// Nobody else's turn; `None` when it is somebody else's.
    pub(super) fn lock(&self) -> Result<Option<Lock>, Unkept> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.place).map_err(failed(&self.place))?;
        let path = self.place.join(LOCK);
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.map_err(failed(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(cause)) => Err(failed(&path)(cause)),
        }
    }

    /// The account, if there is one.
    pub(super) fn account(&self) -> Result<Option<Account>, Unkept> {
        let path = self.place.join(ACCOUNT);
        match fs::read(&path) {
            // Its words could quote the key.
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|_| Unkept::Account(path)),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(failed(&path)(cause)),
        }
    }

    /// What is wrong with an account that cannot be read or written.
    pub(super) fn no_account(&self) -> Unkept {
        Unkept::Account(self.place.join(ACCOUNT))
    }

    pub(super) fn keep_account(&self, account: &Account) -> Result<(), Unkept> {
        let text = serde_json::to_vec(account).map_err(|_| self.no_account())?;
        let staged = self.stage(ACCOUNT, &text)?;
        self.publish(&staged, ACCOUNT)
    }

    /// Whether there is room for a certificate for `name`, before one is ordered that could not be kept.
    pub(super) fn make_room(&self, name: &str) -> Result<(), Unkept> {
        let staged = self.stage(&format!("{name}.pem"), &[b'\n'; ROOM])?;
        fs::remove_file(&staged).map_err(failed(&staged))
    }

    /// Keeps a certificate for `name`, with its key and chain in PEM, when it can be shown `now`; or says why not.
    pub(super) fn keep(&self, name: &str, pem: &[u8], now: Timestamp) -> Result<Result<(), Problem>, Unkept> {
        let file = format!("{name}.pem");
        let staged = self.stage(&file, pem)?;
        let files = Files { certificate: staged.clone(), private_key: staged.clone() };
        match files.load().and_then(|pair| fit(pair, &files, name, now)) {
            Ok(()) => self.publish(&staged, &file).map(Ok),
            Err(problem) => {
                fs::remove_file(&staged).map_err(failed(&staged))?;
                Ok(Err(problem))
            }
        }
    }

    /// Writes beside where it will lie. Only who has the lock writes, so what lies there was left by somebody who
    /// did not come to an end.
    fn stage(&self, name: &str, content: &[u8]) -> Result<PathBuf, Unkept> {
        let path = self.place.join(format!(".{name}.new"));
        let write = || {
            match fs::remove_file(&path) {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
                _ => {}
            }
            let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path)?;
            file.write_all(content)?;
            file.sync_all()
        };
        write().map_err(failed(&path))?;
        Ok(path)
    }

    fn publish(&self, staged: &Path, name: &str) -> Result<(), Unkept> {
        let path = self.place.join(name);
        let publish = || {
            fs::rename(staged, &path)?;
            // The name itself has to survive a crash.
            File::open(&self.place)?.sync_all()
        };
        publish().map_err(failed(&path))
    }
}

/// What an address is called among files, by which no other is called: one of `.` alone would be no name, and what is
/// neither letter, digit, `.` nor `-` is written by number, but for the `/` that all have.
fn name_of(address: &str) -> String {
    let mut name = String::with_capacity(address.len());
    for byte in address.bytes() {
        match byte {
            b'/' => name.push('_'),
            b'.' if name.is_empty() => name.push_str("%2E"),
            b'.' | b'-' => name.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => name.push(char::from(byte)),
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    if name.is_empty() { "%".to_owned() } else { name }
}

/// Whether visitors of `name` would accept it now.
fn fit(pair: Pair, files: &Files, name: &str, now: Timestamp) -> Result<(), Problem> {
    let file = files.certificate.clone();
    if !pair.covers(name) {
        return Err(Problem::Stranger { file, host: name.to_owned() });
    }
    match pair.validity() {
        Some(validity) if validity.not_after < now => Err(Problem::Ended { file }),
        _ => Ok(()),
    }
}

fn failed(file: &Path) -> impl Fn(io::Error) -> Unkept {
    move |cause| Unkept::Io { file: file.to_owned(), cause }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::tls::tests::made_for;
    use std::os::unix::fs::PermissionsExt as _;

    /// 2026-11-22.
    const NOW: Timestamp = Timestamp(1_795_305_600);

    fn settings(folder: &Path, directory: &str) -> Settings {
        let (contact, names) = (Vec::new(), vec!["a.example.com".to_owned()]);
        let proof = crate::server::tls::acme::Proof::default();
        Settings { directory: directory.to_owned(), contact, names, folder: folder.to_owned(), ca: None, proof }
    }

    fn folder(place: &Path) -> Folder {
        Folder::of(&settings(place, "https://acme.example:14000/dir"))
    }

    fn pem(name: &str) -> String {
        let (certificate, key) = made_for(&[name]);
        format!("{key}{certificate}")
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_trial_for_room_leaves_nothing_and_fails_where_nothing_can_lie() {
        let root = tempfile::tempdir().unwrap();
        let folder = folder(root.path());
        assert!(folder.make_room("a.example.com").is_err(), "there is no such place yet");
        let _turn = folder.lock().unwrap().unwrap();
        folder.make_room("a.example.com").unwrap();
        let left: Vec<_> = fs::read_dir(&folder.place).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [LOCK]);
        // Longer than a file's name may be.
        assert!(folder.make_room(&"a.".repeat(126)).is_err());
    }

    #[test]
    fn each_authority_has_a_folder_of_its_own_below_ours() {
        let root = Path::new("/var/lib/x");
        let place = |directory: &str| Folder::of(&settings(root, directory)).place;
        let (one, other) = (place("https://acme-v02.api.example/directory"), place("https://acme-staging.example/dir"));
        assert_ne!(one, other);
        assert_eq!(one, root.join("acme-v02.api.example_directory"));
        let alike = [
            "https://a:1/b",
            "https://a_1/b",
            "https://a/1/b",
            "https://a%3A1/b",
            "https://a/1_b",
            "https://a/1b",
            "https://.a/b",
            "https://a/b",
            "https://https://a/b",
            "https://%2Ea/b",
            "https://",
            "https://%",
        ];
        let places: std::collections::BTreeSet<_> = alike.iter().map(|directory| place(directory)).collect();
        assert_eq!(places.len(), alike.len(), "{places:?}");
        for odd in ["https://../../etc", "https://a/../../b", "https://./", "https://a/\u{0}?q=/"] {
            let place = place(odd);
            assert_eq!(place.components().count(), root.components().count() + 1, "{place:?}");
            assert!(!place.ends_with(".."), "{place:?}");
        }
    }

    #[test]
    fn nobody_else_can_read_what_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let folder = folder(root.path());
        let lock = folder.lock().unwrap();
        assert!(lock.is_some());
        let account = Account { contact: Vec::new(), credentials: serde_json::json!({"id": "x"}) };
        folder.keep_account(&account).unwrap();
        folder.keep("a.example.com", pem("a.example.com").as_bytes(), NOW).unwrap().unwrap();
        assert_eq!(mode(&folder.place), 0o700);
        let files: Vec<_> = fs::read_dir(&folder.place).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 3, "{files:?}");
        for file in files {
            assert_eq!(mode(&file), 0o600, "{file:?}");
        }
    }

    #[test]
    fn what_was_kept_is_found_again() {
        let root = tempfile::tempdir().unwrap();
        let folder = folder(root.path());
        let _lock = folder.lock().unwrap();
        assert!(folder.account().unwrap().is_none() && folder.kept("a.example.com").is_none());
        folder.keep("a.example.com", pem("a.example.com").as_bytes(), NOW).unwrap().unwrap();
        let first = folder.kept("a.example.com").unwrap();
        folder.keep("a.example.com", pem("a.example.com").as_bytes(), NOW).unwrap().unwrap();
        assert!(!folder.kept("a.example.com").unwrap().is_same(&first));
        let contact = vec!["ops@example.com".to_owned()];
        folder.keep_account(&Account { contact: contact.clone(), credentials: serde_json::json!(1) }).unwrap();
        assert_eq!(folder.account().unwrap().unwrap().contact, contact);
    }

    #[test]
    fn a_certificate_that_nobody_could_use_leaves_the_old_one_alone() {
        let root = tempfile::tempdir().unwrap();
        let folder = folder(root.path());
        let _lock = folder.lock().unwrap();
        folder.keep("a.example.com", pem("a.example.com").as_bytes(), NOW).unwrap().unwrap();
        let before = folder.kept("a.example.com").unwrap();
        let keep = |pem: &str, now| folder.keep("a.example.com", pem.as_bytes(), now).unwrap().unwrap_err();
        assert!(matches!(keep(&pem("b.example.com"), NOW), Problem::Stranger { .. }));
        let mixed = format!("{}{}", made_for(&["a.example.com"]).1, made_for(&["a.example.com"]).0);
        assert!(matches!(keep(&mixed, NOW), Problem::Mismatch { .. }));
        assert!(matches!(keep("nonsense", NOW), Problem::NoCertificate { .. }));
        assert!(matches!(keep(&pem("a.example.com"), Timestamp(u64::MAX)), Problem::Ended { .. }));
        assert!(folder.kept("a.example.com").unwrap().is_same(&before));
        let left = fs::read_dir(&folder.place)
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".new"));
        assert_eq!(left.count(), 0);
    }

    #[test]
    fn one_orders_while_others_wait() {
        let root = tempfile::tempdir().unwrap();
        let (one, other) = (folder(root.path()), folder(root.path()));
        let lock = one.lock().unwrap();
        assert!(lock.is_some() && other.lock().unwrap().is_none());
        drop(lock);
        assert!(other.lock().unwrap().is_some());
    }

    #[test]
    fn a_damaged_account_is_named_and_its_text_is_not() {
        let root = tempfile::tempdir().unwrap();
        let folder = folder(root.path());
        let _lock = folder.lock().unwrap();
        fs::write(folder.place.join(ACCOUNT), "{\"contact\": \"hunter2\"").unwrap();
        let problem = folder.account().map(drop).unwrap_err().to_string();
        assert!(problem.contains("account.json") && !problem.contains("hunter2"), "{problem}");
    }

    #[test]
    fn what_somebody_left_half_written_is_in_nobodys_way() {
        let root = tempfile::tempdir().unwrap();
        let folder = folder(root.path());
        let _lock = folder.lock().unwrap();
        fs::write(folder.place.join(".a.example.com.pem.new"), "half").unwrap();
        folder.keep("a.example.com", pem("a.example.com").as_bytes(), NOW).unwrap().unwrap();
        assert!(folder.kept("a.example.com").is_some());
    }
}
