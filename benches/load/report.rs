//! The results: medians over the rounds, as a table, as JSON, as a picture.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;
use std::time::Duration;

use minijinja::value::Serde;
use serde::Serialize;

use super::generator::Seen;
use super::micros_each;
use super::options::{Options, Peer};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Variant {
    /// The app alone.
    Direct,
    /// Another proxy.
    Peer(Peer),
    /// The gateway, with sessions checked and identity headers injected.
    Gateway,
}

impl Variant {
    fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Peer(peer) => peer.as_str(),
            Self::Gateway => "portcullis",
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Variant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One variant in one round.
pub(crate) struct Measured {
    /// By the load generator.
    pub(crate) seen: Seen,
    /// CPU time of the server's processes.
    pub(crate) cpu: Duration,
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
    settings: String,
    rounds: BTreeMap<Variant, Vec<Measured>>,
    /// Memory for each idle connection.
    pub(crate) idle: BTreeMap<Variant, u64>,
    /// Unless there was only a handful.
    pub(crate) sign_ins: Option<SignIns>,
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
    p50_micros: u64,
    p99_micros: u64,
    p999_micros: u64,
    cpu_micros_per_request: f64,
    /// CPU for each request in each round: how far to trust the median.
    cpu_rounds: Vec<f64>,
}

#[derive(Serialize)]
struct Results<'a> {
    settings: &'a str,
    rows: Vec<Row>,
    /// By peer: median over the rounds of the ratio within each round.
    cpu_gateway_to: BTreeMap<Variant, f64>,
    throughput_gateway_to_direct: Option<f64>,
    idle_connection_bytes: &'a BTreeMap<Variant, u64>,
    sign_ins: &'a Option<SignIns>,
    peer_sign_in_cpu_micros: &'a BTreeMap<Variant, f64>,
    memory_at_start: u64,
    memory_after_load: u64,
}

impl Report {
    /// Nothing yet.
    pub(crate) fn new(options: &Options) -> Self {
        let protocol = match (options.http2, options.is_secure()) {
            (true, _) => format!("HTTP/2 with TLS, {} streams each", options.streams),
            (false, true) => "HTTP/1.1 with TLS".to_owned(),
            (false, false) => "HTTP/1.1".to_owned(),
        };
        let settings = format!(
            "{protocol}, {} connections, {} sessions by {}, {} byte bodies, {} workers{}, access log {}, {} rounds of {} s",
            options.connections,
            options.sessions,
            options.protocol.as_str(),
            options.body,
            options.workers,
            if options.pin { ", proxies on a core of their own" } else { "" },
            options.access_log.as_str(),
            options.rounds,
            options.seconds,
        );
        Self {
            settings,
            rounds: BTreeMap::new(),
            idle: BTreeMap::new(),
            sign_ins: None,
            peer_sign_ins: BTreeMap::new(),
            memory_at_start: 0,
            memory_after_load: 0,
        }
    }

    /// One more round of one variant.
    pub(crate) fn add(&mut self, variant: Variant, measured: Measured) {
        self.rounds.entry(variant).or_default().push(measured);
    }

    fn row(&self, variant: Variant) -> Option<Row> {
        let rounds = self.rounds.get(&variant)?;
        let cpu_rounds = self.cpu_rounds(variant);
        Some(Row {
            variant,
            requests_per_second: median(rounds.iter().map(|round| round.seen.requests as f64 / round.seen.seconds)),
            p50_micros: median(rounds.iter().map(|round| round.seen.p50 as f64)) as u64,
            p99_micros: median(rounds.iter().map(|round| round.seen.p99 as f64)) as u64,
            p999_micros: median(rounds.iter().map(|round| round.seen.p999 as f64)) as u64,
            cpu_micros_per_request: median(cpu_rounds.iter().copied()),
            cpu_rounds,
        })
    }

    fn cpu_rounds(&self, variant: Variant) -> Vec<f64> {
        let rounds = self.rounds.get(&variant).map(Vec::as_slice).unwrap_or_default();
        rounds.iter().map(|round| micros_each(round.cpu, round.seen.requests)).collect()
    }

    fn results(&self) -> Results<'_> {
        let rows: Vec<Row> = self.rounds.keys().filter_map(|&variant| self.row(variant)).collect();
        let ratio = |over: Vec<f64>, under: Vec<f64>| {
            let ratios: Vec<f64> = over.iter().zip(&under).map(|(over, under)| over / under).collect();
            (!ratios.is_empty()).then(|| median(ratios.into_iter()))
        };
        let throughput = |variant| {
            let rounds = self.rounds.get(&variant).map(Vec::as_slice).unwrap_or_default();
            rounds.iter().map(|round| round.seen.requests as f64 / round.seen.seconds).collect()
        };
        let is_peer = |variant: &&Variant| matches!(variant, Variant::Peer(_));
        let to = |&peer: &Variant| Some((peer, ratio(self.cpu_rounds(Variant::Gateway), self.cpu_rounds(peer))?));
        Results {
            settings: &self.settings,
            rows,
            cpu_gateway_to: self.rounds.keys().filter(is_peer).filter_map(to).collect(),
            throughput_gateway_to_direct: ratio(throughput(Variant::Gateway), throughput(Variant::Direct)),
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
        text += "| variant | requests/s | p50 | p99 | p99.9 | CPU per request |\n| --- | ---: | ---: | ---: | ---: | ---: |\n";
        for row in &results.rows {
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "| {} | {:.0} | {} us | {} us | {} us | {:.1} us |",
                row.variant,
                row.requests_per_second,
                row.p50_micros,
                row.p99_micros,
                row.p999_micros,
                row.cpu_micros_per_request
            );
        }
        text.push('\n');
        for (peer, ratio) in &results.cpu_gateway_to {
            let _ = writeln!(text, "CPU per request, ratio to {peer}: {ratio:.2}");
        }
        if let Some(ratio) = results.throughput_gateway_to_direct {
            let _ = writeln!(text, "Throughput, ratio to going direct: {ratio:.2}");
        }
        for (variant, bytes) in &self.idle {
            let _ = writeln!(text, "Memory for each idle connection, {variant}: {:.1} KiB", *bytes as f64 / 1024.0);
        }
        if let Some(sign_ins) = &self.sign_ins {
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
        text
    }

    /// `results.json` and `results.svg`.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let results = self.results();
        fs::create_dir_all(folder)?;
        fs::write(folder.join("results.json"), serde_json::to_string_pretty(&results)?)?;
        let most = results.rows.iter().flat_map(|row| &row.cpu_rounds).copied().fold(0.001, f64::max);
        let mut templates = minijinja::Environment::new();
        templates.add_template("results.html", include_str!("results.svg.jinja"))?;
        let picture = templates.get_template("results.html")?.render(
            minijinja::context! { results => minijinja::Value::from(Serde(&results)), scale => 460.0 / most },
        )?;
        fs::write(folder.join("results.svg"), picture)?;
        Ok(())
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}
