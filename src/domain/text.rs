//! Rules for text that clients send, beside those of the `.proto` files.

use crate::error::{Error, Violation, no_violations};

/// Names each of `fields` (path, text) that holds a NUL, the one character that PostgreSQL cannot
/// store.
pub fn unstorable<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Violation> {
    fields
        .into_iter()
        .filter(|(_, text)| text.contains('\0'))
        .map(|(field, _)| {
            Violation::new(
                field,
                Violation::STORABLE,
                "must not contain the NUL character (U+0000)",
            )
        })
        .collect()
}

/// The most code points of what people write about a thing, where the contract has no limit.
const MAX_DESCRIPTION_LENGTH: usize = 255;

/// Checks what somebody writes about a thing: up to 255 code points.
///
/// # Errors
///
/// [`Error::Invalid`] on `field`.
pub fn check_description(field: &'static str, text: &str) -> Result<(), Error> {
    let mut violations = unstorable([(field, text)]);
    if text.chars().count() > MAX_DESCRIPTION_LENGTH {
        violations.push(Violation::new(
            field,
            Violation::LENGTH,
            format!("must have at most {MAX_DESCRIPTION_LENGTH} characters"),
        ));
    }
    no_violations(violations)
}

/// Whether `text`, a domain's [key](super::letters::domain_key), is a domain name: dot-separated labels of letters, digits and
/// inner hyphens, at most 63 characters each, the last of two letters or more, or such letters in ASCII (`xn--`); 4 to 253
/// characters in all.
pub fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let Some((host, last)) = text.rsplit_once('.') else {
        return false;
    };
    (4..=253).contains(&text.len())
        && host.split('.').all(label)
        && last.len() >= 2
        && (last.bytes().all(|b| b.is_ascii_alphabetic())
            || (last.starts_with("xn--") && label(last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_follow_the_contract() {
        for domain in [
            "example.com",
            "a.bc",
            "A-1.Example.org",
            "xn--bcher-kva.example",
            "xn--e1afmkfd.xn--p1ai",
        ] {
            assert!(is_domain(domain), "{domain}");
        }
        for text in [
            "", "com", ".com", "a..bc", "-a.bc", "a-.bc", "a.b", "a.b1", "a b.cd", "a.bc.", "ä.de",
            "@a.bc", "a.xn--", "a.xn--ä",
        ] {
            assert!(!is_domain(text), "{text}");
        }
        assert!(!is_domain(&format!("{}.com", "a".repeat(64))));
        assert!(!is_domain(&format!("{}com", "a.".repeat(126))));
    }
}
