//! What is counted, and how it is written.

use super::*;

#[test]
fn what_workers_count_is_summed_by_route() {
    let metrics = Metrics::new();
    let workers = [metrics.route("wiki"), metrics.route("wiki")];
    for worker in &workers {
        worker.count(Decision::Pass, StatusCode::OK, Duration::from_micros(400));
    }
    metrics.route("other").count(Decision::SignIn, StatusCode::SEE_OTHER, Duration::from_secs(60));
    let text = metrics.encode();
    for expected in [
        "portcullis_requests_total{route=\"wiki\",decision=\"pass\",status=\"2xx\"} 2\n",
        "portcullis_requests_total{route=\"other\",decision=\"sign_in\",status=\"3xx\"} 1\n",
        "portcullis_request_duration_seconds_count{route=\"wiki\"} 2\n",
        "portcullis_request_duration_seconds_sum{route=\"wiki\"} 0.0008\n",
        "portcullis_request_duration_seconds_bucket{le=\"0.00025\",route=\"wiki\"} 0\n",
        "portcullis_request_duration_seconds_bucket{le=\"0.0005\",route=\"wiki\"} 2\n",
        "portcullis_request_duration_seconds_bucket{le=\"10.0\",route=\"other\"} 0\n",
        "portcullis_request_duration_seconds_bucket{le=\"+Inf\",route=\"other\"} 1\n",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn addresses_are_counted_by_route_and_summed_over_cores() {
    let metrics = Metrics::new();
    assert!(!metrics.encode().contains("upstream_up"));
    let address = metrics.address("wiki", "http://10.0.0.1:80");
    metrics.address("wiki", "http://10.0.0.2:80").up(false);
    let cores = [address.picks(), address.picks()];
    cores.iter().for_each(Picks::count);
    address.failure();
    address.ejection();
    let text = metrics.encode();
    for expected in [
        "portcullis_upstream_up{route=\"wiki\",address=\"http://10.0.0.1:80\"} 1\n",
        "portcullis_upstream_up{route=\"wiki\",address=\"http://10.0.0.2:80\"} 0\n",
        "portcullis_upstream_picks_total{route=\"wiki\",address=\"http://10.0.0.1:80\"} 2\n",
        "portcullis_upstream_failures_total{route=\"wiki\",address=\"http://10.0.0.1:80\"} 1\n",
        "portcullis_upstream_ejections_total{route=\"wiki\",address=\"http://10.0.0.1:80\"} 1\n",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    let unpicked = "portcullis_upstream_picks_total{route=\"wiki\",address=\"http://10.0.0.2:80\"}";
    assert!(!text.contains(unpicked), "there was nothing to pick from");
}

#[test]
fn a_duration_on_a_bound_belongs_below_it() {
    let metrics = Metrics::new();
    metrics.route("wiki").count(Decision::Pass, StatusCode::OK, Duration::from_micros(250));
    assert!(metrics.encode().contains("_bucket{le=\"0.00025\",route=\"wiki\"} 1\n"));
}

#[test]
fn rarer_things_are_counted_by_name() {
    let metrics = Metrics::new();
    metrics.sign_in("salesforce", "signed_in");
    metrics.single_logout("salesforce", Direction::Outgoing, "asked");
    metrics.single_logout("salesforce", Direction::Incoming, "signed_out");
    metrics.refusal("no_route");
    metrics.upstream_event("connected");
    for name in ["accepted", "accepted", "closed", "header_timeout"] {
        metrics.server_event(name);
    }
    metrics.watch_sessions(|| 7);
    metrics.watch_dropped_lines(|| 3);
    let text = metrics.encode();
    for expected in [
        "portcullis_sign_ins_total{provider=\"salesforce\",outcome=\"signed_in\"} 1\n",
        "portcullis_single_logouts_total{provider=\"salesforce\",direction=\"outgoing\",outcome=\"asked\"} 1\n",
        "portcullis_single_logouts_total{provider=\"salesforce\",direction=\"incoming\",outcome=\"signed_out\"} 1\n",
        "portcullis_refusals_total{code=\"no_route\"} 1\n",
        "portcullis_upstream_events_total{event=\"connected\"} 1\n",
        "portcullis_server_events_total{event=\"header_timeout\"} 1\n",
        "portcullis_connections 1\n",
        "portcullis_sessions 7\n",
        "portcullis_access_lines_dropped_total 3\n",
        concat!("portcullis_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1\n"),
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
}

#[test]
fn no_status_and_no_duration_is_out_of_range() {
    let route = Metrics::new().route("wiki");
    for status in [100, 199, 599, 600, 999] {
        let status = StatusCode::from_u16(status).unwrap();
        for decision in Decision::ALL {
            route.count(decision, status, Duration::ZERO);
            route.count(decision, status, Duration::MAX);
        }
    }
}
