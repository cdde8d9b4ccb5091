//! The words for what the browser, or the program in its place, did: requests that cannot be read, and
//! answers that do not belong to a login attempt of this browser (RFC 6749 section 10.12, RFC 9700 section 2.1).
//!
//! Fixed text only. Called by `Refusal::entry`.

use hyper::StatusCode;

use super::{Entry, Onward};

pub(super) const BAD_TARGET: Entry = Entry {
    code: "bad_target",
    status: StatusCode::BAD_REQUEST,
    onward: Onward::Home,
    title: "This address cannot be used",
    happened: "The address of this request is written in a way that two programs could read differently, so it was not \
               passed on.",
    you: "Check the address for stray characters, or go to the start page and find your way from there.",
    administrator: "Never forwarded: dot segments, control characters and broken percent escapes, in any encoding; \
                    nor escaped or doubled slashes and backslashes where they could lead to another route. If the app \
                    itself makes such links, they have to change. What a Destination (WebDAV) names has to lead to \
                    the same app.",
};

pub(super) const BAD_REQUEST: Entry = Entry {
    code: "bad_request",
    status: StatusCode::BAD_REQUEST,
    onward: Onward::Home,
    title: "This request could not be understood",
    happened: "The request breaks a rule of HTTP, so it was not passed on.",
    you: "Load the page again. If it keeps happening, clear the cookies of this site.",
    administrator: "If another proxy stands in front of the gateway, look at what it adds to requests. The log line \
                    with this request id names the rule.",
};

pub(super) const WRONG_HOST: Entry = Entry {
    code: "wrong_host",
    status: StatusCode::MISDIRECTED_REQUEST,
    onward: Onward::Nothing,
    title: "This name is not served here",
    happened: "The request reached this gateway under a host name that it is not configured for.",
    you: "Check the address for a typing mistake.",
    administrator: "The names served are the host of public_url and the hosts of the routes. If another proxy stands \
                    in front, it must pass the original Host header on.",
};

pub(super) const MISDIRECTED: Entry = Entry {
    code: "misdirected",
    status: StatusCode::MISDIRECTED_REQUEST,
    onward: Onward::TryAgain,
    title: "This connection was made for another name",
    happened: "The request came over an encrypted connection that was opened for another of the names served here, with \
               a certificate that is not for this one.",
    you: "Try again: the browser then opens a connection of its own for this name.",
    administrator: "The name that a client asks for when it connects (SNI) chooses the certificate, and the certificate \
                    must cover the host of each request. If another proxy stands in front, list it in trusted_proxies \
                    or have it send the right name.",
};

pub(super) const UNKNOWN_PAGE: Entry = Entry {
    code: "unknown_page",
    status: StatusCode::NOT_FOUND,
    onward: Onward::Home,
    title: "There is no such page",
    happened: "The address lies in the part of this site that belongs to the gateway, and nothing is there.",
    you: "Go to the start page and find your way from there.",
    administrator: "Everything below the gateway's prefix (/.portcullis unless changed) is its own and never reaches \
                    the app. If the app needs such paths, choose another prefix.",
};

pub(super) const UNKNOWN_PROVIDER: Entry = Entry {
    code: "unknown_provider",
    status: StatusCode::NOT_FOUND,
    onward: Onward::SignIn,
    title: "There is no such way to sign in",
    happened: "The link that brought you here names a way to sign in that this site does not have, or no longer has.",
    you: "Sign in again, and choose one of the ways that there are.",
    administrator: "The link's provider parameter is the name of none in the configuration. If a provider was \
                    renamed or removed, correct the links that lead here.",
};

pub(super) const NO_ROUTE: Entry = Entry {
    code: "no_route",
    status: StatusCode::NOT_FOUND,
    onward: Onward::Home,
    title: "There is no such page",
    happened: "No app is set up behind this address.",
    you: "Check the address, or go to the start page and find your way from there.",
    administrator: "No [[route]] covers this host and path. Add one, or a route with the path / to cover the rest.",
};

pub(super) const METHOD_NOT_ALLOWED: Entry = Entry {
    code: "method_not_allowed",
    status: StatusCode::METHOD_NOT_ALLOWED,
    onward: Onward::Home,
    title: "This page cannot be used that way",
    happened: "The page exists, but it does not take this kind of request.",
    you: "Go to the start page and try once more from there.",
    administrator: "The Allow header of this response lists the methods. Links to the gateway's own pages use GET; \
                    only signing out takes a POST.",
};

