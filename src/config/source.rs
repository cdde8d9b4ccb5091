//! Where configuration comes from: the file's text and the environment, layered by figment.
//!
//! figment knows which layer a value came from but no line, so the text is parsed a second time with spans
//! (`toml_edit`). Environment values stay text until their key is known: figment's own reader would turn a
//! secret of digits into a number. Called by `config::file` and `config::reader`.

use std::cell::OnceCell;
use std::fmt;
use std::path::{Path, PathBuf};

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile};
use toml_edit::{ImDocument, Item, TableLike};

use super::problem::{Place, Problem, Wrong};

const ENVIRONMENT: &str = "environment";
/// What every variable of ours begins with.
pub(super) const PREFIX: &str = "PORTCULLIS_";

/// One step from the root of the configuration to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// The way from the root to a value; prints as `route[1].path`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyPath(pub(super) Vec<Step>);

impl KeyPath {
    pub(super) fn key(&self, key: &str) -> Self {
        self.with(Step::Key(key.to_owned()))
    }

    pub(super) fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{}]", index + 1)?,
                Step::Key(key) => {
                    let dot = if position > 0 { "." } else { "" };
                    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
                    if bare { write!(f, "{dot}{key}")? } else { write!(f, "{dot}{key:?}")? }
                }
            }
        }
        Ok(())
    }
}

/// One variable of ours: the keys it stands for, its name and its value.
struct Variable {
    keys: Vec<String>,
    name: String,
    value: String,
}

/// The two layers, and the means to say where a value was written.
pub(super) struct Sources {
    file: String,
    text: String,
    document: ImDocument<String>,
    variables: Vec<Variable>,
    environment: Vec<(String, String)>,
    figment: Figment,
}

impl Sources {
    /// Layers `environment` over `text`, which is called `file` in complaints.
    pub(super) fn new(text: &str, file: &str, environment: &[(String, String)]) -> Result<(Self, Dict), Vec<Problem>> {
        let document = match ImDocument::parse(text.to_owned()) {
            Ok(document) => document,
            Err(error) => return Err(vec![syntax(text, file, error.message(), error.span().map(|span| span.start))]),
        };
        let variables: Vec<Variable> = environment.iter().filter_map(|(name, value)| variable(name, value)).collect();
        let figment = Figment::new().merge(Toml::string(text)).merge(Environment(&variables));
        let merged = figment.find_value("").ok().and_then(Value::into_dict);
        let sources = Self {
            file: file.to_owned(),
            text: text.to_owned(),
            document,
            variables,
            environment: environment.to_vec(),
            figment,
        };
        Ok((sources, merged.unwrap_or_default()))
    }

    /// Whether a value came from the environment.
    pub(super) fn is_from_environment(&self, value: &Value) -> bool {
        self.figment.get_metadata(value.tag()).is_some_and(|metadata| metadata.name == ENVIRONMENT)
    }

    /// The variable of this exact name, for `{ env = "NAME" }`.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A path as written, read from the directory that the file is in.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        Path::new(&self.file).parent().map_or_else(|| PathBuf::from(path), |directory| directory.join(path))
    }

    /// Where `path` was written; where the nearest table above it was when it is missing.
    pub(super) fn place(&self, path: &KeyPath) -> Place {
        let by_variable = self
            .variables
            .iter()
            .find(|variable| variable.keys.len() <= path.0.len() && agree(&path.0, &variable.keys));
        if let Some(variable) = by_variable {
            return Place::Environment(variable.name.clone());
        }
        let offset = offset(self.document.as_item(), &path.0);
        match offset {
            Some(offset) => Place::Line { file: self.file.clone(), line: line(&self.text, offset) },
            None => self.variable_below(path).unwrap_or_else(|| Place::File(self.file.clone())),
        }
    }

    /// How far into the file `path` is written; what only the environment speaks of comes after all of it.
    pub(super) fn rank(&self, path: &KeyPath) -> usize {
        let mut found = usize::MAX;
        let mut here = self.document.as_item();
        for step in &path.0 {
            let Some((start, item)) = next(here, step) else { return usize::MAX };
            found = start.unwrap_or(found);
            here = item;
        }
        found
    }

    /// A table that only the environment speaks of: the first variable inside it.
    fn variable_below(&self, path: &KeyPath) -> Option<Place> {
        let inside = self.variables.iter().find(|variable| {
            !path.0.is_empty() && variable.keys.len() > path.0.len() && agree(&path.0, &variable.keys)
        });
        inside.map(|variable| Place::Environment(variable.name.clone()))
    }
}

fn agree(steps: &[Step], keys: &[String]) -> bool {
    steps.iter().zip(keys).all(|(step, key)| matches!(step, Step::Key(name) if name == key))
}

/// The environment as a layer, every value as text.
struct Environment<'a>(&'a [Variable]);

impl figment::Provider for Environment<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named(ENVIRONMENT)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut root = Dict::new();
        for variable in self.0 {
            insert(&mut root, &variable.keys, &variable.value);
        }
        Ok(Profile::Default.collect(root))
    }
}

