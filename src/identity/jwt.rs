//! ID token verification (being built).