pub(super) const SIGN_IN_REQUIRED: Entry = Entry {
    code: "sign_in_required",
    status: StatusCode::UNAUTHORIZED,
    onward: Onward::SignIn,
    title: "Please sign in",
    happened: "You are not signed in, or your session has ended. Nothing was sent to the app.",
    you: "Sign in, then do once more what you were doing. If you had filled in a form, go back to copy what you wrote \
          first.",
    administrator: "Page loads are redirected to sign-in by themselves; background requests, forms and other programs \
                    get this answer. How long a session lasts is set by [session].",
};

pub(super) const SESSION_ENDED: Entry = Entry {
    code: "session_ended",
    status: StatusCode::UNAUTHORIZED,
    onward: Onward::SignIn,
    title: "Your session ended meanwhile",
    happened: "Your session ended while this was being sent, so the rest of it was not passed on. The app may have \
               received a part.",
    you: "Sign in, look at what has arrived, and then do once more what you were doing.",
    administrator: "Somebody signed out, or the session was ended, unused for too long or too old, while a request's \
                    body was under way. A session counts as used when a request begins. How long it lasts is set by \
                    [session]; what takes longer to send needs longer ones.",
};

pub(super) const BODY_TOO_LARGE: Entry = Entry {
    code: "body_too_large",
    status: StatusCode::PAYLOAD_TOO_LARGE,
    onward: Onward::Home,
    title: "Too much was sent",
    happened: "The request carried more data than this page accepts.",
    you: "Start again from the start page.",
    administrator: "Only the gateway's own pages have this limit; what goes to the app is streamed. No browser sends \
                    that much to them by itself.",
};

pub(super) const BODY_STALLED: Entry = Entry {
    code: "body_stalled",
    status: StatusCode::REQUEST_TIMEOUT,
    onward: Onward::TryAgain,
    title: "The upload stopped",
    happened: "The data of this request stopped arriving before it was complete, or came too slowly.",
    you: "Check your connection and try again.",
    administrator: "The limit between two pieces of a body is body_idle_timeout in [limits], and body_rate what it \
                    must bring in a second. A proxy in front that holds data back can cause this too.",
};

pub(super) const BODY_MALFORMED: Entry = Entry {
    code: "body_malformed",
    status: StatusCode::BAD_REQUEST,
    onward: Onward::TryAgain,
    title: "The upload could not be read",
    happened: "The data of this request does not say in a way that can be read where it ends.",
    you: "Try again. If it happens again, try another browser or program.",
    administrator: "The client, or a proxy in front, sends chunks (Transfer-Encoding) that are none. The cause is in \
                    the gateway's log. Nothing more is read from such a connection.",
};

pub(super) const EXPECTATION_FAILED: Entry = Entry {
    code: "expectation_failed",
    status: StatusCode::EXPECTATION_FAILED,
    onward: Onward::Nothing,
    title: "This request asks for something unknown",
    happened: "The request has an Expect header with a value other than 100-continue.",
    you: "If you wrote the program that sent it, leave that header out.",
    administrator: "Browsers never send this. Look at the client program, or at a proxy in front.",
};

pub(super) const TUNNEL_NOT_OFFERED: Entry = Entry {
    code: "tunnel_not_offered",
    status: StatusCode::NOT_IMPLEMENTED,
    onward: Onward::Nothing,
    title: "This kind of connection is not offered",
    happened: "The request asks for a tunnel or a protocol change that the gateway does not pass on.",
    you: "If you set this site as a proxy in your browser or system, remove it there.",
    administrator: "A plain CONNECT is never served. WebSockets, over HTTP/2 too, and other upgrades of HTTP/1.1 \
                    pass for signed-in people on routes to an app.",
};

pub(super) const ATTEMPT_MISSING: Entry = Entry {
    code: "attempt_missing",
    status: StatusCode::BAD_REQUEST,
    onward: Onward::SignIn,
    title: "Your sign-in could not be matched",
    happened: "You came back from Salesforce, but your browser did not return the cookie that it was given when this \
               sign-in began. Usual causes: cookies are blocked; the sign-in was finished in another browser or \
               private window; it took too long; or it began under another address of this site.",
    you: "Sign in again here, in this browser. If it keeps happening, allow cookies for this site.",
    administrator: "public_url must be exactly what people type: the same host, and https when they use https. A proxy \
                    in front must pass Cookie and Set-Cookie headers through unchanged. Only the latest few sign-ins \
                    of one browser are kept, so many tabs at once can lose the oldest.",
};

pub(super) const ATTEMPT_EXPIRED: Entry = Entry {
    code: "attempt_expired",
    status: StatusCode::BAD_REQUEST,
    onward: Onward::SignIn,
    title: "This sign-in took too long",
    happened: "More time passed between the start of this sign-in and your return than is allowed.",
    you: "Sign in again. It helps not to leave the Salesforce page open for long.",
    administrator: "The time allowed is login_timeout in [session]. If it happens at once, the clocks of several \
                    gateways differ.",
};

