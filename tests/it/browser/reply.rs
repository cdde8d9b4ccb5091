//! What a browser reads of an answer: its headers, and what a page offers.

use super::*;

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Reply {
    pub url: Url,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Reply {
    /// A header's first line, as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a readable header"))
    }

    /// Where a redirect leads.
    pub fn location(&self) -> Url {
        let location = self.header("location").unwrap_or_else(|| panic!("no redirect: {} {}", self.status, self.body));
        self.url.join(location).expect("an address")
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    /// All `Set-Cookie` lines.
    pub fn cookies(&self) -> Vec<String> {
        self.headers.get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap().to_owned()).collect()
    }

    /// The value of a query parameter of this page's address, or of the address that it redirects to.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let url = if self.headers.contains_key(LOCATION) { self.location() } else { self.url.clone() };
        url.query_pairs().find(|pair| pair.0 == name).map(|pair| pair.1.into_owned())
    }

    /// The refusal's code, on a page or in JSON.
    pub fn refusal(&self) -> String {
        if let Ok(json) = serde_json::from_str::<serde_json::Value>(&self.body) {
            return json["error"].as_str().unwrap_or_default().to_owned();
        }
        let marked = self.body.split("<dt>Code</dt><dd><code>").nth(1).and_then(|rest| rest.split('<').next());
        marked.unwrap_or_else(|| panic!("no refusal: {} {}", self.status, self.body)).to_owned()
    }

    /// The way in by one provider, on the page where people choose.
    pub fn way(&self, provider: &str) -> Url {
        let ours = |link: &Url| link.query_pairs().any(|(name, value)| name == "provider" && value == provider);
        let way = self.links().into_iter().find(ours);
        way.unwrap_or_else(|| panic!("no way in by {provider}: {} {}", self.status, self.body))
    }

    /// The addresses of the page's links.
    pub fn links(&self) -> Vec<Url> {
        let marked = self.body.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
        marked.filter_map(|link| self.url.join(&unescape(link)).ok()).collect()
    }

    pub(super) fn hidden(&self, name: &str) -> Option<String> {
        let marked = self.body.split(&format!("name=\"{name}\" value=\"")).nth(1)?;
        Some(unescape(marked.split('"').next()?))
    }

    /// Where the page's script goes on to, as Salesforce's do.
    pub(super) fn scripted(&self) -> Option<Url> {
        let marked = self.body.split("data-onward=\"").nth(1)?;
        self.url.join(&unescape(marked.split('"').next()?)).ok()
    }

    /// Every hidden field of the page's one form.
    pub fn fields(&self) -> Vec<(String, String)> {
        let marked = self.body.split("<input type=\"hidden\" name=\"").skip(1);
        let read = |rest: &str| {
            let (name, rest) = rest.split_once("\" value=\"")?;
            Some((name.to_owned(), unescape(rest.split('"').next()?)))
        };
        marked.filter_map(read).collect()
    }

    /// Whether this page sends a SAML message on when its button is pressed, or by itself.
    pub fn carries(&self, message: &str) -> bool {
        self.hidden(message).is_some()
    }

    pub fn action(&self) -> Url {
        let marked = self.body.split("action=\"").nth(1).unwrap_or_else(|| panic!("no form: {}", self.body));
        self.url.join(&unescape(marked.split('"').next().unwrap())).unwrap()
    }
}

pub(super) fn unescape(text: &str) -> String {
    let entities = [("&#x2f;", "/"), ("&quot;", "\""), ("&#x27;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")];
    entities.iter().fold(text.to_owned(), |text, (entity, character)| text.replace(entity, character))
}
