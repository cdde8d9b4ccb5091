//! Inject (skeleton).
use hyper::header::HeaderName;

/// Which identity headers the app receives.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Families of names. Default: `forwarded` and `salesforce`.
    pub presets: Vec<Preset>,
    /// `[headers.custom]`: a name and what to put there.
    pub custom: Vec<(HeaderName, Source)>,
}

/// A family of header names that apps already know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// `X-Forwarded-User`, `-Email`, `-Preferred-Username`.
    Forwarded,
    /// `X-Salesforce-User-Id`, `-Organization-Id`, `-User-Type`.
    Salesforce,
    /// `X-Auth-Request-User`, `-Email`, `-Preferred-Username`, as oauth2-proxy sends to nginx.
    AuthRequest,
    /// `Remote-User`, `-Email`, `-Name`, as Authelia sends.
    Remote,
}

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The stable key `user@organization`, 18 characters each.
    UserKey,
    /// The 18-character user id.
    UserId,
    /// The 18-character organization id.
    OrganizationId,
    /// The Salesforce username.
    Username,
    /// The e-mail address.
    Email,
    /// The person's name.
    Name,
    /// `STANDARD` and so on.
    UserType,
    /// Any claim by its path, such as `custom_attributes.department`.
    Claim(Vec<String>),
}