pub(super) const ATTEMPT_FORGED: Entry = Entry {
    code: "attempt_forged",
    status: StatusCode::BAD_REQUEST,
    onward: Onward::SignIn,
    title: "Your sign-in could not be matched",
    happened: "The cookie of this sign-in was not made by this gateway, or was changed since, or the gateway was \
               restarted meanwhile.",
    you: "Sign in again.",
    administrator: "The key that seals these cookies is made anew at each start. With several gateways behind one \
                    address, send a browser to the same gateway throughout a sign-in.",
};

pub(super) const STATE_MISMATCH: Entry = Entry {
    code: "state_mismatch",
    status: StatusCode::BAD_REQUEST,
    onward: Onward::SignIn,
    title: "Your sign-in could not be matched",
    happened: "The answer from Salesforce does not belong to a sign-in that this browser began, so nobody was signed \
               in.",
    you: "Sign in again from here. If you followed a link in a message to get to this page, do not trust it.",
    administrator: "Once in a while this is a bookmark of the callback address. Many at a time may be somebody trying \
                    to sign people in to a foreign account.",
};

pub(super) const ATTEMPT_USED: Entry = Entry {
    code: "attempt_used",
    status: StatusCode::BAD_REQUEST,
    onward: Onward::SignIn,
    title: "This sign-in was already used",
    happened: "Each answer from Salesforce counts once, and this one had been used before: by the back button, a \
               reload, or a second copy of the tab.",
    you: "Go on to sign in; if you are still signed in at Salesforce, it takes only a moment.",
    administrator: "Nothing to change. If it happens to everybody, a proxy in front or a link scanner sends each \
                    request twice.",
};

pub(super) const PARAMETER_REPEATED: Entry = Entry {
    code: "parameter_repeated",
    status: StatusCode::BAD_REQUEST,
    onward: Onward::SignIn,
    title: "This sign-in could not be read",
    happened: "The address that you came back with holds the same parameter more than once, so it is not clear which \
               one counts.",
    you: "Sign in again.",
    administrator: "OAuth allows each parameter once. Look for a proxy or a browser extension that rewrites addresses.",
};

pub(super) const CALLBACK_INCOMPLETE: Entry = Entry {
    code: "callback_incomplete",
    status: StatusCode::BAD_REQUEST,
    onward: Onward::SignIn,
    title: "This sign-in is not complete",
    happened: "The address that you came back with holds neither a sign-in code nor an error.",
    you: "Sign in again. If you opened this page from a bookmark, remove the bookmark.",
    administrator: "The callback address is for Salesforce alone to send people to. Do not use it as a start page or \
                    as the app's Start URL in Salesforce.",
};

pub(super) const ISSUER_MISMATCH: Entry = Entry {
    code: "issuer_mismatch",
    status: StatusCode::BAD_REQUEST,
    onward: Onward::SignIn,
    title: "This answer came from somebody else",
    happened: "The answer names another sign-in service than the one that you were sent to, so nobody was signed in.",
    you: "Sign in again from here. If you followed a link in a message to get to this page, do not trust it.",
    administrator: "The iss parameter of the callback must equal the issuer of the configured org. Salesforce sends \
                    none today, so somebody else may have made this address.",
};

pub(super) const CROSS_SITE: Entry = Entry {
    code: "cross_site",
    status: StatusCode::FORBIDDEN,
    onward: Onward::Home,
    title: "This came from another site",
    happened: "Another website sent this form, so it was not acted upon. You are as signed in, or out, as you were.",
    you: "If you want to sign out, use the sign-out page of this site.",
    administrator: "A form that signs people out must be sent from one of the gateway's own origins: the Origin header \
                    is compared with public_url and the hosts of the routes.",
};

pub(super) const REDIRECT_LOOP: Entry = Entry {
    code: "redirect_loop",
    status: StatusCode::BAD_REQUEST,
    onward: Onward::SignIn,
    title: "Sign-in goes round in circles",
    happened: "Salesforce signed you in several times in a row, but your browser came back each time without the \
               session cookie that this site had given it. To spare you an endless loop, it was stopped here.",
    you: "Allow cookies for this site, close its other tabs, then sign in again. A private window without extensions \
          shows whether an extension is the cause.",
    administrator: "The session cookie is Secure and bound to one host: people must use the scheme and host of \
                    public_url exactly, and a proxy in front must not drop or rename Set-Cookie. The clock of the \
                    gateway must be right as well.",
};
