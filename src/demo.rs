//! Everything that `portcullis demo` shows: a pretend org, a pretend app, and a real gateway between them.

pub mod app;
