//! The results: medians over the rounds, as a table, as JSON, as a picture.

mod variant;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use minijinja::value::Serde;
use serde::Serialize;

use super::generator::Seen;
use super::micros_each;
use super::options::Options;

pub(crate) use variant::{Scale, Variant, Whose};

/// From this share of a core on, whoever has no other is at its limit.
const FULL: f64 = 0.95;

/// Bodies of which the volume is of interest, from so many bytes on.
const VOLUMINOUS: usize = 4096;

/// One variant in one round.
pub(crate) struct Measured {
    /// By the load generator.
    pub(crate) seen: Seen,
    /// CPU time of the server's processes.
    pub(crate) cpu: Duration,
    /// CPU time of the app.
    pub(crate) app: Duration,
}

/// Sign-ins through the gateway.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SignIns {
    /// How many.
    pub(crate) count: u64,
    /// How long they took in all; the pretend org's part is most of it.
    pub(crate) seconds: f64,
    /// CPU time of the gateway for each.
    pub(crate) cpu_micros: f64,
    /// Memory that each left behind.
    pub(crate) bytes: u64,
}

/// Everything that was measured.
pub(crate) struct Report {
    title: &'static str,
    settings: String,
    unit: &'static str,
    body: Option<usize>,
    pinned: bool,
    rounds: BTreeMap<Variant, Vec<Measured>>,
    /// Who is held against whom.
    pub(crate) pairs: Vec<(Variant, Variant)>,
    /// Memory for each idle connection.
    pub(crate) idle: BTreeMap<Variant, u64>,
    /// Of each gateway, unless there was only a handful.
    pub(crate) sign_ins: Vec<SignIns>,
    /// CPU time of one sign-in at a peer, in microseconds.
    pub(crate) peer_sign_ins: BTreeMap<Variant, f64>,
    /// The gateway's memory before anybody came.
    pub(crate) memory_at_start: u64,
    /// And after all rounds.
    pub(crate) memory_after_load: u64,
}

/// Medians of one variant over the rounds.
#[derive(Clone, Debug, Serialize)]
struct Row {
    variant: Variant,
    requests_per_second: f64,
    gigabytes_per_second: Option<f64>,
    p50_micros: u64,
    p99_micros: u64,
    p999_micros: u64,
    cpu_micros_per_request: f64,
    /// CPU for each request in each round: how far to trust the median.
    cpu_rounds: Vec<f64>,
    /// How many cores the proxy, the app and the load generator kept busy.
    cores: f64,
    cores_of_app: f64,
    cores_of_generator: f64,
    /// By how much the generator missed its own schedule, in 99 of 100 cases.
    late_micros: Option<u64>,
    negotiated: Option<String>,
}

/// One variant against another: medians over the rounds of the ratio within each round.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Ratios {
    /// CPU time for each request.
    pub(crate) cpu: f64,
    /// Requests each second.
    pub(crate) throughput: f64,
    /// Latencies.
    pub(crate) p50: f64,
    /// Of 99 in 100.
    pub(crate) p99: f64,
    /// Of 999 in 1000.
    pub(crate) p999: f64,
}

#[derive(Serialize)]
struct Pair {
    variant: Variant,
    to: Variant,
    #[serde(flatten)]
    ratios: Ratios,
}

/// As JSON has them.
#[derive(Serialize)]
pub(crate) struct Results<'a> {
    title: &'a str,
    settings: &'a str,
    unit: &'a str,
    rows: Vec<Row>,
    ratios: Vec<Pair>,
    idle_connection_bytes: &'a BTreeMap<Variant, u64>,
    sign_ins: &'a [SignIns],
    peer_sign_in_cpu_micros: &'a BTreeMap<Variant, f64>,
    memory_at_start: u64,
    memory_after_load: u64,
}

impl Report {
    /// Nothing yet.
    pub(crate) fn new(options: &Options, title: &'static str) -> Self {
        let work = options.work();
        Self {
            title,
            settings: options.to_string(),
            unit: work.unit(),
            body: Some(options.body.max(options.upload)).filter(|bytes| work.has_bodies() && *bytes >= VOLUMINOUS),
            pinned: options.pin,
            rounds: BTreeMap::new(),
            pairs: Vec::new(),
            idle: BTreeMap::new(),
            sign_ins: Vec::new(),
            peer_sign_ins: BTreeMap::new(),
            memory_at_start: 0,
            memory_after_load: 0,
        }
    }

