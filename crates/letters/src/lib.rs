//! When two texts are the same although their letters are not: the one place that folds letters. Where an older program
//! stored no key, the SQL function `folded` says the same as [`fold`].
//!
//! There are two foldings, for there are two questions:
//!
//! - **What is it that people look for?** Names, display names and the texts of SCIM that ignore case, in searches, orders and
//!   filters: [`fold`], the default case folding of Unicode (CaseFolding.txt, C and F). `Straße` is found as `STRASSE`.
//! - **Who is it?** User names and addresses: [`user_name_key`] and [`address_key`], on simple case folding (C and S), which
//!   never makes two letters of one. `straße@example.com` and `strasse@example.com` are two mailboxes, and must not be one
//!   person.
//!
//! Words of protocols (names of headers and attributes, URNs, keywords, hosts) are ASCII, and compare without it.

use std::borrow::Cow;
use std::iter::once;

use icu_casemap::{CaseMapper, CaseMapperBorrowed};
use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use unicode_normalization::UnicodeNormalization;

const LETTERS: CaseMapperBorrowed<'static> = CaseMapper::new();

/// The text in the form in which searches, orders and filters compare it. Letters are folded one by one, so a part of a text
/// becomes a part of the result.
pub fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return fold_ascii(text);
    }
    LETTERS.fold_string(text)
}

fn fold_ascii(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Cow::Owned(text.to_ascii_lowercase());
    }
    Cow::Borrowed(text)
}

/// Simple case folding. `İ` has none, and becomes what it is in lower case, as in the keys that there are already: of users who
/// were deleted, nothing else is known.
fn simple(letter: char) -> impl Iterator<Item = char> {
    let (first, second) = match letter {
        'İ' => ('i', Some('\u{307}')),
        letter => (LETTERS.simple_fold(letter), None),
    };
    once(first).chain(second)
}

fn fold_simple(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return fold_ascii(text);
    }
    Cow::Owned(text.chars().flat_map(simple).collect())
}

/// The form of a user name in which equal names are equal character by character (RFC 7644,
/// section 7.8): the width mapping, case mapping and normalization of the PRECIS profile
/// UsernameCaseMapped (RFC 8265, section 3.3), with case folding for lower case. Characters that
/// the profile forbids are mapped to their compatibility equivalents and kept, so that names from
/// existing directories stay usable and still cannot pass for one another.
pub fn user_name_key(name: &str) -> Cow<'_, str> {
    if name.is_ascii() {
        return fold_ascii(name);
    }
    let mapped: String = name.nfkc().flat_map(simple).collect();
    Cow::Owned(mapped.nfkc().collect())
}

/// The form of an address in which equal ones are equal, and of a part of one: what follows the last `@` is a domain.
pub fn address_key(address: &str) -> Cow<'_, str> {
    match address.rsplit_once('@') {
        Some((local, domain)) => {
            let (local, key) = (fold_simple(local), domain_key(domain));
            match (&local, &key) {
                (Cow::Borrowed(_), Cow::Borrowed(key)) if key.len() == domain.len() => {
                    Cow::Borrowed(address)
                }
                _ => Cow::Owned(format!("{local}@{key}")),
            }
        }
        None => fold_simple(address),
    }
}

/// The form of a domain in which equal ones are equal: its ASCII form (UTS #46, non-transitional) in lower case, without a dot
/// at the end. What is no domain stays as it is, its letters folded, and is never the key of one: a key of a domain is ASCII,
/// and a domain itself.
pub fn domain_key(domain: &str) -> Cow<'_, str> {
    if domain.is_ascii() && !has_encoded_label(domain) {
        return fold_ascii(without_root(domain));
    }
    let ascii = Uts46::new().to_ascii(
        domain.as_bytes(),
        AsciiDenyList::STD3,
        Hyphens::Allow,
        DnsLength::VerifyAllowRootDot,
    );
    match ascii {
        Ok(ascii) => Cow::Owned(without_root(&ascii).to_owned()),
        Err(_) => fold_simple(without_root(domain)),
    }
}

/// The ways in which a program wrote the key of a domain: the release 0.1.0 left what is not ASCII as it is.
pub fn domain_spellings(key: &str) -> Vec<String> {
    let (letters, read) =
        Uts46::new().to_unicode(key.as_bytes(), AsciiDenyList::STD3, Hyphens::Allow);
    let mut spellings = vec![key.to_owned()];
    if read.is_ok() && letters != key {
        spellings.push(letters.into_owned());
    }
    spellings
}

fn has_encoded_label(domain: &str) -> bool {
    let is_encoded = |label: &str| {
        let start = label.get(..4);
        start.is_some_and(|start| start.eq_ignore_ascii_case("xn--"))
    };
    domain.split('.').any(is_encoded)
}

