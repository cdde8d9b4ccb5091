//! The table of what was promised and what is.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;

use minijinja::value::Serde;
use portcullis::emulator::Running;
use serde::Serialize;
use serde_json::Value;

use crate::options::Options;
use crate::report::Report;

/// What a figure is counted in.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) enum Unit {
    Ratio,
    KiB,
    MB,
    #[serde(rename = "ms")]
    Millis,
}

impl Unit {
    fn of(self, value: f64) -> String {
        match self {
            // Of these two digits hide a tenth.
            Self::Ratio if value < 0.1 => format!("{value:.3}"),
            Self::Ratio => format!("{value:.2}"),
            Self::KiB => format!("{value:.2} KiB"),
            Self::MB => format!("{value:.1} MB"),
            Self::Millis => format!("{value:.0} ms"),
        }
    }
}

/// Which side of the limit is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Limit {
    AtMost,
    AtLeast,
}

/// One figure as it was promised.
#[derive(Debug, Serialize)]
pub(super) struct Promise {
    name: String,
    limit: Limit,
    must: f64,
    aim: f64,
    unit: Unit,
    /// What else there is to say.
    pub(super) note: String,
}

impl Promise {
    /// Less is better.
    pub(super) fn at_most(name: impl Into<String>, must: f64, aim: f64, unit: Unit) -> Self {
        Self { name: name.into(), limit: Limit::AtMost, must, aim, unit, note: String::new() }
    }

    /// More is better.
    pub(super) fn at_least(name: impl Into<String>, must: f64, aim: f64, unit: Unit) -> Self {
        Self { limit: Limit::AtLeast, ..Self::at_most(name, must, aim, unit) }
    }

    fn judge(&self, measured: Option<f64>) -> Outcome {
        let Some(measured) = measured else { return Outcome::Unmeasured };
        let is_within = |limit: f64| match self.limit {
            Limit::AtMost => measured <= limit,
            Limit::AtLeast => measured >= limit,
        };
        match (is_within(self.must), is_within(self.aim)) {
            (_, true) => Outcome::Aim,
            (true, false) => Outcome::Must,
            (false, false) => Outcome::Missed,
        }
    }

    /// How far along the way to the limit, which is 1: beyond it the promise is broken.
    fn share(&self, value: f64) -> f64 {
        match self.limit {
            Limit::AtMost => value / self.must,
            Limit::AtLeast => self.must / value.max(f64::MIN_POSITIVE),
        }
    }
}

/// What became of a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Aim,
    Must,
    Missed,
    Unmeasured,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aim => "yes, the aim too",
            Self::Must => "yes",
            Self::Missed => "**no**",
            Self::Unmeasured => "not measured",
        })
    }
}

#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    promise: Promise,
    measured: Option<f64>,
    outcome: Outcome,
    /// For the picture: limit 1, aim and measurement beside it.
    share: Option<f64>,
    aim_share: f64,
    text: String,
}

/// All figures, and the runs that they come from.
#[derive(Serialize)]
pub(super) struct Table<'a> {
    /// Where people sign in, for every run.
    #[serde(skip)]
    pub(super) org: &'a Running,
    settings: String,
    rows: Vec<Row>,
    failed: Vec<(String, String)>,
    runs: Vec<Value>,
    /// The tables of the runs, for people.
    #[serde(skip)]
    details: String,
}

impl<'a> Table<'a> {
    /// Nothing yet.
    pub(super) fn new(base: &Options, org: &'a Running) -> Self {
        Self {
            org,
            settings: base.to_string(),
            rows: Vec::new(),
            failed: Vec::new(),
            runs: Vec::new(),
            details: String::new(),
        }
    }

    /// Everything of a run, for people now and for programs later.
    pub(super) fn keep(&mut self, report: &Report) -> anyhow::Result<()> {
        let details = report.table();
        println!("{details}");
        self.details.push_str(&details);
        self.keep_value(serde_json::to_value(report.results())?);
        Ok(())
    }

    /// What is no usual run.
    pub(super) fn keep_value(&mut self, run: Value) {
        self.runs.push(run);
    }

    /// One figure; `None`: there was nothing to compare with.
    pub(super) fn add(&mut self, promise: Promise, measured: Option<f64>) {
        let outcome = promise.judge(measured);
        let text = measured.map_or_else(|| "-".to_owned(), |value| promise.unit.of(value));
        let (share, aim_share) = (measured.map(|value| promise.share(value)), promise.share(promise.aim));
        self.rows.push(Row { promise, measured, outcome, share, aim_share, text });
    }

    /// A run that came to nothing.
    pub(super) fn fail(&mut self, name: &str, error: &anyhow::Error) {
        self.failed.push((name.to_owned(), format!("{error:#}")));
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "{}\n\n| figure | must | aim | measured | met | |\n| --- | ---: | ---: | ---: | --- | --- |\n",
            self.settings
        );
        for Row { promise, outcome, text: measured, .. } in &self.rows {
            let sign = if promise.limit == Limit::AtMost { "<=" } else { ">=" };
            let (must, aim) = (promise.unit.of(promise.must), promise.unit.of(promise.aim));
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "| {} | {sign} {must} | {aim} | {measured} | {outcome} | {} |",
                promise.name, promise.note
            );
        }
        for (name, error) in &self.failed {
            let _ = writeln!(text, "\n{name} failed: {error}");
        }
        text
    }

    /// For `docs/performance.md`: what must be and what is.
    fn summary(&self) -> String {
        let mut text = "| figure | must | measured | beside it |\n| --- | ---: | ---: | --- |\n".to_owned();
        for Row { promise, outcome, text: measured, .. } in &self.rows {
            let mark = if *outcome == Outcome::Missed { "**" } else { "" };
            let sign = if promise.limit == Limit::AtMost { "<=" } else { ">=" };
            let (name, must, note) = (&promise.name, promise.unit.of(promise.must), &promise.note);
            // Writing to a string does not fail.
            let _ = writeln!(text, "| {name} | {sign} {must} | {mark}{measured}{mark} | {note} |");
        }
        text
    }

    /// `figures.json`, `figures.svg`, and `figures.md` with all tables as they belong into `docs/performance.md`.
    pub(super) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        fs::write(folder.join("figures.md"), format!("{}\n{}", self.summary(), self.details))?;
        fs::write(folder.join("figures.json"), serde_json::to_string_pretty(self)?)?;
        let mut templates = minijinja::Environment::new();
        templates.add_template("figures.html", include_str!("figures.svg.jinja"))?;
        let picture = templates.get_template("figures.html")?;
        let picture = picture.render(minijinja::context! { table => minijinja::Value::from(Serde(self)) })?;
        fs::write(folder.join("figures.svg"), picture)?;
        Ok(())
    }
}