    /// One more round of one variant.
    pub(crate) fn add(&mut self, variant: Variant, measured: Measured) {
        self.rounds.entry(variant).or_default().push(measured);
    }

    /// How `over` compares with `under`, when both were measured.
    pub(crate) fn ratios(&self, over: Variant, under: Variant) -> Option<Ratios> {
        let (over, under) = (self.rounds.get(&over)?, self.rounds.get(&under)?);
        let ratio = |of: fn(&Measured) -> f64| {
            // Less than a microsecond is measured as none.
            median(over.iter().zip(under).map(|(over, under)| of(over) / of(under).max(f64::MIN_POSITIVE)))
        };
        Some(Ratios {
            cpu: ratio(Measured::cpu_micros),
            throughput: ratio(Measured::rate),
            p50: ratio(|round| round.seen.p50 as f64),
            p99: ratio(|round| round.seen.p99 as f64),
            p999: ratio(|round| round.seen.p999 as f64),
        })
    }

    fn row(&self, variant: Variant, rounds: &[Measured]) -> Row {
        let of = |what: fn(&Measured) -> f64| median(rounds.iter().map(what));
        let gigabytes = |body: usize| of(Measured::rate) * body as f64 / 1e9;
        Row {
            variant,
            requests_per_second: of(Measured::rate),
            gigabytes_per_second: self.body.map(gigabytes),
            p50_micros: of(|round| round.seen.p50 as f64) as u64,
            p99_micros: of(|round| round.seen.p99 as f64) as u64,
            p999_micros: of(|round| round.seen.p999 as f64) as u64,
            cpu_micros_per_request: of(Measured::cpu_micros),
            cpu_rounds: rounds.iter().map(Measured::cpu_micros).collect(),
            cores: of(|round| round.cpu.as_secs_f64() / round.seen.seconds),
            cores_of_app: of(|round| round.app.as_secs_f64() / round.seen.seconds),
            cores_of_generator: of(|round| round.seen.cpu / round.seen.seconds),
            late_micros: rounds.iter().filter_map(|round| round.seen.late).max(),
            negotiated: rounds.iter().find_map(|round| round.seen.negotiated.clone()),
        }
    }

    /// A few variants in a few words.
    pub(crate) fn summary(&self, variants: &[Variant]) -> String {
        let one = |variant: &Variant| {
            let row = self.row(*variant, self.rounds.get(variant)?);
            let (rate, cpu) = (row.requests_per_second, row.cpu_micros_per_request);
            let mut text = format!("{variant}: {cpu:.1} us, {rate:.0}/s");
            if let Some(volume) = row.gigabytes_per_second {
                // Writing to a string does not fail.
                let _ = write!(text, ", {volume:.2} GB/s");
            }
            let _ = write!(text, ", p50 {} p99 {} us", row.p50_micros, row.p99_micros);
            if self.is_generator_full(&row) {
                text += " (load generator full)";
            }
            Some(text)
        };
        variants.iter().filter_map(one).collect::<Vec<_>>().join("; ")
    }

