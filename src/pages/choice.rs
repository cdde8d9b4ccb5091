//! The page on which people choose how to sign in, and the same as a list for programs that draw their own.
//!
//! Links and no form: choosing changes nothing yet, and each way can be opened in a tab of its own. Called by
//! `login::choice`.

use hyper::StatusCode;
use serde::Serialize;

use super::{Form, Pages, Referrer, Visit, bare, local};
use crate::http::{Response, json};

/// The ways to sign in.
#[derive(Clone, Debug)]
pub struct Choice {
    /// In the order of the configuration.
    pub ways: Vec<WayIn>,
}

/// One way to sign in.
#[derive(Clone, Debug, Serialize)]
pub struct WayIn {
    /// The provider's name in the configuration.
    pub provider: String,
    /// What people call it.
    pub title: String,
    /// Where it is, when that says more than the title.
    pub place: Option<String>,
    /// The absolute address that begins it.
    #[serde(rename = "sign_in")]
    pub link: String,
}

#[derive(Serialize)]
struct ChoicePage<'a> {
    ways: Vec<&'a WayIn>,
    host: &'a str,
}

impl Pages {
    /// The choice.
    pub fn choice(&self, choice: &Choice, form: Form, visit: &Visit<'_>) -> Response {
        let ways: Vec<&WayIn> = choice.ways.iter().filter(|way| local(&way.link).is_some()).collect();
        match form {
            Form::Page => {
                let page = ChoicePage { ways, host: visit.host };
                self.page(StatusCode::OK, "Sign in", "choice.html", &page, visit, Referrer::None)
            }
            Form::Json => {
                let body = serde_json::json!({ "ways": ways, "request_id": visit.request_id });
                bare(json(StatusCode::OK, &body))
            }
        }
    }
}