fn insert(table: &mut Dict, keys: &[String], value: &str) {
    match keys {
        [] => {}
        [last] => {
            table.insert(last.clone(), Value::from(value));
        }
        [first, rest @ ..] => {
            let below = table.entry(first.clone()).or_insert_with(|| Value::from(Dict::new()));
            if !matches!(below, Value::Dict(..)) {
                *below = Value::from(Dict::new());
            }
            if let Value::Dict(_, below) = below {
                insert(below, rest, value);
            }
        }
    }
}

/// The keys that a variable stands for; `None` when it is not one of ours.
fn variable(name: &str, value: &str) -> Option<Variable> {
    let rest = name.strip_prefix(PREFIX)?;
    if is_kubernetes(rest) {
        return None;
    }
    let keys = rest.split("__").map(str::to_ascii_lowercase).collect();
    Some(Variable { keys, name: name.to_owned(), value: value.to_owned() })
}

/// Kubernetes describes a Service called `portcullis` to every container beside it in variables of this
/// shape (`PORTCULLIS_PORT_443_TCP_ADDR`); they are not meant for us.
fn is_kubernetes(rest: &str) -> bool {
    let port = |rest: &str| {
        let number = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        number.len() < rest.len() && ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| number.starts_with(protocol))
    };
    rest == "SERVICE_HOST"
        || rest == "SERVICE_PORT"
        || rest.starts_with("SERVICE_PORT_")
        || rest == "PORT"
        || rest.strip_prefix("PORT_").is_some_and(port)
}

/// Where in the text the last step that exists was written.
fn offset(root: &Item, steps: &[Step]) -> Option<usize> {
    let mut found = None;
    let mut here = root;
    for step in steps {
        let Some((start, item)) = next(here, step) else { break };
        found = start.or(found);
        here = item;
    }
    found
}

type Found<'a> = (Option<usize>, &'a Item);

fn next<'a>(here: &'a Item, step: &Step) -> Option<Found<'a>> {
    match step {
        Step::Key(name) => here.as_table_like().and_then(|table| entry(table, name)),
        Step::Index(index) => element(here, *index),
    }
}

fn entry<'a>(table: &'a dyn TableLike, name: &str) -> Option<Found<'a>> {
    let (key, item) = table.get_key_value(name)?;
    let span = key.span().or_else(|| item.span());
    Some((span.map(|span| span.start), item))
}

fn element(item: &Item, index: usize) -> Option<Found<'_>> {
    let found = item.get(index)?;
    Some((found.span().map(|span| span.start), found))
}

/// The line of a byte, from 1.
fn line(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

/// What the parser says, with the line and a caret. The letters of values are drawn as dots: the line that
/// lacks a quote may well be the one with the secret.
fn syntax(text: &str, file: &str, message: &str, offset: Option<usize>) -> Problem {
    let offset = offset.unwrap_or(text.len()).min(text.len());
    let number = line(text, offset);
    let start = text.as_bytes().iter().take(offset).rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let shown = dotted(text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or(""));
    let column = text.get(start..offset).map_or(0, |before| before.chars().count());
    let said = message.lines().collect::<Vec<_>>().join(", ");
    Problem {
        place: Place::Line { file: file.to_owned(), line: number },
        key: String::new(),
        wrong: format!("this is not TOML: {said}"),
        instead: format!("{shown}\n    {}^", " ".repeat(column)),
    }
}

fn dotted(line: &str) -> String {
    let heading = line.trim_start().starts_with('[');
    let end = if heading { line.find(']') } else { line.find('=') }.unwrap_or(0);
    // A secret that spilled over a line may stand left of a `=`, but none is made of small letters alone.
    let is_name = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || " \t[\"._-".contains(c));
    let named = line.get(..end).filter(|name| is_name(name)).map_or(0, str::len);
    let hide = |(at, c): (usize, char)| {
        let structure = c.is_whitespace() || "\"'[]{}=,#".contains(c);
        if at < named || structure { c } else { '·' }
    };
    line.char_indices().map(hide).collect()
}

/// A list or table written in the environment as TOML: `[{ upstream = "http://127.0.0.1:3000" }]`.
pub(super) fn parse_value(text: &str) -> Result<Value, Wrong> {
    let wrong = || Wrong::new("is not a TOML value", "write it as in the file: [\"one\", \"two\"]");
    let data = Figment::new().merge(Toml::string(&format!("value = {text}")));
    // Two keys would mean that the text ended the value and began another.
    let mut table = data.find_value("").ok().and_then(Value::into_dict).filter(|table| table.len() == 1);
    table.as_mut().and_then(|table| table.remove("value")).ok_or_else(wrong)
}

/// Lists of tables as they were read from the environment, each found at its path.
#[derive(Default)]
pub(super) struct Parsed(OnceCell<Box<(KeyPath, Value, Parsed)>>);

impl Parsed {
    /// The list at `path`: `list`, unless one is there already.
    pub(super) fn keep(&self, path: &KeyPath, list: Value) -> &Value {
        let mut here = self;
        loop {
            let (at, value, rest) = &**here.0.get_or_init(|| Box::new((path.clone(), list.clone(), Self::default())));
            if at == path {
                return value;
            }
            here = rest;
        }
    }
}
