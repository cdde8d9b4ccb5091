//! Walks the merged configuration by key: typed, with defaults, collecting complaints.
//!
//! Every key that a section asks for is thereby known; what is present and was never asked for is an error
//! with "did you mean". Defaults are written as a user would write them and go through the same readers, so
//! the reference file can be held against them. Called by the sections of `config`.

use std::cell::RefCell;
use std::collections::BTreeSet;

use figment::value::{Dict, Value};

use super::problem::{Place, Problem, Problems, Wrong};
use super::source::{KeyPath, Parsed, Sources, Step, parse_value};
use super::value::nearest;

/// A key that the code asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Known {
    /// Dotted, with `NAME` for a name of the user's own: `provider.NAME.org`, `route.path`.
    pub(super) key: String,
    /// As it would be written in TOML; `None` when there is none that is always the same.
    pub(super) default: Option<String>,
}

/// How TOML writes a kind of value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// In quotes.
    Text,
    /// Digits, or in quotes.
    Number,
    /// `true` or `false`.
    Truth,
}

/// The whole configuration while it is read.
pub(super) struct Reader {
    pub(super) sources: Sources,
    root: Dict,
    problems: RefCell<Vec<Problem>>,
    known: RefCell<BTreeSet<Known>>,
    strangers: RefCell<Vec<(KeyPath, Vec<String>)>>,
    /// The lists of tables that the environment holds.
    parsed: Parsed,
}

impl Reader {
    pub(super) fn new(sources: Sources, root: Dict) -> Self {
        let (problems, known, strangers) = (RefCell::default(), RefCell::default(), RefCell::default());
        Self { sources, root, problems, known, strangers, parsed: Parsed::default() }
    }

    /// The table of top-level keys.
    pub(super) fn root(&self) -> Table<'_> {
        Table {
            reader: self,
            path: KeyPath::default(),
            pattern: String::new(),
            entries: Some(&self.root),
            asked: RefCell::default(),
        }
    }

    pub(super) fn complain(&self, path: &KeyPath, wrong: Wrong) {
        let place = self.sources.place(path);
        let problem = Problem { place, key: path.to_string(), wrong: wrong.what, instead: wrong.instead };
        self.problems.borrow_mut().push(problem);
    }

    pub(super) fn known(&self) -> BTreeSet<Known> {
        self.known.borrow().clone()
    }

    /// Everything that was wrong, unknown keys included, in the order of the file.
    pub(super) fn problems(&self) -> Problems {
        let known = self.known();
        for (path, siblings) in self.strangers.borrow_mut().drain(..) {
            let name =
                path.0.last().and_then(|step| if let Step::Key(name) = step { Some(name.as_str()) } else { None });
            let instead = advice(name.unwrap_or_default(), &siblings, &known);
            self.complain(&path, Wrong::new("is not a known key", instead));
        }
        let mut problems = self.problems.borrow().clone();
        problems.sort_by(|left, right| left.place.cmp(&right.place));
        problems.dedup();
        Problems(problems)
    }
}

/// What an unknown key might have been meant to be.
fn advice(name: &str, siblings: &[String], known: &BTreeSet<Known>) -> String {
    if let Some(sibling) = nearest(name, siblings.iter().map(String::as_str)) {
        return format!("did you mean `{sibling}`?");
    }
    let last = |known: &Known| known.key.rsplit('.').next().unwrap_or_default().to_owned();
    if let Some(elsewhere) = known.iter().find(|known| last(known) == name) {
        return match elsewhere.key.rsplit_once('.') {
            Some((table, _)) => format!("`{name}` belongs into [{table}]"),
            None => format!("`{name}` belongs to the top of the file, before the first [table]"),
        };
    }
    format!("possible here: {}", siblings.join(", "))
}

/// One table while it is read; absent tables answer with the defaults.
pub(super) struct Table<'r> {
    pub(super) reader: &'r Reader,
    path: KeyPath,
    pattern: String,
    entries: Option<&'r Dict>,
    asked: RefCell<BTreeSet<String>>,
}

impl<'r> Table<'r> {
    /// Whether it was written at all.
    pub(super) fn is_present(&self) -> bool {
        self.entries.is_some()
    }

