//! What the look at an image's content led to, as it is kept with the image.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a refusal led to when an image was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum InspectedUnder {
    /// No image: what is there was not refused.
    Enforce,
    /// A warning.
    Warn,
    /// Nothing: only format and size were learnt.
    Off,
}

impl InspectedUnder {
    /// Its name in settings and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Warn => "warn",
            Self::Off => "off",
        }
    }
}

/// What the content of an image was found to be when the image was made. Nobody changes it afterwards: a format that a user states later
/// stands in the image's record alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspected {
    /// What a refusal led to.
    pub policy: InspectedUnder,
    /// Format by content.
    pub format: String,
    /// Bytes of the disk inside; of the file where the format has no other size.
    pub virtual_size: u64,
    /// What was found and did not keep it from becoming an image; nothing is looked for under [`InspectedUnder::Off`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<InspectionWarning>,
}

/// Something that was found in an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InspectionWarning {
    /// Its name for programs; never changes.
    pub rule: String,
    /// What was found and what to do about it.
    pub words: String,
}

impl Inspected {
    /// As rows hold it; [`FromStr`] reads it.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("its fields are text and numbers")
    }
}

impl FromStr for Inspected {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What rows hold is read by every later version.
    #[test]
    fn the_form_in_rows_stays() {
        let warning = InspectionWarning { rule: "qcow2_dirty".to_owned(), words: "w".to_owned() };
        let inspected = Inspected {
            policy: InspectedUnder::Warn,
            format: "qcow2".to_owned(),
            virtual_size: 1 << 40,
            warnings: vec![warning],
        };
        let text = r#"{"policy":"warn","format":"qcow2","virtualSize":1099511627776,"warnings":[{"rule":"qcow2_dirty","words":"w"}]}"#;
        assert_eq!(inspected.to_json(), text);
        assert_eq!(text.parse::<Inspected>().unwrap(), inspected);
        let short = r#"{"policy":"off","format":"raw","virtualSize":1,"later":true}"#;
        assert_eq!(short.parse::<Inspected>().unwrap().warnings, []);
        for policy in [InspectedUnder::Enforce, InspectedUnder::Warn, InspectedUnder::Off] {
            assert_eq!(serde_json::to_value(policy).unwrap(), policy.name());
        }
        assert!("{}".parse::<Inspected>().is_err());
    }
}
