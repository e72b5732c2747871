//! The parameters of a request, in a query or a form (RFC 6749, section 3).

use std::collections::BTreeMap;

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::error::Refused;

/// The most parameters, and the longest of them, in bytes.
const MAX_PARAMETERS: usize = 64;
const MAX_LENGTH: usize = 16 * 1_024;

/// The parameters that have a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(pub BTreeMap<String, String>);

impl Parameters {
    /// Reads a query or a form.
    ///
    /// # Errors
    ///
    /// A parameter that stands twice, or contains NUL.
    pub fn read(text: &[u8]) -> Result<Self, Refused> {
        let mut parameters = BTreeMap::new();
        let mut twice = None;
        for (name, value) in form_urlencoded::parse(text) {
            if value.is_empty() {
                // As if it were left out (RFC 6749, section 3.1).
                continue;
            }
            if value.contains('\0')
                || value.len() > MAX_LENGTH
                || parameters.len() >= MAX_PARAMETERS
            {
                return Err(Refused::request(
                    "a parameter contains the NUL character, is too long, or there are too many",
                ));
            }
            if parameters
                .insert(name.to_string(), value.into_owned())
                .is_some()
            {
                twice = Some(name.into_owned());
            }
        }
        match twice {
            Some(name) => Err(Refused::request(format!(
                "the parameter {} stands twice",
                printable(&name)
            ))),
            None => Ok(Self(parameters)),
        }
    }

    /// Reads a form.
    ///
    /// # Errors
    ///
    /// As [`Self::read`] has them; another type of content.
    pub fn of_form(headers: &HeaderMap, body: &[u8]) -> Result<Self, Refused> {
        let kind = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
        match kind {
            Some(kind) if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") => {
                Self::read(body)
            }
            _ => Err(Refused::request(
                "the body must be of the type application/x-www-form-urlencoded",
            )),
        }
    }

    /// A parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A parameter that must be there.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub fn required(&self, name: &'static str) -> Result<&str, Refused> {
        self.get(name)
            .ok_or_else(|| Refused::request(format!("the parameter {name} is missing")))
    }

    /// As a query.
    pub fn query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.0);
        query.finish()
    }
}

/// A text of a client in an error: without what RFC 6749 forbids there (section 5.2), and not longer than people read.
pub fn printable(text: &str) -> String {
    let is_fit = |c: &char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
    text.chars().filter(is_fit).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_value_is_left_out_and_nothing_stands_twice() {
        let read = |text: &str| Parameters::read(text.as_bytes());
        let parameters = read("a=1&b=&c=%20x+y").unwrap();
        assert_eq!(parameters.get("a"), Some("1"));
        assert_eq!(parameters.get("b"), None);
        assert_eq!(parameters.get("c"), Some(" x y"));
        assert!(read("a=1&a=1").is_err());
        assert!(read("a=%00").is_err());
        assert_eq!(read(&parameters.query()).unwrap(), parameters);
    }
}