    /// Everything, summed up.
    pub(crate) fn results(&self) -> Results<'_> {
        let pair = |&(variant, to): &(Variant, Variant)| {
            let ratios = self.ratios(variant, to)?;
            Some(Pair { variant, to, ratios })
        };
        Results {
            title: self.title,
            settings: &self.settings,
            unit: self.unit,
            rows: self.rounds.iter().map(|(&variant, rounds)| self.row(variant, rounds)).collect(),
            ratios: self.pairs.iter().filter_map(pair).collect(),
            idle_connection_bytes: &self.idle,
            sign_ins: &self.sign_ins,
            peer_sign_in_cpu_micros: &self.peer_sign_ins,
            memory_at_start: self.memory_at_start,
            memory_after_load: self.memory_after_load,
        }
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let results = self.results();
        let mut text = format!("{}\n\n", self.settings);
        if !results.rows.is_empty() {
            self.write_rows(&mut text, &results);
        }
        self.write_memory(&mut text);
        text
    }

    fn write_memory(&self, text: &mut String) {
        // Writing to a string does not fail.
        for (variant, bytes) in &self.idle {
            let _ = writeln!(text, "Memory for each idle connection, {variant}: {:.1} KiB", *bytes as f64 / 1024.0);
        }
        for sign_ins in &self.sign_ins {
            let _ = writeln!(
                text,
                "Sign-ins: {} in {:.1} s, {:.0} each second, {:.0} us CPU of the gateway and {} bytes of memory for each",
                sign_ins.count,
                sign_ins.seconds,
                sign_ins.count as f64 / sign_ins.seconds,
                sign_ins.cpu_micros,
                sign_ins.bytes
            );
        }
        for (peer, micros) in &self.peer_sign_ins {
            let _ = writeln!(text, "CPU of one sign-in, {peer}: {micros:.0} us");
        }
        let mib = |bytes: u64| bytes as f64 / (1024.0 * 1024.0);
        let _ = writeln!(
            text,
            "Memory of the gateway: {:.1} MiB at start, {:.1} MiB after the load",
            mib(self.memory_at_start),
            mib(self.memory_after_load)
        );
    }

    /// Whether the proxy waited for the load generator more than that for the proxy.
    fn is_generator_full(&self, row: &Row) -> bool {
        let beside = if self.pinned { row.cores_of_app } else { 0.0 };
        row.variant != Variant::Direct && row.cores < FULL && row.cores_of_generator + beside > FULL
    }

    fn write_rows(&self, text: &mut String, results: &Results<'_>) {
        let (unit, rows) = (self.unit, &results.rows);
        let (volume, rule) = if self.body.is_some() { (" GB/s |", " ---: |") } else { ("", "") };
        let _ = writeln!(
            text,
            "| variant | {unit}s/s |{volume} p50 | p99 | p99.9 | CPU per {unit} | cores: proxy, app, generator |\n\
             | --- | ---: |{rule} ---: | ---: | ---: | ---: | ---: |"
        );
        for row in rows {
            let volume = row.gigabytes_per_second.map_or_else(String::new, |volume| format!(" {volume:.2} |"));
            let _ = writeln!(
                text,
                "| {} | {:.0} |{volume} {} us | {} us | {} us | {:.1} us | {:.2}, {:.2}, {:.2} |",
                row.variant,
                row.requests_per_second,
                row.p50_micros,
                row.p99_micros,
                row.p999_micros,
                row.cpu_micros_per_request,
                row.cores,
                row.cores_of_app,
                row.cores_of_generator
            );
        }
        text.push('\n');
        for row in rows {
            if self.is_generator_full(row) {
                let _ = writeln!(text, "{}: the load generator's core was full, not the proxy's.", row.variant);
            }
            if let Some(late) = row.late_micros {
                let _ = writeln!(text, "{}: the generator itself was late by up to {late} us (p99).", row.variant);
            }
            if let Some(what) = &row.negotiated {
                let _ = writeln!(text, "{}: {what}", row.variant);
            }
        }
        *text += "\n| ratio of | CPU | rate | p50 | p99 | p99.9 |\n| --- | ---: | ---: | ---: | ---: | ---: |\n";
        for Pair { variant, to, ratios } in &results.ratios {
            let Ratios { cpu, throughput, p50, p99, p999 } = ratios;
            let _ =
                writeln!(text, "| {variant} to {to} | {cpu:.2} | {throughput:.2} | {p50:.2} | {p99:.2} | {p999:.2} |");
        }
        text.push('\n');
    }

    /// `results.json` and `results.svg`, or as `name` says.
    pub(crate) fn write(&self, folder: &Path, name: &str) -> anyhow::Result<()> {
        let results = self.results();
        fs::create_dir_all(folder)?;
        fs::write(folder.join(format!("{name}.json")), serde_json::to_string_pretty(&results)?)?;
        let most = results.rows.iter().flat_map(|row| &row.cpu_rounds).copied().fold(0.001, f64::max);
        let mut templates = minijinja::Environment::new();
        templates.add_template("results.html", include_str!("report/results.svg.jinja"))?;
        let picture = templates.get_template("results.html")?.render(
            minijinja::context! { results => minijinja::Value::from(Serde(&results)), scale => 460.0 / most },
        )?;
        fs::write(folder.join(format!("{name}.svg")), picture)?;
        Ok(())
    }
}

impl Measured {
    fn rate(&self) -> f64 {
        self.seen.requests as f64 / self.seen.seconds
    }

    fn cpu_micros(&self) -> f64 {
        micros_each(self.cpu, self.seen.requests)
    }
}

/// The middle one.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}
