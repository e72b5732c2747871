//! Enumerations whose values have names, in the database and in settings.

/// A text that is none of the names of an enumeration.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is no {of}: give {names}")]
pub struct Unknown {
    /// The text.
    pub text: String,
    /// The enumeration.
    pub of: &'static str,
    /// The names that there are.
    pub names: String,
}

/// Declares an enumeration with a name for each value: `as_str`, `ALL`, `Display`, `Serialize` and `FromStr`, which knows no other name.
macro_rules! named {
    ($(#[$doc:meta])* $visibility:vis enum $name:ident {$(
        $(#[$about:meta])* $variant:ident = $text:literal,
    )+}) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        $visibility enum $name {$(
            $(#[$about])* $variant,
        )+}

        impl $name {
            /// All values.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::domain::names::Unknown;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut all = Self::ALL.iter().copied();
                all.find(|value| value.as_str() == text)
                    .ok_or_else(|| $crate::domain::names::Unknown {
                        text: text.to_owned(),
                        of: stringify!($name),
                        names: [$($text),+].join(" or "),
                    })
            }
        }
    };
}

pub(crate) use named;
