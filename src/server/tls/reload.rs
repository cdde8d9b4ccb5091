//! Reads certificates again when their files change, one pair by one: a bad one keeps what it was meant to replace.
//!
//! Files are looked at, not watched: that works for a file written in place, one moved there, a link turned to
//! another folder (as Kubernetes does) and on network file systems alike. Each change is read twice, because the
//! clock of a file system is coarse, and because a pair is renewed file by file: only what does not fit at the second
//! look is a mistake. Called by `gateway`, which keeps the time.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::Error;

use super::acme::Challenges;
use super::choice::{Choice, Place};
use super::client::Authorities;
use super::pair::Pair;
use super::problem::Problem;
use super::{Current, Resumption, Settings, Source, Tls, Validity, assemble};
use crate::clock::Timestamp;

/// Why files are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// It is time: only what changed is read, and only what is new is told.
    Time,
    /// Somebody asked: everything is read, and told.
    Asked,
}

/// What became of one certificate file, or of the authorities.
#[derive(Debug)]
pub struct Change {
    /// The certificate file; the first of the authorities' files.
    pub file: PathBuf,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of files that were read again.
#[derive(Debug)]
pub enum Outcome {
    /// New handshakes are shown this certificate.
    Shown {
        /// Whom it was made for.
        names: Vec<String>,
        /// From when until when.
        validity: Option<Validity>,
    },
    /// New clients are held against so many authorities, and so many revocation lists.
    Trusted(usize, usize),
    /// A revocation list ended then: its authority's clients are refused until there is a new one.
    ListEnded(Timestamp),
    /// Nothing is different; told when somebody asked.
    Same,
    /// What was there before stays in use.
    Kept(Problem),
}

/// A certificate with its files.
struct Kept {
    source: Source,
    /// None while an ordered one has never been there.
    pair: Option<Arc<Pair>>,
    watched: Watched,
}

/// The files of a door, as they were last seen.
pub struct Reloader {
    tls: Arc<Tls>,
    settings: Settings,
    hosts: Vec<String>,
    resumption: Resumption,
    places: Vec<Kept>,
    authorities: Option<(Authorities, Watched)>,
    /// Files with a revocation list of which it was told that it has ended.
    ended: Vec<PathBuf>,
}

impl Reloader {
    pub(super) fn open(settings: Settings, hosts: Vec<String>) -> Result<(Arc<Tls>, Self), Problem> {
        let places: Vec<_> = settings.sources().into_iter().map(Kept::open).collect::<Result<_, Problem>>()?;
        let authorities = if settings.clients.are_asked() {
            let watched = Watched::new(&settings.clients.files());
            Some((Authorities::load(&settings.clients)?, watched))
        } else {
            None
        };
        let refused = |cause| refused(&settings, cause);
        let resumption = Resumption::new(&settings).map_err(refused)?;
        let current = current(&settings, &hosts, &places, authorities.as_ref(), &resumption).map_err(refused)?;
        let challenges = settings.ordered.is_some().then(Challenges::new).transpose().map_err(refused)?.map(Arc::new);
        let tls = Arc::new(Tls { current: ArcSwap::from_pointee(current), challenges });
        Ok((Arc::clone(&tls), Self { tls, settings, hosts, resumption, places, authorities, ended: Vec::new() }))
    }

    /// What is shown now.
    pub fn tls(&self) -> &Arc<Tls> {
        &self.tls
    }

    /// Looks at every file, and takes up what is new and good.
    pub fn look(&mut self, occasion: Occasion, now: Timestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        for kept in &mut self.places {
            if let Some(outcome) = kept.look(occasion, now) {
                changes.push(Change { file: kept.source.files.certificate.clone(), outcome });
            }
        }
        if let Some((authorities, watched)) = &mut self.authorities {
            let clients = &self.settings.clients;
            let files = &clients.files();
            let read = || {
                let new = Authorities::load(clients)?;
                if let (Some(file), None) = (new.lists.ended(now), authorities.lists.ended(now)) {
                    return Err(Problem::EndedList { file: file.to_owned() });
                }
                Ok(if new.is_same(authorities) { None } else { Some(new) })
            };
            let outcome = match watched.look(occasion, files, read) {
                Look::Nothing => None,
                Look::Same => Some(Outcome::Same),
                Look::Bad(problem) => Some(Outcome::Kept(problem)),
                Look::New(new) => {
                    *authorities = new;
                    Some(Outcome::Trusted(authorities.count(), authorities.lists.count()))
                }
            };
            let file = clients.authorities.first().cloned().unwrap_or_default();
            changes.extend(outcome.map(|outcome| Change { file, outcome }));
            let ends = authorities.lists.ends().iter().filter(|(_, end)| *end <= now);
            let news = ends.clone().filter(|(file, _)| occasion == Occasion::Asked || !self.ended.contains(file));
            changes.extend(news.map(|(file, end)| Change { file: file.clone(), outcome: Outcome::ListEnded(*end) }));
            self.ended = ends.map(|(file, _)| file.clone()).collect();
        }
        if changes.iter().any(|change| matches!(change.outcome, Outcome::Shown { .. } | Outcome::Trusted(..))) {
            self.take_up(&mut changes);
        }
        changes
    }

    fn take_up(&self, changes: &mut Vec<Change>) {
        let Self { settings, hosts, places, authorities, resumption, .. } = self;
        match current(settings, hosts, places, authorities.as_ref(), resumption) {
            Ok(current) => self.tls.current.store(Arc::new(current)),
            Err(cause) => {
                let problem = refused(settings, cause);
                changes.push(Change { file: problem.file().to_owned(), outcome: Outcome::Kept(problem) });
            }
        }
    }
}

impl Kept {
    fn open(source: Source) -> Result<Self, Problem> {
        let files = &source.files;
        let watched = Watched::new(&[&files.certificate, &files.private_key]);
        let pair = match (files.load(), &source.ordered_for) {
            (Ok(pair), _) => Some(Arc::new(pair)),
            (Err(problem), None) => return Err(problem),
            // Whatever is wrong with it, it is ordered again.
            (Err(_), Some(_)) => None,
        };
        Ok(Self { source, pair, watched })
    }

