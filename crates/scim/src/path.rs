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
/// well-formed and names no attribute of `resource_type`, whatever URI its schema has.
///
/// # Errors
///
/// A 400 `invalidPath` for a malformed path, a filter that does not fit the attribute, and one that
/// can only mean the members of a group and is not their name: a member who is to be removed must
/// not stay because of it.
pub fn parse(text: &str, resource_type: ResourceType) -> Result<Option<Path>, ScimError> {
    let invalid = |error: FilterError| invalid_path(&error.to_string());
    if let Some(schema) = schema_named(text, resource_type) {
        return Ok(Some(Path::Schema(schema)));
    }
    let Selector { name, filter, sub } = match filter::parse_selector(text) {
        Ok(selector) => selector,
        Err(_) if is_of_another_schema(text, resource_type) => return Ok(None),
        Err(error) => return Err(invalid(error)),
    };
    let nothing = || match means_members(text, resource_type) {
        true => Err(invalid_path("members are named \"members\"")),
        false => Ok(None),
    };
    let Some(path) = resource_type.attribute(&name.text) else {
        return nothing();
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
            None => return nothing(),
            found => found,
        },
    };
    let path = AttributePath {
        sub_attribute,
        ..path
    };
    Ok(Some(Path::Values { path, filter }))
}

/// Whether what is no path can only be about an attribute of `resource_type`.
pub(super) fn means_known(text: &str, resource_type: ResourceType) -> bool {
    let name = text.split('[').next().unwrap_or_default();
    resource_type.attribute(name.trim()).is_some() || means_members(text, resource_type)
}

/// Whether a word of `text` is that for members, of which groups alone have some.
fn means_members(text: &str, resource_type: ResourceType) -> bool {
    let name = text.split('[').next().unwrap_or_default();
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
    let is_word =
        |word: &str| word.eq_ignore_ascii_case("members") || word.eq_ignore_ascii_case("member");
    resource_type == ResourceType::Group && words.any(is_word)
}

/// Whether `text` begins with a URI, and no schema of `resource_type` has that URI.
fn is_of_another_schema(text: &str, resource_type: ResourceType) -> bool {
    let name = text.split('[').next().unwrap_or_default();
    let is_urn = name
        .get(..4)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("urn:"));
    (is_urn || name.contains("://")) && !means_known(text, resource_type)
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
            ("urn:example:a/b+c:tag", "nothing"),
            ("http://example.com/User:tag[x eq 1].y", "nothing"),
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

    #[test]
    fn what_can_only_mean_members_is_not_passed_over() {
        for text in [
            "member",
            "members.nope",
            "members[value eq \"a\"].nope",
            "members:",
            "Group.Members",
            "urn:example:members",
            "https://example.com/Group:members",
        ] {
            let error = parse(text, ResourceType::Group).unwrap_err();
            assert_eq!(error.scim_type, Some(ScimType::InvalidPath), "{text}");
            assert_eq!(user(text).unwrap_or(None), None, "{text}");
        }
        let elsewhere = parse("membership", ResourceType::Group);
        assert_eq!(elsewhere, Ok(None));
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
