//! The words for people who may not come in, for providers and apps that cannot be reached, and for the
//! gateway's own limits.
//!
//! Statuses by whose fault it is (RFC 9110 sections 15.5.4, 15.6.3 to 15.6.5): 403 for the person, 502 and 504
//! for a server behind us, 503 for ourselves. Called by `Refusal::entry`.

use hyper::StatusCode;

use super::{Entry, Onward};

pub(super) const WRONG_ORGANIZATION: Entry = Entry {
    code: "wrong_organization",
    status: StatusCode::FORBIDDEN,
    onward: Onward::SignInAsAnother,
    title: "Your organization has no access",
    happened: "You signed in to a Salesforce organization that is not admitted here.",
    you: "If you also have a login of the right organization, sign in with that one: Salesforce will ask who you are. \
          Sandbox and production logins belong to different organizations.",
    administrator: "The organizations admitted are listed as organizations in the provider's configuration. The log \
                    line with this request id names the one that was refused; a refreshed sandbox may have a new id.",
};

pub(super) const USER_TYPE_NOT_ALLOWED: Entry = Entry {
    code: "user_type_not_allowed",
    status: StatusCode::FORBIDDEN,
    onward: Onward::SignInAsAnother,
    title: "Your kind of account has no access",
    happened: "You signed in with a partner, customer or other kind of Salesforce account that is not admitted here.",
    you: "If you also have an employee account, sign in with that one: Salesforce will ask who you are.",
    administrator: "Only the user types in user_types are admitted, STANDARD alone unless changed. The log line with \
                    this request id names the type that was refused.",
};

pub(super) const INACTIVE_USER: Entry = Entry {
    code: "inactive_user",
    status: StatusCode::FORBIDDEN,
    onward: Onward::Nothing,
    title: "Your account is not active",
    happened: "Salesforce says that your user is not active.",
    you: "Ask your Salesforce administrator to activate your user.",
    administrator: "In Salesforce: Setup, Users, the person's user, tick Active.",
};

pub(super) const PROVIDER_UNREACHABLE: Entry = Entry {
    code: "provider_unreachable",
    status: StatusCode::BAD_GATEWAY,
    onward: Onward::SignIn,
    title: "Salesforce cannot be reached",
    happened: "The gateway could not get an answer from Salesforce, so nobody was signed in.",
    you: "Wait a minute and sign in again.",
    administrator: "Run `portcullis check --live`. Usual causes: a wrong org address, no way out through the firewall, \
                    name resolution, or a proxy whose certificate the gateway does not trust (the provider's ca key).",
};

pub(super) const PROVIDER_TIMEOUT: Entry = Entry {
    code: "provider_timeout",
    status: StatusCode::GATEWAY_TIMEOUT,
    onward: Onward::SignIn,
    title: "Salesforce takes too long",
    happened: "Salesforce did not answer the gateway in time, so nobody was signed in.",
    you: "Wait a minute and sign in again.",
    administrator: "Look at status.salesforce.com for your instance. The limit is the provider's timeout; a firewall \
                    that drops packets silently looks the same.",
};

pub(super) const UPSTREAM_UNREACHABLE: Entry = Entry {
    code: "upstream_unreachable",
    status: StatusCode::BAD_GATEWAY,
    onward: Onward::TryAgain,
    title: "The app cannot be reached",
    happened: "The app behind this page does not answer. It may be restarting.",
    you: "Wait a moment and try again.",
    administrator: "Nothing accepts connections at the route's upstream address, or it ended the connection before \
                    answering. Check that the app runs and listens there.",
};

pub(super) const UPSTREAM_CERTIFICATE: Entry = Entry {
    code: "upstream_certificate",
    status: StatusCode::BAD_GATEWAY,
    onward: Onward::TryAgain,
    title: "The app cannot be trusted right now",
    happened: "The app behind this page could not prove that it is the right one, so nothing was sent to it.",
    you: "Tell your administrator. Trying again helps only after the certificate was changed.",
    administrator: "The app's certificate is not believed; the log line with this request id says why: an unknown \
                    authority (ca in [route.tls]), another name (server_name), or its dates.",
};

