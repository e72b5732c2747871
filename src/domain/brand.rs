//! How pages look on which people sign in: those of an organization, or of the installation.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::audit::{Audited, SubjectType};
use super::ids::OrganizationId;
use super::names::named;
use super::text;
use crate::error::{Error, Violation, no_violations};

/// The most bytes of a logo.
pub const MAX_LOGO_SIZE: usize = 64 * 1024;
/// How much text must stand out from what is behind it (WCAG 2.2, success criterion 1.4.3).
const MIN_CONTRAST: f64 = 4.5;

const WHITE: Colour = Colour([255, 255, 255]);
/// What is behind text on dark pages, and what stands on an accent there: as the style sheet has them.
const DARK: Colour = Colour([0x1b, 0x1e, 0x26]);
const ON_ACCENT_IN_THE_DARK: Colour = Colour([0x0c, 0x12, 0x30]);

named! {
    /// The formats of logos.
    pub enum LogoKind {
        /// PNG.
        Png = "image/png",
        /// JPEG.
        Jpeg = "image/jpeg",
        /// WebP.
        Webp = "image/webp",
    }
}

impl LogoKind {
    /// The format that a file begins as.
    pub fn of(data: &[u8]) -> Option<Self> {
        match data {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [
                b'R',
                b'I',
                b'F',
                b'F',
                _,
                _,
                _,
                _,
                b'W',
                b'E',
                b'B',
                b'P',
                ..,
            ] => Some(Self::Webp),
            _ => None,
        }
    }
}

/// A logo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logo {
    /// Its format.
    pub kind: LogoKind,
    /// The file.
    pub data: Vec<u8>,
}

impl Logo {
    /// Reads a logo.
    ///
    /// # Errors
    ///
    /// The broken rule of what is too large, or none of the formats.
    pub fn new(data: Vec<u8>) -> Result<Self, Violation> {
        if data.len() > MAX_LOGO_SIZE {
            let message = format!(
                "must have at most {} KiB: make the picture smaller",
                MAX_LOGO_SIZE / 1024
            );
            return Err(Violation::new("logo", Violation::LENGTH, message));
        }
        let message = "must be a PNG, JPEG or WebP file: save it as one of them";
        let kind = LogoKind::of(&data);
        let kind = kind.ok_or_else(|| Violation::new("logo", Violation::PICTURE, message))?;
        Ok(Self { kind, data })
    }
}

/// A colour of a screen (sRGB).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour([u8; 3]);

impl FromStr for Colour {
    type Err = String;

    /// Reads `#rrggbb`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "must be a colour such as #2447c8".to_owned();
        let digits = text.strip_prefix('#').ok_or_else(wrong)?;
        if digits.len() != 6 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let part = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| wrong());
        Ok(Self([part(0)?, part(2)?, part(4)?]))
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

