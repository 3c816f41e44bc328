//! Values that must not be printed.

use std::fmt;

/// A secret: neither `Debug` nor any message shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub const fn new(secret: String) -> Self {
        Self(secret)
    }

    /// The secret itself. The call stands out in a review; that is its purpose.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

/// A database URL, whose password is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The URL of SQLite or PostgreSQL; `None` for any other scheme.
    pub(super) fn parse(url: &str) -> Option<Self> {
        let known = ["sqlite:", "postgres://", "postgresql://"];
        let rest = known.iter().find_map(|scheme| url.strip_prefix(scheme))?;
        (!rest.is_empty()).then(|| Self(url.to_owned()))
    }

    /// The whole URL, password included: for connecting, not for showing.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it names PostgreSQL.
    pub fn is_postgres(&self) -> bool {
        self.0.starts_with("postgres")
    }

    /// The URL for people: without user, password and parameters (a parameter may hold a password too).
    pub fn redacted(&self) -> String {
        let url = self.0.split(['?', '#']).next().unwrap_or_default();
        // The last `@`: a password that was not percent-encoded may hold one.
        match (url.find("://"), url.rfind('@')) {
            (Some(scheme), Some(at)) if at > scheme => {
                format!("{}[redacted]{}", &url[..scheme + 3], &url[at..])
            }
            _ => url.to_owned(),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({})", self.redacted())
    }
}
