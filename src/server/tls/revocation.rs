//! Lists of client certificates that are no longer good (RFC 5280 section 5), from files.
//!
//! Who names lists wants to know of every certificate whether it is on one: where no list speaks for an authority, or
//! the one that does has ended, its clients are refused, for a list that somebody holds back must open nothing. All
//! certificates of a chain are looked up. Called by `server::tls::client`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject as _;

use super::pair::read;
use super::problem::Problem;
use crate::clock::Timestamp;
use crate::x509::revocation;

/// Lists, in the order of their files.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lists {
    lists: Vec<CertificateRevocationListDer<'static>>,
    /// When the first of each file's lists ends.
    ends: Arc<[(PathBuf, Timestamp)]>,
}

impl Lists {
    /// Every list in `files`, PEM or DER. An authority has one: webpki takes the first that has its name, and whoever
    /// is on another would be let in.
    pub(super) fn load(files: &[PathBuf]) -> Result<Self, Problem> {
        let (mut lists, mut ends) = (Vec::<CertificateRevocationListDer<'static>>::new(), Vec::new());
        for file in files {
            let mut first: Option<Timestamp> = None;
            for list in lists_in(file)? {
                let unusable = |cause: String| Problem::UnreadableList { file: file.clone(), cause };
                webpki::BorrowedCertRevocationList::from_der(&list).map_err(|cause| unusable(cause.to_string()))?;
                let read = revocation::read(&list).ok_or_else(|| unusable("it has no end".to_owned()))?;
                if lists.iter().filter_map(|list| revocation::read(list)).any(|other| other.issuer == read.issuer) {
                    let authority = revocation::written(read.issuer).unwrap_or_default();
                    return Err(Problem::SecondList { file: file.clone(), authority });
                }
                first = Some(first.map_or(read.next_update, |first| first.min(read.next_update)));
                lists.push(list);
            }
            let end = first.ok_or_else(|| Problem::NoList { file: file.clone() })?;
            ends.push((file.clone(), end));
        }
        Ok(Self { lists, ends: ends.into() })
    }

    /// All of them, where there are any.
    pub(super) fn all(&self) -> Option<Vec<CertificateRevocationListDer<'static>>> {
        if self.lists.is_empty() { None } else { Some(self.lists.clone()) }
    }

    pub(super) fn count(&self) -> usize {
        self.lists.len()
    }

    /// When the first list of each file ends.
    pub(super) fn ends(&self) -> &Arc<[(PathBuf, Timestamp)]> {
        &self.ends
    }

    /// The first file with a list that has ended.
    pub(super) fn ended(&self, now: Timestamp) -> Option<&Path> {
        self.ends.iter().find(|(_, end)| *end <= now).map(|(file, _)| file.as_path())
    }

    /// The authorities for whom no list speaks, where there are lists.
    pub(super) fn lacking(&self, roots: &RootCertStore) -> Vec<String> {
        let speaks_for = |name: &[u8]| {
            let mut read = self.lists.iter().filter_map(|list| revocation::read(list));
            read.any(|list| list.issuer == name)
        };
        let names = roots.roots.iter().map(|root| root.subject.as_ref());
        let lacking = names.filter(|name| !self.lists.is_empty() && !speaks_for(name));
        lacking.map(|name| revocation::written(name).unwrap_or_default()).collect()
    }
}

fn lists_in(file: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, Problem> {
    let bytes = read(file)?;
    if revocation::read(&bytes).is_some() {
        return Ok(vec![bytes.into()]);
    }
    let lists = CertificateRevocationListDer::pem_slice_iter(&bytes).collect::<Result<_, _>>();
    lists.map_err(|_| Problem::NotPem { file: file.to_owned() })
}