impl Colour {
    /// Relative luminance (WCAG 2.2).
    fn luminance(self) -> f64 {
        let [red, green, blue] = self.0.map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 {
                part / 12.92
            } else {
                ((part + 0.055) / 1.055).powf(2.4)
            }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    /// Contrast ratio (WCAG 2.2): from 1 to 21.
    pub fn contrast(self, other: Self) -> f64 {
        let (one, two) = (self.luminance(), other.luminance());
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }

    /// The lightest darker one of the same hue that can be read on white.
    fn darker(self) -> Self {
        let darker = |left: u16| {
            let part = |part: u8| u8::try_from(u16::from(part) * left / 40).unwrap_or(part);
            Self(self.0.map(part))
        };
        let is_readable = |colour: &Self| colour.contrast(WHITE) >= MIN_CONTRAST;
        let found = (0..=40).rev().map(darker).find(is_readable);
        found.unwrap_or(Self([0, 0, 0]))
    }

    /// The same colour as it is used on dark pages: lighter, as far as it must be to be read there.
    pub fn in_the_dark(self) -> Self {
        let lighter = |way: u16| {
            let part = |part: u8| {
                let missing = u16::from(255 - part) * way / 20;
                part + u8::try_from(missing).unwrap_or(u8::MAX - part)
            };
            Self(self.0.map(part))
        };
        let is_readable = |colour: &Self| {
            [DARK, ON_ACCENT_IN_THE_DARK]
                .iter()
                .all(|other| colour.contrast(*other) >= MIN_CONTRAST)
        };
        (0..=20).map(lighter).find(is_readable).unwrap_or(WHITE)
    }
}

/// How pages look. What is absent is as Rollcall's own.
#[derive(Clone, Debug)]
pub struct Brand {
    /// Whose it is; the installation's has the nil UUID.
    pub organization_id: OrganizationId,
    /// The name in the place of Rollcall's; may be empty.
    pub display_name: String,
    /// The colour of links and buttons, on light pages.
    pub accent: Option<Colour>,
    /// The logo.
    pub logo: Option<Logo>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// A change of a brand: `None` leaves a field as it is, and empty clears it.
#[derive(Debug, Default)]
pub struct BrandChange {
    /// The name.
    pub display_name: Option<String>,
    /// The colour.
    pub accent: Option<String>,
    /// The logo.
    pub logo: Option<Vec<u8>>,
}

impl BrandChange {
    /// Carries the change out.
    ///
    /// # Errors
    ///
    /// Every rule that it breaks.
    pub fn apply(self, brand: &mut Brand, now: DateTime<Utc>) -> Result<(), Error> {
        let mut violations = vec![];
        if let Some(name) = self.display_name {
            violations.extend(text::unstorable([("display_name", &*name)]));
            brand.display_name = name.trim().to_owned();
        }
        match self.accent.as_deref().map(accent) {
            Some(Ok(accent)) => brand.accent = accent,
            Some(Err(violation)) => violations.push(violation),
            None => {}
        }
        match self.logo {
            Some(data) if data.is_empty() => brand.logo = None,
            Some(data) => match Logo::new(data) {
                Ok(logo) => brand.logo = Some(logo),
                Err(violation) => violations.push(violation),
            },
            None => {}
        }
        brand.updated_at = now;
        no_violations(violations)
    }
}

/// Reads an accent colour; none of an empty text.
fn accent(text: &str) -> Result<Option<Colour>, Violation> {
    if text.is_empty() {
        return Ok(None);
    }
    let refuse = |message: String| Violation::new("accent_color", Violation::COLOR, message);
    let colour: Colour = text.parse().map_err(refuse)?;
    let contrast = colour.contrast(WHITE);
    if contrast < MIN_CONTRAST {
        // Rounded down: what is refused never looks as if it were enough.
        let shown = (contrast * 100.0).floor() / 100.0;
        let darker = colour.darker();
        return Err(refuse(format!(
            "must be darker: its contrast to white is {shown}, and text takes at least {MIN_CONTRAST} for everybody to read it. Take {darker}, for example"
        )));
    }
    Ok(Some(colour))
}

impl Brand {
    /// Whether it has nothing, so that pages look as they do without it.
    pub fn is_blank(&self) -> bool {
        self.display_name.is_empty() && self.accent.is_none() && self.logo.is_none()
    }
}

impl Audited for Brand {
    const SUBJECT: SubjectType = SubjectType::Brand;

    fn subject_id(&self) -> Uuid {
        self.organization_id.as_uuid()
    }

    /// Of the logo, what tells it from another.
    fn audited(&self) -> Value {
        let logo = self.logo.as_ref().map(|logo| {
            let digest = Sha256::digest(&logo.data);
            let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "type": logo.kind, "bytes": logo.data.len(), "sha256": digest })
        });
        json!({
            "display_name": self.display_name,
            "accent_color": self.accent.map(|accent| accent.to_string()),
            "logo": logo,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrast_is_as_the_standard_has_it() {
        let black = Colour([0, 0, 0]);
        assert!((black.contrast(WHITE) - 21.0).abs() < 1e-9);
        assert!((WHITE.contrast(WHITE) - 1.0).abs() < 1e-9);
        let grey: Colour = "#767676".parse().unwrap();
        assert_eq!(grey.darker(), grey);
        assert!((grey.contrast(WHITE) - 4.54).abs() < 0.01);
    }

    #[test]
    fn every_accent_that_is_taken_can_be_read_in_the_dark_too() {
        for red in (0..=255u8).step_by(15) {
            for green in (0..=255u8).step_by(15) {
                for blue in (0..=255u8).step_by(15) {
                    let colour = Colour([red, green, blue]).in_the_dark();
                    assert!(colour.contrast(DARK) >= MIN_CONTRAST, "{colour}");
                    assert!(
                        colour.contrast(ON_ACCENT_IN_THE_DARK) >= MIN_CONTRAST,
                        "{colour}"
                    );
                }
            }
        }
        let light: Colour = "#9db2ff".parse().unwrap();
        assert_eq!(light.in_the_dark(), light, "what can be read stays");
    }

    #[test]
    fn colours_and_logos_are_what_they_say() {
        for text in [
            "", "2447c8", "#2447c", "#2447c8a", "#2447cg", "red", "#é447c",
        ] {
            assert!(text.parse::<Colour>().is_err(), "{text:?}");
        }
        assert_eq!("#2447C8".parse::<Colour>().unwrap().to_string(), "#2447c8");
        for (data, kind) in [
            (&b"\x89PNG\r\n\x1a\n\0"[..], Some(LogoKind::Png)),
            (b"\xff\xd8\xff\xe0", Some(LogoKind::Jpeg)),
            (b"RIFF\0\0\0\0WEBPVP8 ", Some(LogoKind::Webp)),
            (b"<svg onload=alert(1)>", None),
            (b"GIF89a", None),
            (b"", None),
        ] {
            assert_eq!(LogoKind::of(data), kind, "{data:?}");
        }
    }
}
