//! Identifiers of resources where one names another: an id, or the URI (`$ref`) that ends in it
//! (RFC 7643, section 2.4).

use uuid::Uuid;

use super::schema::{ResourceType, endpoint_type};

/// A URI that ends in the path of a user or a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The type in its path.
    pub resource_type: ResourceType,
    /// The id at its end.
    pub id: Uuid,
    /// What comes before the path.
    root: String,
}

impl Reference {
    /// Reads a URI, absolute or relative. `None` for one that does not end in the path of a
    /// resource.
    pub fn parse(uri: &str) -> Option<Self> {
        let (parent, id) = uri.trim().trim_end_matches('/').rsplit_once('/')?;
        let (root, endpoint) = parent.rsplit_once('/').unwrap_or(("", parent));
        Some(Self {
            resource_type: endpoint_type(endpoint)?,
            id: Uuid::try_parse(id).ok()?,
            root: root.to_owned(),
        })
    }

    /// The URI that the server with its SCIM root at `base` gives to the resource.
    pub fn uri(&self, base: &str) -> String {
        format!("{base}{}/{}", self.resource_type.endpoint(), self.id)
    }

    /// Whether it leads below the SCIM root with the URL `base`: it starts with that URL, or is
    /// relative to it.
    pub fn is_below(&self, base: &str) -> bool {
        let steps = self.root.split('/');
        let down: Vec<&str> = steps
            .filter(|step| !matches!(*step, "" | "." | ".."))
            .collect();
        self.root.eq_ignore_ascii_case(base)
            || down.is_empty()
            || base.ends_with(&format!("/{}", down.join("/")))
    }
}

/// An identifier as ids are issued, if it is one: a UUID in lower case. Anything else stays.
pub fn issued(text: &str) -> String {
    Uuid::try_parse(text.trim()).map_or_else(|_| text.to_owned(), |id| id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0190a6e0-1c2b-7def-8123-456789abcdef";

    #[test]
    fn references_lead_to_this_server_or_elsewhere() {
        let base = "https://scim.example/scim/v2";
        for (root, expected) in [
            (base, true),
            ("HTTPS://Scim.EXAMPLE/scim/v2", true),
            ("//scim.example/scim/v2", true),
            ("/scim/v2", true),
            ("..", true),
            ("../..", true),
            (".", true),
            ("", true),
            ("https://scim.example/scim", false),
            ("https://scim.example", false),
            ("https://evil.test/scim/v2", false),
            ("https://evil.test/https://scim.example/scim/v2", false),
            ("//evil.test/scim/v2", false),
            ("/api", false),
        ] {
            let reference = Reference::parse(&format!("{root}/Users/{ID}")).unwrap();
            assert_eq!(reference.is_below(base), expected, "{root}");
            assert_eq!(reference.id.to_string(), ID);
        }
        let group = Reference::parse(&format!("Groups/{}/", ID.to_uppercase())).unwrap();
        assert_eq!(group.resource_type, ResourceType::Group);
        assert!(group.is_below(base));
        for uri in [
            "",
            "x",
            ID,
            "/Users/",
            "/Users/x",
            &format!("/users/{ID}"),
            &format!("/Schemas/{ID}"),
            &format!("/Users/{ID}/x"),
            &format!("/Users/{ID}?x"),
        ] {
            assert_eq!(Reference::parse(uri), None, "{uri}");
        }
    }

    #[test]
    fn identifiers_have_one_form() {
        assert_eq!(issued(&format!(" {} ", ID.to_uppercase())), ID);
        assert_eq!(issued(" Not one "), " Not one ");
    }
}