pub(super) const UPSTREAM_HANDSHAKE: Entry = Entry {
    code: "upstream_handshake",
    status: StatusCode::BAD_GATEWAY,
    onward: Onward::TryAgain,
    title: "The app cannot be reached",
    happened: "No encrypted connection to the app behind this page could be made.",
    you: "Wait a moment and try again. If it keeps happening, tell your administrator.",
    administrator: "The log line with this request id says what went wrong. Check that the upstream address is a TLS \
                    port (TLS 1.2 or 1.3), and, if the app asks for a certificate, certificate and private_key in \
                    [route.tls].",
};

pub(super) const UPSTREAM_CONNECT_TIMEOUT: Entry = Entry {
    code: "upstream_connect_timeout",
    status: StatusCode::GATEWAY_TIMEOUT,
    onward: Onward::TryAgain,
    title: "The app cannot be reached",
    happened: "The app behind this page did not accept a connection in time.",
    you: "Wait a moment and try again.",
    administrator: "A firewall between gateway and app, a wrong address, or an app too busy to accept. The log \
                    line with this request id names the key that says how long, route.NAME.connect_timeout, and \
                    whether that is of [upstream].",
};

pub(super) const UPSTREAM_FIRST_BYTE_TIMEOUT: Entry = Entry {
    code: "upstream_first_byte_timeout",
    status: StatusCode::GATEWAY_TIMEOUT,
    onward: Onward::TryAgain,
    title: "The app takes too long",
    happened: "The app received your request but did not begin to answer in time. It may still be working on it.",
    you: "Before you repeat something that should happen only once, check whether it already did.",
    administrator: "The log line with this request id names the key that says how long, \
                    route.NAME.first_byte_timeout, and whether that is of [upstream]. Raise it for apps with long \
                    reports, or look at why the app is slow.",
};

pub(super) const UPSTREAM_MISBEHAVED: Entry = Entry {
    code: "upstream_misbehaved",
    status: StatusCode::BAD_GATEWAY,
    onward: Onward::TryAgain,
    title: "The app gave an unreadable answer",
    happened: "The answer of the app breaks a rule of HTTP, so it was not passed on.",
    you: "Try again. If it keeps happening, tell your administrator what you were doing.",
    administrator: "The log line with this request id says what was wrong. Check that the upstream address speaks \
                    HTTP/1.1 and is not, for example, a TLS port.",
};

pub(super) const UPSTREAM_NO_TUNNEL: Entry = Entry {
    code: "upstream_no_tunnel",
    status: StatusCode::NOT_IMPLEMENTED,
    onward: Onward::Nothing,
    title: "The app takes no such connection",
    happened: "A live connection to the app was asked for, and the app has no way for it.",
    you: "Pages that need such a connection may not update by themselves. Tell your administrator.",
    administrator: "The app speaks HTTP/2 (h2c:// or TLS), which carries WebSockets when the app enables extended \
                    CONNECT (RFC 8441) and no other upgrade. Enable it there, or let the app be reached by HTTP/1.1: \
                    http:// in place of h2c://.",
};

pub(super) const UPSTREAM_BUSY: Entry = Entry {
    code: "upstream_busy",
    status: StatusCode::SERVICE_UNAVAILABLE,
    onward: Onward::TryAgain,
    title: "The app is very busy",
    happened: "Every connection that the gateway may open to the app is in use.",
    you: "Wait a moment and try again.",
    administrator: "The log line with this request id names the key that says how many, route.NAME.connections, \
                    and whether that is of [upstream]. Long-lived streams and WebSockets hold one each.",
};

pub(super) const NO_RANDOMNESS: Entry = Entry {
    code: "no_randomness",
    status: StatusCode::SERVICE_UNAVAILABLE,
    onward: Onward::TryAgain,
    title: "Sign-in is not possible right now",
    happened: "The machine of the gateway cannot make random numbers, and without them no sign-in is safe.",
    you: "Try again in a minute.",
    administrator: "The operating system's random source failed. Check the system log of the machine, and sandbox \
                    rules that forbid getrandom or /dev/urandom.",
};

pub(super) const OVERLOADED: Entry = Entry {
    code: "overloaded",
    status: StatusCode::SERVICE_UNAVAILABLE,
    onward: Onward::TryAgain,
    title: "Too many visitors at once",
    happened: "The gateway has as much to do as its limits allow.",
    you: "Wait a moment and try again.",
    administrator: "The log line with this request id names the limit; they are set in [limits] and [session]. \
                    The metrics show how often it is reached.",
};
