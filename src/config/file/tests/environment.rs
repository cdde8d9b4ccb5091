//! What comes from the environment, and what of it is not for us.

use super::*;

#[test]
fn the_environment_wins_over_the_file() {
    let text = and("[session]\nidle = \"2h\"\n");
    let config = good_with(
        &text,
        &[
            ("PORTCULLIS_SESSION__IDLE", "30m"),
            ("PORTCULLIS_SESSION__CAPACITY", "77"),
            ("PORTCULLIS_TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.7"),
            ("PORTCULLIS_PROVIDER__SALESFORCE__USER_TYPES", "[\"any\"]"),
            ("PORTCULLIS_LISTEN", "127.0.0.1:9"),
        ],
    );
    assert_eq!(config.session.idle, Duration::from_secs(1800));
    assert_eq!(config.session.capacity, 77);
    assert_eq!(config.proxy.trusted_proxies.0.len(), 2);
    assert_eq!(*config.providers[0].settings.user_types(), UserTypes::Any);
    assert_eq!(config.server.listen.list, [tcp("127.0.0.1:9")]);
}

#[test]
fn the_environment_alone_is_enough() {
    let config = good_with(
        "",
        &[
            ("PORTCULLIS_PUBLIC_URL", "http://localhost:8080"),
            ("PORTCULLIS_PROVIDER__SALESFORCE__ORG", "https://acme.my.salesforce.com"),
            ("PORTCULLIS_PROVIDER__SALESFORCE__CLIENT_ID", "3MVG9abc"),
            ("PORTCULLIS_ROUTE", "[{ upstream = \"http://127.0.0.1:3000\", public = true }]"),
        ],
    );
    assert_eq!(config.routes[0].access, Access::Public);
}

#[test]
fn a_complaint_about_the_environment_names_the_variable() {
    let problem = complaint_with(GOOD, &[("PORTCULLIS_SESSION__IDLE", "soon")], "session.idle");
    assert_eq!(problem.place, Where::Environment("PORTCULLIS_SESSION__IDLE".to_owned()));
    let problem = complaint_with(GOOD, &[("PORTCULLIS_SESION__IDLE", "1h")], "sesion");
    assert_eq!(problem.place, Where::Environment("PORTCULLIS_SESION__IDLE".to_owned()));
    assert_eq!(problem.instead, "did you mean `session`?");
    let problem = complaint_with(GOOD, &[("PORTCULLIS_LISTEN", "")], "listen");
    assert_eq!(problem.wrong, "is empty");
    complaint_with(GOOD, &[("PORTCULLIS_ROUTE", "[{")], "route");
}

// `ORGANIZATIONS: ${ORGS}` where nobody set ORGS.
#[test]
fn a_variable_that_nobody_filled_in_takes_no_rule_away() {
    let variable = "PORTCULLIS_PROVIDER__SALESFORCE__ORGANIZATIONS";
    for nothing in ["", " ", ","] {
        complaint_with(GOOD, &[(variable, nothing)], "provider.salesforce.organizations");
    }
    good_with(GOOD, &[(variable, "[]")]);
}

#[test]
fn what_kubernetes_says_of_a_service_called_portcullis_is_not_for_us() {
    good_with(
        GOOD,
        &[
            ("PORTCULLIS_SERVICE_HOST", "10.0.0.1"),
            ("PORTCULLIS_SERVICE_PORT", "443"),
            ("PORTCULLIS_SERVICE_PORT_HTTPS", "443"),
            ("PORTCULLIS_PORT", "tcp://10.0.0.1:443"),
            ("PORTCULLIS_PORT_443_TCP", "tcp://10.0.0.1:443"),
            ("PORTCULLIS_PORT_443_TCP_ADDR", "10.0.0.1"),
        ],
    );
    complaint_with(GOOD, &[("PORTCULLIS_PORTAL", "1")], "portal");
}