/// Without the one dot that may stand at the end of a domain, for the root.
fn without_root(domain: &str) -> &str {
    match domain.strip_suffix('.') {
        Some(rest) if !rest.is_empty() && !rest.ends_with('.') => rest,
        _ => domain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beyond these planes, there is no letter that has a case.
    fn letters() -> impl Iterator<Item = String> {
        (char::MIN..='\u{1ffff}').map(String::from)
    }

    /// What 0.1.0 did.
    fn in_lower_case(text: &str) -> String {
        text.chars().flat_map(char::to_lowercase).collect()
    }

    #[test]
    fn letters_of_any_case_are_found() {
        for same in [
            ["ärger", "Ärger", "ÄRGER"],
            ["σίσυφος", "ΣΊΣΥΦΟΣ", "σίσυφοσ"],
            ["Straße", "STRASSE", "strasse"],
            ["ﬁx", "FIX", "Fix"],
            ["ꭰ", "Ꭰ", "Ꭰ"],
            ["A", "a", "a"],
        ] {
            let folded = same.map(fold);
            assert!(folded.iter().all(|one| *one == folded[0]), "{folded:?}");
        }
        assert_ne!(fold("Ä"), fold("A"));
    }

    #[test]
    fn attack_letters_that_make_one_of_two_people() {
        for (one, other) in [
            ("straße@example.com", "strasse@example.com"),
            ("ﬁn@example.com", "fin@example.com"),
            ("ŉ@example.com", "ʼn@example.com"),
            ("ada@straße.example", "ada@strasse.example"),
            ("ada@βόλος.example", "ada@βόλοσ.example"),
            ("ada@faß.example", "ada@fass.example"),
        ] {
            assert_ne!(address_key(one), address_key(other), "{one}");
        }
        assert_ne!(user_name_key("straße"), user_name_key("strasse"));
    }

    #[test]
    fn keys_of_before_have_the_same_key() {
        for letter in letters() {
            let old = in_lower_case(&letter);
            assert_eq!(fold(&old), fold(&letter), "{letter:?}");
            assert_eq!(fold_simple(&old), fold_simple(&letter), "{letter:?}");
            let name: String = in_lower_case(&letter.nfkc().collect::<String>());
            let name: String = name.nfkc().collect();
            assert_eq!(user_name_key(&name), user_name_key(&letter), "{letter:?}");
        }
    }

    #[test]
    fn a_key_is_its_own_key() {
        for letter in letters() {
            for key in [fold, fold_simple, user_name_key, address_key, domain_key] {
                assert_eq!(key(&key(&letter)), key(&letter), "{letter:?}");
            }
        }
    }

    #[test]
    fn addresses_are_the_same_in_any_case_and_spelling_of_the_domain() {
        let key = "ada@xn--bcher-kva.example";
        for address in [
            "ada@bücher.example",
            "Ada@BÜCHER.example",
            "ADA@XN--BCHER-KVA.EXAMPLE",
            "ada@xn--bcher-kva.example.",
            "ada@bu\u{308}cher.example",
            "ada@bücher。example",
            "ada@bücher．example｡",
            "ada@ｂücher.example",
            "ada@bü\u{ad}cher.example",
        ] {
            assert_eq!(address_key(address), key, "{address}");
        }
        assert_eq!(address_key("Jürgen@Example.com."), "jürgen@example.com");
        assert_eq!(address_key("\"a@b\"@Example.com"), "\"a@b\"@example.com");
        assert_eq!(address_key("@bücher.example"), "@xn--bcher-kva.example");
        assert_eq!(address_key("no address"), "no address");
        assert_eq!(domain_key("пример.рф"), "xn--e1afmkfd.xn--p1ai");
        assert_eq!(domain_key("bücher.xn--p1ai"), "xn--bcher-kva.xn--p1ai");
    }

    #[test]
    fn attack_domains_that_pass_for_another() {
        let long = format!("{}.example", "ü".repeat(70));
        let deep = format!("{}example", "ü.".repeat(200));
        for odd in [
            "",
            ".",
            "..",
            "example.com..",
            "example.com。.",
            ".example.com",
            "exam..ple.com",
            "bücher..example",
            "example%2ecom",
            "exam％ple.com",
            "bücher.exam%ple.com",
            "example.com/",
            "example℀com",
            "example.com@evil.example",
            "example.com＠evil.example",
            "xn--example-.com",
            "xn--example-.com.",
            "XN--EXAMPLE-.COM",
            "xn--.com",
            "xn--bücher.example",
            "xn--bcher-kva0000000.example",
            "xn--Bcher-kva\u{fffd}.example",
            "my_host.bücher.example",
            "bücher.example\0",
            "bü cher.example",
            "[127.0.0.1]",
            &long,
            &deep,
        ] {
            let key = domain_key(odd);
            assert_eq!(key, fold_simple(without_root(odd)), "{odd} stays as it is");
            for domain in ["example.com", "xn--bcher-kva.example", "example"] {
                assert_ne!(key, domain, "{odd}");
            }
        }
        // Cyrillic letters that look like Latin ones.
        assert_ne!(domain_key("еxample.com"), "example.com");
        assert!(domain_key("еxample.com").starts_with("xn--"));
    }

    #[test]
    fn a_domain_is_found_as_0_1_0_wrote_it() {
        assert_eq!(domain_spellings("example.com"), ["example.com"]);
        assert_eq!(
            domain_spellings("xn--bcher-kva.example"),
            ["xn--bcher-kva.example", "bücher.example"]
        );
        assert_eq!(domain_spellings("xn--example-.com"), ["xn--example-.com"]);
    }
}