    fn place(&self) -> Place {
        match &self.pair {
            Some(pair) => Place::Taken(Arc::clone(pair)),
            None => Place::Awaited(self.source.ordered_for.clone().unwrap_or_default()),
        }
    }

    fn look(&mut self, occasion: Occasion, now: Timestamp) -> Option<Outcome> {
        let Source { files, ordered_for } = &self.source;
        let read = || match (files.load(), &self.pair) {
            (Ok(new), Some(pair)) if new.is_same(pair) => Ok(None),
            (Ok(new), Some(pair)) => still_good(new, pair, &files.certificate, now).map(Some),
            (Ok(new), None) => Ok(Some(new)),
            (Err(problem), None) if ordered_for.is_some() && problem.is_absence() => Ok(None),
            (Err(problem), _) => Err(problem),
        };
        match self.watched.look(occasion, &[&files.certificate, &files.private_key], read) {
            Look::Nothing => None,
            Look::Same if self.pair.is_none() => None,
            Look::Same => Some(Outcome::Same),
            Look::Bad(problem) => Some(Outcome::Kept(problem)),
            Look::New(new) => {
                let outcome = Outcome::Shown { names: new.names().to_vec(), validity: new.validity() };
                self.pair = Some(Arc::new(new));
                Some(outcome)
            }
        }
    }
}

fn current(
    settings: &Settings,
    hosts: &[String],
    places: &[Kept],
    authorities: Option<&(Authorities, Watched)>,
    resumption: &Resumption,
) -> Result<Current, Error> {
    let choice = Arc::new(Choice::new(places.iter().map(Kept::place).collect(), hosts));
    let config = assemble(settings, &choice, authorities.map(|(authorities, _)| authorities), resumption)?;
    let list_ends = authorities.map(|(authorities, _)| Arc::clone(authorities.lists.ends())).unwrap_or_default();
    Ok(Current { config: Arc::new(config), choice, list_ends })
}

fn refused(settings: &Settings, cause: Error) -> Problem {
    let file = settings.sources().into_iter().next().map(|source| source.files.certificate).unwrap_or_default();
    Problem::Refused { file, cause }
}

/// A certificate that nobody would accept now does not take the place of one that is accepted.
fn still_good(new: Pair, old: &Pair, file: &Path, now: Timestamp) -> Result<Pair, Problem> {
    let (Some(theirs), Some(ours)) = (new.validity(), old.validity()) else { return Ok(new) };
    if !(ours.not_before..=ours.not_after).contains(&now) {
        return Ok(new);
    }
    if theirs.not_after < now {
        return Err(Problem::Ended { file: file.to_owned() });
    }
    if theirs.not_before > now {
        return Err(Problem::NotYet { file: file.to_owned() });
    }
    Ok(new)
}

/// Files that belong together, as they were last seen.
#[derive(Debug)]
pub struct Watched {
    stamps: Vec<Option<Stamp>>,
    /// Whether what these stamps stand for was read, and found good, at a look after the one that noticed them.
    settled: bool,
    /// What was last told about them.
    told: Option<String>,
}

/// What a look came to.
#[derive(Debug)]
pub enum Look<T, P> {
    /// There is nothing to tell.
    Nothing,
    /// Nothing is different; told when somebody asked.
    Same,
    /// This is to be used from now on.
    New(T),
    /// This is not.
    Bad(P),
}

impl Watched {
    /// As they are now, when they were read.
    pub fn new(files: &[impl AsRef<Path>]) -> Self {
        Self { stamps: stamps(files), settled: false, told: None }
    }

    /// Looks at them again, and has them `read` when that may bring something new.
    pub fn look<T, P: std::fmt::Display>(
        &mut self,
        occasion: Occasion,
        files: &[impl AsRef<Path>],
        read: impl FnOnce() -> Result<Option<T>, P>,
    ) -> Look<T, P> {
        // Before they are read: what is written in between is noticed at the next look.
        let stamps = stamps(files);
        let noticed = stamps != self.stamps;
        self.stamps = stamps;
        if noticed {
            self.told = None;
        }
        if occasion == Occasion::Time && self.settled && !noticed {
            return Look::Nothing;
        }
        match read() {
            Ok(new) => {
                self.settled = !noticed;
                self.told = None;
                match new {
                    Some(new) => Look::New(new),
                    None if occasion == Occasion::Asked => Look::Same,
                    None => Look::Nothing,
                }
            }
            Err(problem) => {
                self.settled = false;
                let words = problem.to_string();
                let news = !noticed && self.told.as_ref() != Some(&words);
                if occasion == Occasion::Time && !news {
                    return Look::Nothing;
                }
                self.told = Some(words);
                Look::Bad(problem)
            }
        }
    }
}

/// What the file system says of a file without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    place: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

fn stamps(files: &[impl AsRef<Path>]) -> Vec<Option<Stamp>> {
    let stamp = |file: &Path| {
        let seen = std::fs::metadata(file).ok()?;
        Some(Stamp {
            place: (seen.dev(), seen.ino()),
            length: seen.len(),
            modified: (seen.mtime(), seen.mtime_nsec()),
            changed: (seen.ctime(), seen.ctime_nsec()),
        })
    };
    files.iter().map(|file| stamp(file.as_ref())).collect()
}
