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
async fn an_address_that_is_taken_is_a_failure_with_its_cause() {
    let bench = Bench::new().await;
    let port = bench.url.rsplit(':').next().unwrap();
    let taken = std::net::TcpListener::bind(format!("127.0.0.1:{port}")).unwrap();
    let output = portcullis(&["run"], &bench.write(&bench.toml(""))).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains(&format!("127.0.0.1:{port}")), "{}", err(&output));
    drop(taken);
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

#[tokio::test]
async fn a_demonstration_can_be_signed_in_to() {
    let directory = tempfile::tempdir().unwrap();
    let (out, err) = (directory.path().join("out"), directory.path().join("err"));
    let child = Command::new(PROGRAM)
        .arg("demo")
        .stdin(Stdio::null())
        .stdout(File::create(&out).unwrap())
        .stderr(File::create(&err).unwrap())
        .spawn()
        .unwrap();
    let mut process = Process { child, out, err };
    until("the demonstration", || async { read(&process.out).contains("Open") }).await;
    let text = read(&process.out);
    let address = text.split_whitespace().find(|word| word.starts_with("http://localhost:")).expect("an address");
    for provider in ["oidc", "saml"] {
        let mut browser = Browser::new();
        let choice = browser.visit(&format!("{address}deep?x=1")).await;
        let reply = browser.try_sign_in(choice.way(provider).as_str(), people::STANDARD.username, "allow").await;
        assert_eq!((reply.status.as_u16(), reply.url.as_str()), (200, format!("{address}deep?x=1").as_str()));
        assert!(reply.body.contains(people::STANDARD.user), "the sample app shows who came: {}", reply.body);
    }
    process.signal("INT");
    assert_eq!(process.ended().await, Some(0), "{}", read(&process.err));
}

#[tokio::test]
async fn it_ends_well_when_asked_to() {
    let bench = Bench::new().await;
    for signal in ["TERM", "INT"] {
        let mut process = Process::start(&bench, &bench.toml("")).await;
        assert_eq!(Browser::new().get(&bench.url).await.status, 303);
        process.signal(signal);
        assert_eq!(process.ended().await, Some(0), "{signal}: {}", read(&process.err));
        let access = lines(&read(&process.out));
        assert_eq!(access.len(), 1, "the last lines are written before the end");
    }
}

#[tokio::test]
async fn a_sign_in_leaves_lines_that_explain_it_and_no_secret() {
    let bench = Bench::new().await;
    let mut process = Process::start(&bench, &bench.toml("")).await;
    let at = |path: &str| format!("{}{path}", bench.url);
    let mut browser = Browser::new();
    let callback = browser.sign_in_until_callback(&at("/page?query=private"), people::STANDARD.username).await;
    let mut secrets: Vec<String> =
        browser.cookie_names("localhost").iter().map(|name| browser.cookie("localhost", name).unwrap()).collect();
    secrets.extend(callback.query_pairs().map(|(_, value)| value.into_owned()));
    secrets.extend(callback.query().unwrap().split('&').filter_map(|pair| Some(pair.split_once('=')?.1.to_owned())));
    assert_eq!(browser.visit(&callback).await.status, 200);
    secrets.push(browser.cookie("localhost", "portcullis").unwrap());
    secrets.push(bench.org.app().client_secret);
    secrets.extend(TOKENS.into_iter().chain(["query=private"]).map(str::to_owned));
    // a refusal, whose page names the line that explains it
    let stale = Browser::new().get(&callback).await;
    assert_eq!(stale.refusal(), "attempt_used");
    let json = [("accept", "application/json")];
    let refused = browser.fetch(hyper::Method::GET, at("/.portcullis/nothing"), &json, "").await;
    let request_id = refused.json()["request_id"].as_str().unwrap().to_owned();
    // a failed sign-in, with the org's own words
    bench.org.set(emulator::Mischief::token_error("inactive_user").unwrap());
    Browser::new().try_sign_in(&at("/"), people::STANDARD.username, "allow").await;

    process.signal("TERM");
    assert_eq!(process.ended().await, Some(0));
    let (access, diagnostics) = (read(&process.out), read(&process.err));
    for secret in &secrets {
        assert!(!access.contains(secret.as_str()), "the access log tells {secret}");
        assert!(!diagnostics.contains(secret.as_str()), "the diagnostics tell {secret}");
    }

    let access = lines(&access);
    let page = access.iter().find(|line| line["path"] == "/page" && line["status"] == 200).expect("the page's line");
    assert_eq!((page["decision"].as_str(), page["route"].as_str()), (Some("pass"), Some("the-app")));
    let key = format!("{}@{}", people::STANDARD.user, people::HOME_ORGANIZATION);
    assert_eq!(page["user"].as_str(), Some(key.as_str()));
    assert!(page["duration_us"].as_u64().is_some() && page["upstream_us"].as_u64().is_some(), "{page}");
    let refusal = access.iter().find(|line| line["request_id"] == request_id.as_str()).expect("the refusal's line");
    assert_eq!((refusal["refusal"].as_str(), refusal["status"].as_u64()), (Some("unknown_page"), Some(404)));

    let diagnostics = lines(&diagnostics);
    let text = |needle: &str| diagnostics.iter().filter(|line| line.to_string().contains(needle)).count();
    assert!(text(&request_id) >= 1, "the cause is logged under the same id");
    assert!(text("inactive_user") >= 1, "and Salesforce's own word for it");
    assert!(text("signed in") >= 1);
}

