//! The SCIM error (RFC 7644, section 3.12).

use std::fmt;

use serde_json::{Value, json};

use super::keywords::keywords;

/// The schema of the error form.
pub const ERROR_URN: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

keywords! {
    /// The detail error keywords: RFC 7644, table 9, and RFC 9865, section 2.
    ScimType {
        /// The filter's syntax is wrong, or the attribute and the operator do not fit.
        InvalidFilter = "invalidFilter",
        /// The filter yields more results than the server is willing to return.
        TooMany = "tooMany",
        /// A value that must be unique is in use.
        Uniqueness = "uniqueness",
        /// The attribute's mutability forbids the modification.
        Mutability = "mutability",
        /// The body's structure is wrong.
        InvalidSyntax = "invalidSyntax",
        /// The path of an operation is malformed.
        InvalidPath = "invalidPath",
        /// The path of an operation yields nothing to operate on.
        NoTarget = "noTarget",
        /// A required value is missing, or a value does not fit its attribute.
        InvalidValue = "invalidValue",
        /// The protocol version is not supported.
        InvalidVers = "invalidVers",
        /// Sensitive information in a request URI.
        Sensitive = "sensitive",
        /// The cursor was not issued by this server, or for another query.
        InvalidCursor = "invalidCursor",
        /// The cursor is too old.
        ExpiredCursor = "expiredCursor",
        /// The count is not acceptable with a cursor.
        InvalidCount = "invalidCount",
    }
}

/// Why a SCIM request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScimError {
    /// The HTTP status.
    pub status: u16,
    /// The detail error keyword, where the tables have one.
    pub scim_type: Option<ScimType>,
    /// What is wrong and what to do, for the person who set up the client.
    pub detail: String,
}

impl ScimError {
    /// An error without a keyword.
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        Self {
            status,
            scim_type: None,
            detail: detail.into(),
        }
    }

    /// A 400 with its keyword.
    pub fn bad_request(scim_type: ScimType, detail: impl Into<String>) -> Self {
        Self {
            status: 400,
            scim_type: Some(scim_type),
            detail: detail.into(),
        }
    }

    /// Why, in one word for metrics: the keyword, or the status where there is none.
    pub const fn reason(&self) -> &'static str {
        match (self.scim_type, self.status) {
            (Some(scim_type), _) => scim_type.as_str(),
            (None, 401) => "401",
            (None, 403) => "403",
            (None, 404) => "404",
            (None, 405) => "405",
            (None, 409) => "409",
            (None, 412) => "412",
            (None, 413) => "413",
            (None, 415) => "415",
            (None, 429) => "429",
            (None, 500) => "500",
            (None, 501) => "501",
            (None, 503) => "503",
            (None, _) => "other",
        }
    }

    /// The error form: the body of the response.
    pub fn to_json(&self) -> Value {
        let mut body = json!({
            "schemas": [ERROR_URN],
            "status": self.status.to_string(),
            "detail": self.detail,
        });
        if let (Some(scim_type), Value::Object(body)) = (self.scim_type, &mut body) {
            body.insert("scimType".to_owned(), scim_type.as_str().into());
        }
        body
    }
}

impl fmt::Display for ScimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for ScimError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_form_has_a_string_status_and_no_empty_keyword() {
        let error = ScimError::bad_request(ScimType::NoTarget, "nothing there");
        assert_eq!(
            error.to_json(),
            json!({
                "schemas": [ERROR_URN],
                "status": "400",
                "scimType": "noTarget",
                "detail": "nothing there",
            })
        );
        let error = ScimError::new(404, "no such user");
        assert_eq!(
            error.to_json(),
            json!({"schemas": [ERROR_URN], "status": "404", "detail": "no such user"})
        );
    }
}
