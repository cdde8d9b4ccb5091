//! The program itself: `check` and `run`, their words, their exit status, their logs, and no secret in any of them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use portcullis::emulator::settings::Settings;
use portcullis::emulator::{self, Emulator, people};
use serde_json::Value;

use crate::app::App;
use crate::browser::{Browser, TOKENS};
use crate::stage::{Line, Stage, soon, until};
use crate::world::{free_port, keys};

mod run;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_portcullis");

/// An org and an app, and a file that says how to stand between them.
pub struct Bench {
    pub org: emulator::Running,
    pub app: App,
    pub directory: tempfile::TempDir,
    pub url: String,
}

impl Bench {
    pub async fn new() -> Self {
        let org = Emulator::start(Settings { keys: Some(keys()), ..Settings::default() }).await.unwrap();
        let url = format!("http://localhost:{}", free_port());
        org.register(format!("{url}/.portcullis/callback"));
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("secret"), format!("{}\n", org.app().client_secret)).unwrap();
        Self { org, app: App::start(), directory, url }
    }

    /// A good configuration, with these lines at its end.
    pub fn toml(&self, more: &str) -> String {
        format!(
            "public_url = \"{url}\"\nlisten = \"127.0.0.1:{port}\"\nworkers = 2\ndrain = \"1s\"\n\
             [provider.salesforce]\norg = \"{org}\"\nclient_id = \"{id}\"\nclient_secret = {{ file = \"secret\" }}\n\
             organizations = [\"{organization}\"]\n\
             [operator]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\nlevel = \"trace\"\n\
             [[route]]\nname = \"the-app\"\nupstream = \"http://{app}\"\n{more}",
            url = self.url,
            port = self.url.rsplit(':').next().unwrap(),
            org = self.org.org_url(),
            id = self.org.app().client_id,
            organization = people::HOME_ORGANIZATION,
            app = self.app.authority,
        )
    }

    pub fn write(&self, toml: &str) -> PathBuf {
        let path = self.directory.path().join("gateway.toml");
        std::fs::write(&path, toml).unwrap();
        path
    }
}

/// Runs the program to its end, beside the org that it may ask.
async fn portcullis(arguments: &[&str], config: &Path) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).arg("--config").arg(config).env_remove("RUST_LOG");
    soon("the program's end", tokio::task::spawn_blocking(move || command.output())).await.unwrap().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The gateway as a process of its own.
pub struct Process {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Process {
    /// Starts it and waits until it listens.
    pub async fn start(bench: &Bench, toml: &str) -> Self {
        let config = bench.write(toml);
        let mut command = Command::new(PROGRAM);
        command.args(["run", "--config"]).arg(config).stdin(Stdio::null());
        let process = Self::spawn(bench, command);
        process.listens().await;
        process
    }

    /// The same in front of these routes, with what it says at level `info`.
    pub async fn in_front_of(bench: &Bench, routes: &str) -> Self {
        let toml = bench.toml(&format!("path = \"/closed\"\n{routes}"));
        Self::start(bench, &toml.replace("\"trace\"", "\"info\"")).await
    }

    /// Starts it by a command of the test's own.
    pub fn spawn(bench: &Bench, mut command: Command) -> Self {
        let (out, err) = (bench.directory.path().join("out"), bench.directory.path().join("err"));
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        Self { child: command.spawn().unwrap(), out, err }
    }

    pub async fn listens(&self) {
        until("listening", || async { self.errors().contains("listening") }).await;
    }

    /// What it has said.
    pub fn errors(&self) -> String {
        read(&self.err)
    }

    /// Its access log.
    pub fn output(&self) -> String {
        read(&self.out)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status().unwrap();
        assert!(status.success());
    }