// Of deadlines and limits there are many: which one it was, and where it is written, stands in the log.
#[tokio::test]
async fn the_log_names_the_key_of_the_limit_that_was_reached() {
    let bench = Bench::new().await;
    // It takes connections and requests, and says no more than the beginning of an answer.
    let mute = Stage::play(|mut line: Line, _| async move {
        let head = line.head().await.unwrap_or_default();
        if head.contains("/stalled") {
            line.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello").await;
        }
        line.rest().await;
    })
    .await;
    let route = |path: &str, scheme: &str, lines: &str| {
        let upstream = format!("{scheme}://{}", mute.authority);
        format!("[[route]]\npath = \"/{path}\"\npublic = true\nupstream = {upstream:?}\n{lines}\n")
    };
    let own = route("own", "http", "name = \"grafana\"\nfirst_byte_timeout = \"150ms\"");
    let common = route("common", "http", "name = \"wiki\"");
    let unnamed = route("unnamed", "https", "connect_timeout = \"100ms\"");
    let stalled = route("stalled", "http", "name = \"files\"\nidle_timeout = \"120ms\"");
    let full = route("full", "http", "name = \"chat\"\nconnections = 1");
    let toml =
        bench.toml(&format!("{own}{common}{unnamed}{stalled}{full}[upstream]\nfirst_byte_timeout = \"300ms\"\n"));
    let toml = toml.replace("workers = 2", "workers = 1");
    let mut process = Process::start(&bench, &toml).await;
    let at = |path: &str| format!("{}/{path}", bench.url);
    let ask = async |path: &str| Browser::new().get(at(path)).await.status.as_u16();
    for (path, status) in [("own", 504), ("common", 504), ("unnamed", 504)] {
        assert_eq!(ask(path).await, status, "{path}");
    }
    let (one, other) = tokio::join!(ask("full"), ask("full"));
    assert_eq!((one.min(other), one.max(other)), (503, 504), "one has room, and waits");
    let mut line = Line::to(bench.url.rsplit('/').next().unwrap()).await;
    line.send(format!("GET /stalled HTTP/1.1\r\nhost: {}\r\n\r\n", bench.url.rsplit('/').next().unwrap())).await;
    line.rest().await;
    process.signal("TERM");
    assert_eq!(process.ended().await, Some(0));
    let diagnostics = read(&process.err);
    let host = bench.url.split_once("://").unwrap().1;
    for words in [
        "sent no answer within route.grafana.first_byte_timeout (150ms)",
        "sent no answer within route.wiki.first_byte_timeout (300ms, of [upstream])",
        &format!("took longer than route.\\\"{host}/unnamed\\\".connect_timeout (100ms)"),
        "as many requests under way as allowed by route.chat.connections (1)",
        "route.files.idle_timeout (120ms)",
    ] {
        assert!(diagnostics.contains(words), "{words}: {diagnostics}");
    }
}

#[tokio::test]
async fn logs_for_people_are_lines_of_words() {
    let bench = Bench::new().await;
    let toml = bench
        .toml("")
        .replace("format = \"json\"", "format = \"text\"")
        .replace("level = \"trace\"", "level = \"info\"");
    let mut process = Process::start(&bench, &toml).await;
    let mut browser = Browser::new();
    browser.fetch(hyper::Method::GET, format!("{}/deep/page?secret=hunter2", bench.url), &[], "").await;
    browser.sign_in(&format!("{}/", bench.url), people::STANDARD.username).await;
    process.signal("TERM");
    assert_eq!(process.ended().await, Some(0));
    let (access, diagnostics) = (process.output(), process.errors());
    // Each core writes its lines when it likes: they are in order by their time.
    let mut lines: Vec<&str> = access.lines().collect();
    lines.sort_unstable();
    let first: Vec<&str> = lines[0].split(' ').collect();
    let host = bench.url.split_once("://").unwrap().1;
    assert_eq!(&first[1..7], ["127.0.0.1", "GET", host, "/deep/page", "401", "sign_in"], "{access}");
    assert!(first.contains(&"refusal=sign_in_required") && first.contains(&"route=the-app"), "{access}");
    assert!(lines.last().unwrap().contains(" 200 pass route=the-app user="), "{access}");
    assert!(diagnostics.contains(" INFO ") && diagnostics.contains("listening"), "{diagnostics}");
    for text in [&access, &diagnostics] {
        assert!(!text.contains("hunter2") && !text.contains('\u{1b}') && !text.contains('{'), "{text}");
    }
}
