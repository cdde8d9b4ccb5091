//! Cookies (skeleton).

/// What our cookies demand of the browser's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// `__Host-` names and `Secure`: the public addresses are https.
    Secure,
    /// Plain names without `Secure`: for `http://localhost`, or where the configuration says `dangerous`.
    Relaxed,
}
