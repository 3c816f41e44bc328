//! What can be wrong with the settings, in words for the person who wrote them.

use std::{fmt, path::PathBuf};

use super::source::Origin;

/// One mistake in the settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is named but cannot be read.
    #[error("cannot read the configuration file {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("the configuration file {} is not valid TOML: {detail}", .path.display())]
    NotToml {
        /// The file.
        path: PathBuf,
        /// Where and what.
        detail: String,
    },
    /// A key that means nothing.
    #[error("`{key}` ({origin}) is not a setting{}", suggestion(.nearest.as_deref()))]
    Unknown {
        /// The key.
        key: String,
        /// Where it stands.
        origin: Origin,
        /// A setting with a similar name.
        nearest: Option<String>,
    },
    /// A value that is not allowed.
    #[error("`{key}` ({origin}) is {found}; allowed: {allowed}")]
    NotAllowed {
        /// The key.
        key: String,
        /// Where the value came from.
        origin: Origin,
        /// The value, or words in its place where it is secret.
        found: String,
        /// What is allowed.
        allowed: String,
    },
    /// Two settings that contradict each other.
    #[error("`{key}` ({origin}) contradicts another setting: {rule}")]
    Contradiction {
        /// The key.
        key: String,
        /// Where its value came from.
        origin: Origin,
        /// The rule, naming the other key and both values.
        rule: String,
    },
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"))
}

/// All mistakes of one reading, at least one.
#[derive(Debug)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// `Err` if there are any.
    pub(super) fn check(errors: Vec<ConfigError>) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self(errors)) }
    }

    /// The mistakes.
    pub fn all(&self) -> &[ConfigError] {
        &self.0
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration is not usable:")?;
        for error in &self.0 {
            write!(f, "\n  {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