    /// Whether `key` was written.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.is_some_and(|entries| entries.contains_key(key))
    }

    /// Complains about `key`.
    pub(super) fn complain(&self, key: &str, what: impl Into<String>, instead: impl Into<String>) {
        self.reader.complain(&self.path.key(key), Wrong::new(what, instead));
    }

    /// Complains when `key` was not written.
    pub(super) fn require(&self, key: &str, instead: impl Into<String>) {
        if !self.has(key) {
            self.complain(key, "is missing", instead);
        }
    }

    /// Where `key` was written.
    pub(super) fn place(&self, key: &str) -> Place {
        self.reader.sources.place(&self.path.key(key))
    }

    /// How far into the file `key` was written.
    pub(super) fn rank(&self, key: &str) -> usize {
        self.reader.sources.rank(&self.path.key(key))
    }

    /// The value of `key` by `read`, or its default by the same reader; `None` after a complaint, or when it
    /// is neither written nor has a default.
    pub(super) fn get<T>(
        &self,
        key: &str,
        default: Option<&str>,
        written: Written,
        read: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let shown = default.map(|text| if written == Written::Text { format!("{text:?}") } else { text.to_owned() });
        let text = match self.ask(key, shown) {
            Some(value) => self.scalar(value, written),
            None => Ok(default?.to_owned()),
        };
        let value = text.and_then(|text| match text.trim() {
            "" => Err(Wrong::new("is empty", "write a value, or leave the key out")),
            text => read(text),
        });
        value.map_err(|wrong| self.reader.complain(&self.path.key(key), wrong)).ok()
    }

    /// A list by `read` for each element; in the environment also written with commas.
    pub(super) fn list<T>(
        &self,
        key: &str,
        default: &[&str],
        read: impl FnMut(&str) -> Result<T, Wrong>,
    ) -> Option<Vec<T>> {
        let value = self.ask(key, Some(format!("{default:?}")));
        let path = self.path.key(key);
        let elements = match value {
            None => default.iter().map(|text| (path.clone(), Ok((*text).to_owned()))).collect(),
            Some(value) => self.elements_of(&path, value),
        };
        self.read_all(elements, read)
    }

    /// One text or a list of them, by `read` for each; none when it was not written.
    pub(super) fn one_or_more<T>(&self, key: &str, read: impl FnMut(&str) -> Result<T, Wrong>) -> Option<Vec<T>> {
        let path = self.path.key(key);
        let elements = match self.ask(key, None) {
            None => Vec::new(),
            Some(value @ Value::String(_, text)) if !self.reader.sources.is_from_environment(value) => {
                vec![(path, Ok(text.clone()))]
            }
            Some(value) => self.elements_of(&path, value),
        };
        self.read_all(elements, read)
    }

    fn elements_of(&self, path: &KeyPath, value: &Value) -> Vec<(KeyPath, Result<String, Wrong>)> {
        match value {
            Value::Array(_, values) => {
                let texts = values.iter().enumerate();
                texts.map(|(index, value)| (path.index(index), self.scalar(value, Written::Text))).collect()
            }
            Value::String(_, text) if self.reader.sources.is_from_environment(value) => self.elements(path, text),
            _ => vec![(path.clone(), Err(Wrong::new("is not a list", "write it in brackets: [\"one\", \"two\"]")))],
        }
    }

    fn read_all<T>(
        &self,
        elements: Vec<(KeyPath, Result<String, Wrong>)>,
        mut read: impl FnMut(&str) -> Result<T, Wrong>,
    ) -> Option<Vec<T>> {
        let mut all = Vec::with_capacity(elements.len());
        let mut sound = true;
        for (path, text) in elements {
            let value = text.and_then(|text| match text.trim() {
                "" => Err(Wrong::new("is empty", "write a value, or leave it out")),
                text => read(text),
            });
            match value {
                Ok(value) => all.push(value),
                Err(wrong) => {
                    self.reader.complain(&path, wrong);
                    sound = false;
                }
            }
        }
        sound.then_some(all)
    }

    fn elements(&self, path: &KeyPath, text: &str) -> Vec<(KeyPath, Result<String, Wrong>)> {
        let text = text.trim();
        if text.starts_with('[') {
            return match parse_value(text) {
                Ok(Value::Array(_, values)) => {
                    values.iter().map(|value| (path.clone(), self.scalar(value, Written::Text))).collect()
                }
                Ok(_) | Err(_) => {
                    vec![(path.clone(), Err(Wrong::new("is not a list", "write one,two or [\"one\", \"two\"]")))]
                }
            };
        }
        // A variable that somebody forgot to fill in is a mistake, and no list that lets everybody in: none is `[]`.
        text.split(',').map(|part| (path.clone(), Ok(part.trim().to_owned()))).collect()
    }

    /// A table below; absent when it was not written.
    pub(super) fn table(&self, key: &str) -> Table<'r> {
        let entries = match self.value(key) {
            Some(Value::Dict(_, entries)) => Some(entries),
            Some(_) => {
                self.complain(
                    key,
                    "is not a table",
                    format!("write [{}] on a line of its own and its keys below", self.path.key(key)),
                );
                None
            }
            None => None,
        };
        self.below(self.path.key(key), key, entries)
    }

    /// The tables of a table of tables, by the names that the user gave them.
    pub(super) fn named(&self) -> Vec<(String, Table<'r>)> {
        let mut tables = Vec::new();
        for (name, value) in self.entries.into_iter().flatten() {
            self.asked.borrow_mut().insert(name.clone());
            match value {
                Value::Dict(_, entries) => {
                    tables.push((name.clone(), self.below(self.path.key(name), "NAME", Some(entries))))
                }
                _ => self.complain(name, "is not a table", format!("write [{}.NAME] and its keys below", self.path)),
            }
        }
        tables
    }

    /// The tables of a list, as `[[key]]` writes them.
    pub(super) fn tables(&self, key: &str) -> Vec<Table<'r>> {
        let path = self.path.key(key);
        let mut value = self.value(key);
        if let Some(given @ Value::String(_, text)) = value
            && self.reader.sources.is_from_environment(given)
        {
            match parse_value(text) {
                Ok(list) => value = Some(self.reader.parsed.keep(&path, list)),
                Err(wrong) => {
                    self.reader.complain(&path, wrong);
                    return Vec::new();
                }
            }
        }
        let mut tables = Vec::new();
        match value {
            None => {}
            Some(Value::Array(_, values)) => {
                for (index, value) in values.iter().enumerate() {
                    match value {
                        Value::Dict(_, entries) => tables.push(self.below(path.index(index), key, Some(entries))),
                        _ => self.reader.complain(
                            &path.index(index),
                            Wrong::new("is not a table", format!("write [[{key}]] and its keys below")),
                        ),
                    }
                }
            }
            Some(_) => self.complain(
                key,
                "is not a list of tables",
                format!("write [[{key}]], with two brackets, and its keys below"),
            ),
        }
        tables
    }

    /// Every key and its text, for a table whose keys are the user's own.
    pub(super) fn pairs(&self, example: &str) -> Vec<(String, String)> {
        self.note(example, None);
        let mut pairs = Vec::new();
        for (key, value) in self.entries.into_iter().flatten() {
            self.asked.borrow_mut().insert(key.clone());
            match self.scalar(value, Written::Text) {
                Ok(text) => pairs.push((key.clone(), text.trim().to_owned())),
                Err(wrong) => self.reader.complain(&self.path.key(key), wrong),
            }
        }
        pairs
    }

    /// The value of `key`, which is known from now on.
    pub(super) fn ask(&self, key: &str, default: Option<String>) -> Option<&'r Value> {
        self.note(key, default);
        self.value(key)
    }

    /// Reports the keys that nobody asked for. To be called last.
    pub(super) fn finish(&self) {
        let asked = self.asked.borrow();
        let strange = self.entries.into_iter().flatten().map(|(key, _)| key).filter(|key| !asked.contains(*key));
        let siblings: Vec<String> = asked.iter().cloned().collect();
        let strangers = strange.map(|key| (self.path.key(key), siblings.clone()));
        self.reader.strangers.borrow_mut().extend(strangers);
    }

    fn below(&self, path: KeyPath, name: &str, entries: Option<&'r Dict>) -> Table<'r> {
        Table { reader: self.reader, path, pattern: self.dotted(name), entries, asked: RefCell::default() }
    }

    fn value(&self, key: &str) -> Option<&'r Value> {
        self.asked.borrow_mut().insert(key.to_owned());
        self.entries.and_then(|entries| entries.get(key))
    }

    fn note(&self, key: &str, default: Option<String>) {
        self.reader.known.borrow_mut().insert(Known { key: self.dotted(key), default });
    }

    fn dotted(&self, key: &str) -> String {
        if self.pattern.is_empty() { key.to_owned() } else { format!("{}.{key}", self.pattern) }
    }

    fn scalar(&self, value: &Value, written: Written) -> Result<String, Wrong> {
        let from_environment = self.reader.sources.is_from_environment(value);
        match (value, written) {
            (Value::String(_, text), Written::Text | Written::Number) => Ok(text.clone()),
            (Value::String(_, text), Written::Truth) if from_environment => Ok(text.clone()),
            (Value::Bool(_, truth), Written::Truth) => Ok(truth.to_string()),
            (Value::Num(_, number), Written::Number) => number
                .to_i128()
                .or_else(|| number.to_u128().and_then(|number| i128::try_from(number).ok()))
                .map(|number| number.to_string())
                .ok_or_else(|| Wrong::new("is not a whole number", "write digits only")),
            (_, Written::Truth) => Err(Wrong::new("is neither true nor false", "write true or false, without quotes")),
            (_, Written::Number) => Err(Wrong::new("is not a number", "write digits only")),
            (Value::Num(..), Written::Text) => Err(Wrong::new(
                "is a bare number",
                "write it as text in quotes, durations and sizes with their unit: \"30s\", \"64KiB\"",
            )),
            (_, Written::Text) => Err(Wrong::new("is not text", "write it in quotes")),
        }
    }
}
