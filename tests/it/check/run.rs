//! `portcullis run` and `demo`: how they begin and end, and what their log says.

use super::*;

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
    let reply = browser.visit(&callback).await;
    assert_eq!(reply.status, 200);
    let length = reply.body.len() as u64;
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
    assert!(page["duration_us"].as_u64().is_some() && page["bytes"].as_u64() == Some(length), "{page}");
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

#[tokio::test]
async fn as_many_files_may_be_open_as_the_system_allows() {
    for (allowed, warns) in [("900", true), ("12000", false)] {
        let bench = Bench::new().await;
        let config = bench.write(&bench.toml(""));
        let mut command = Command::new("sh");
        let script = format!("ulimit -Sn 512 && ulimit -Hn {allowed} && exec \"$@\"");
        command.args(["-c", &script, "sh", PROGRAM, "run", "--config"]).arg(config).stdin(Stdio::null());
        let process = Process::spawn(&bench, command);
        process.listens().await;
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        assert_eq!(line.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), [allowed; 2]);
        assert_eq!(process.errors().contains("limits.connections lets 10000 clients in"), warns, "{allowed}");
    }
}