    /// The exit status, once it has ended.
    pub async fn ended(&mut self) -> Option<i32> {
        let child = std::cell::RefCell::new(&mut self.child);
        until("the program's end", || async { child.borrow_mut().try_wait().unwrap().is_some() }).await;
        self.child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[tokio::test]
async fn a_good_configuration_is_good_and_says_what_to_enter_in_salesforce() {
    let bench = Bench::new().await;
    let output = portcullis(&["check"], &bench.write(&bench.toml(""))).await;
    let text = out(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", err(&output));
    for words in [format!("{}/.portcullis/callback", bench.url), "openid, profile, email".to_owned()] {
        assert!(text.contains(&words), "{words}: {text}");
    }
    assert!(!text.contains(&bench.org.app().client_secret));
    assert_eq!(bench.org.count("discovery"), 0, "without --live nobody is asked");
}

#[tokio::test]
async fn a_bad_configuration_names_every_problem_at_once() {
    let bench = Bench::new().await;
    let bad = bench
        .toml("pubic = true\n")
        .replace("public_url = \"http://localhost", "public_url = \"http://wiki.example.com")
        .replace("{ file = \"secret\" }", "{ file = \"no-such-file\" }")
        .replace(people::HOME_ORGANIZATION, "00D5g")
        .replace("drain = \"1s\"", "drain = \"soon\"");
    let config = bench.write(&bad);
    for command in ["check", "run"] {
        let output = portcullis(&[command], &config).await;
        assert_eq!(output.status.code(), Some(2), "{command}: {}{}", out(&output), err(&output));
        let text = err(&output);
        for key in ["public_url", "drain", "client_secret", "organizations", "pubic", "public"] {
            assert!(text.contains(key), "{command} does not name {key}: {text}");
        }
        assert!(text.contains("gateway.toml:"), "{text}");
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_said_to_be_missing() {
    let bench = Bench::new().await;
    for command in ["check", "run"] {
        let output = portcullis(&[command], &bench.directory.path().join("nothing.toml")).await;
        assert_eq!(output.status.code(), Some(2));
        assert!(err(&output).contains("nothing.toml"), "{}", err(&output));
    }
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_refused() {
    let output = Command::new(PROGRAM).arg("walk").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let output = Command::new(PROGRAM).arg("--help").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    for command in ["run", "check", "demo"] {
        assert!(out(&output).contains(command), "{}", out(&output));
    }
}

#[tokio::test]
async fn the_reference_file_is_good() {
    let output = Command::new(PROGRAM)
        .args(["check", "--config", "gateway.toml"])
        .env("SALESFORCE_CLIENT_SECRET", "hunter2hunter2")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(!out(&output).contains("hunter2"));
}

#[tokio::test]
async fn a_live_check_asks_the_org_and_the_app() {
    let bench = Bench::new().await;
    let config = bench.write(&bench.toml(""));
    let output = portcullis(&["check", "--live"], &config).await;
    assert_eq!(output.status.code(), Some(0), "{}{}", out(&output), err(&output));
    assert_eq!((bench.org.count("discovery"), bench.org.count("keys"), bench.app.hits()), (1, 1, 0));

    bench.org.set(emulator::Mischief::DiscoveryWrongIssuer);
    let output = portcullis(&["check", "--live"], &config).await;
    assert_eq!(output.status.code(), Some(1), "{}{}", out(&output), err(&output));
    assert!(out(&output).contains("FAIL"), "{}", out(&output));
    bench.org.behave();

    let nobody = bench.toml("").replace(&bench.app.authority, &format!("127.0.0.1:{}", free_port()));
    let output = portcullis(&["check", "--live"], &bench.write(&nobody)).await;
    assert_eq!(output.status.code(), Some(1), "{}", out(&output));
    assert!(out(&output).contains("the-app"), "{}", out(&output));
}

#[tokio::test]
async fn a_live_check_reads_the_certificates_dates() {
    let bench = Bench::new().await;
    for (year, status) in [(2020, 1), (2090, 0)] {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut wishes = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        wishes.not_before = rcgen::date_time_ymd(2019, 1, 1);
        wishes.not_after = rcgen::date_time_ymd(year, 1, 1);
        let certificate = wishes.self_signed(&key).unwrap();
        std::fs::write(bench.directory.path().join("certificate.pem"), certificate.pem()).unwrap();
        std::fs::write(bench.directory.path().join("key.pem"), key.serialize_pem()).unwrap();
        let tls = "[tls]\ncertificate = \"certificate.pem\"\nprivate_key = \"key.pem\"\n";
        let toml = bench.toml(tls).replace("public_url = \"http:", "public_url = \"https:");
        let output = portcullis(&["check", "--live"], &bench.write(&toml)).await;
        assert_eq!(output.status.code(), Some(status), "{year}: {}{}", out(&output), err(&output));
    }
}

#[tokio::test]
async fn the_environment_wins_over_the_file() {
    let bench = Bench::new().await;
    let config = bench.write(&bench.toml(""));
    let check = |value: &'static str| {
        let mut command = Command::new(PROGRAM);
        command.arg("check").arg("--config").arg(&config).env("PORTCULLIS_SESSION__IDLE", value);
        command.output().unwrap()
    };
    assert_eq!(check("30m").status.code(), Some(0));
    let output = check("for a while");
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("PORTCULLIS_SESSION__IDLE"), "{}", err(&output));
}

#[tokio::test]
async fn the_login_host_of_all_orgs_needs_a_list_of_organizations() {
    let bench = Bench::new().await;
    let shared = bench.toml("").replace(bench.org.org_url(), "https://login.salesforce.com");
    assert_eq!(portcullis(&["check"], &bench.write(&shared)).await.status.code(), Some(0));
    let everybody = shared.replace(&format!("organizations = [\"{}\"]\n", people::HOME_ORGANIZATION), "");
    for command in ["check", "run"] {
        let output = portcullis(&[command], &bench.write(&everybody)).await;
        assert_eq!(output.status.code(), Some(2), "{command}: {}", out(&output));
        assert!(err(&output).contains("organizations"), "{}", err(&output));
    }
}

#[tokio::test]
async fn plain_text_in_public_has_to_be_called_dangerous() {
    let bench = Bench::new().await;
    let public = bench.toml("").replace("public_url = \"http://localhost", "public_url = \"http://wiki.example.com");
    assert_eq!(portcullis(&["check"], &bench.write(&public)).await.status.code(), Some(2));
    let dangerous = format!("dangerous_plain_text_public_url = true\n{public}");
    let output = portcullis(&["check"], &bench.write(&dangerous)).await;
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(out(&output).contains("DANGEROUS"), "{}", out(&output));
    // on this machine it is allowed, and said
    let output = portcullis(&["check"], &bench.write(&bench.toml(""))).await;
    assert!(out(&output).contains("for development only"), "{}", out(&output));
}
