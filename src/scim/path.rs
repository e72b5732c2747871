//! The paths of PATCH operations (RFC 7644, section 3.5.2, figure 7). Keys of path-less operations
//! and names in `attributes` are read by the same rules.

use super::error::{ScimError, ScimType};
use super::filter::{self, FilterError, Resolved, Selector};
use super::schema::{AttributePath, ResourceType, Schema};

/// What a path points to.
#[derive(Clone, Debug, PartialEq)]
pub enum Path {
    /// All attributes of a schema: the path is its URN.
    Schema(&'static Schema),
    /// An attribute or a sub-attribute.
    Attribute(AttributePath),
    /// Those values of a multi-valued attribute that match a filter, or a sub-attribute of theirs.
    Values {
        /// The attribute; its sub-attribute is the one that is meant.
        path: AttributePath,
        /// The filter in brackets.
        filter: Resolved,
    },
}

impl Path {
    /// The attribute that the path leads into.
    pub fn attribute(&self) -> Option<&AttributePath> {
        match self {
            Self::Schema(_) => None,
            Self::Attribute(path) | Self::Values { path, .. } => Some(path),
        }
    }
}

/// Parses a path. Names may be in any case and carry the URN of their schema. `None` for what is
/// well-formed and names no attribute of `resource_type`.
///
/// # Errors
///
/// A 400 `invalidPath` for a malformed path, or a filter that does not fit the attribute.
pub fn parse(text: &str, resource_type: ResourceType) -> Result<Option<Path>, ScimError> {
    let invalid = |error: FilterError| invalid_path(&error.to_string());
    if let Some(schema) = schema_named(text, resource_type) {
        return Ok(Some(Path::Schema(schema)));
    }
    let Selector { name, filter, sub } = filter::parse_selector(text).map_err(invalid)?;
    let Some(path) = resource_type.attribute(&name.text) else {
        return Ok(None);
    };
    let Some(filter) = filter else {
        return Ok(Some(Path::Attribute(path)));
    };
    if !path.leaf().multi_valued {
        return Err(invalid_path(&format!(
            "{path} is single-valued: leave out the brackets"
        )));
    }
    let filter = filter::resolve_within(&filter, path).map_err(invalid)?;
    let sub_attribute = match sub {
        None => None,
        Some(sub) => match path.attribute.sub_attribute(&sub.text) {
            None => return Ok(None),
            found => found,
        },
    };
    let path = AttributePath {
        sub_attribute,
        ..path
    };
    Ok(Some(Path::Values { path, filter }))
}

/// The schema of `resource_type` whose URN is `text`, in any case.
pub(super) fn schema_named(text: &str, resource_type: ResourceType) -> Option<&'static Schema> {
    resource_type
        .schemas()
        .find(|schema| schema.id.eq_ignore_ascii_case(text))
}

fn invalid_path(reason: &str) -> ScimError {
    ScimError::bad_request(
        ScimType::InvalidPath,
        format!("the path is not valid: {reason}"),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::schema::{ENTERPRISE_USER_URN, USER_URN};
    use super::*;

    fn user(text: &str) -> Result<Option<Path>, ScimError> {
        parse(text, ResourceType::User)
    }

    #[test]
    fn paths_point_to_attributes_and_values() {
        let attribute = |text: &str| match user(text).unwrap() {
            Some(Path::Attribute(path)) => path.to_string(),
            Some(Path::Values { path, .. }) => format!("values of {path}"),
            Some(Path::Schema(schema)) => schema.name.to_owned(),
            None => "nothing".to_owned(),
        };
        let urn = ENTERPRISE_USER_URN;
        for (text, expected) in [
            ("NAME.familyname", "name.familyName"),
            (&format!("{USER_URN}:name.givenName"), "name.givenName"),
            (&format!("{urn}:manager"), &format!("{urn}:manager")), // row 15
            (&format!("{urn}.manager"), &format!("{urn}:manager")), // row 31
            ("manager", &format!("{urn}:manager")),                 // row 16
            (urn, "EnterpriseUser"),
            ("emails[type eq \"work\"]", "values of emails"),
            ("emails[Type Eq \"work\"].Value", "values of emails.value"),
            (
                &format!("{USER_URN}:emails[type eq \"work\"].value"),
                "values of emails.value",
            ),
            ("nope", "nothing"),
            ("urn:example:2.0:User:tag", "nothing"),
            ("name.nope", "nothing"),
            ("emails[type eq \"work\"].nope", "nothing"),
        ] {
            assert_eq!(attribute(text), expected, "{text}");
        }
    }

    #[test]
    fn malformed_paths_are_refused() {
        for text in [
            "",
            "emails[",
            "emails[type eq \"work\"",
            "emails[nope eq \"work\"]",
            "emails[type eq work].value",
            "emails[type gt 5]",
            "name[familyName eq \"x\"]",
            "emails[0]",
            "a b",
            "/emails/0",
        ] {
            let error = user(text).unwrap_err();
            assert_eq!(error.scim_type, Some(ScimType::InvalidPath), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = user(&text);
        }

        #[test]
        fn no_text_in_brackets_panics(filter in any::<String>(), sub in ".{0,8}") {
            let _ = user(&format!("emails[{filter}].{sub}"));
        }
    }
}
