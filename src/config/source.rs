//! Where settings come from: file, environment, flags; flattened to `section.key` before anything is checked.

use std::{collections::BTreeMap, ffi::OsString, fmt, path::PathBuf};

use toml::Value;

use super::error::{ConfigError, ConfigErrors};

/// The start of every environment variable that is a setting.
const PREFIX: &str = "LONGSHORE_";
/// The variable that names the file; it cannot stand in the file itself.
const CONFIG_VARIABLE: &str = "LONGSHORE_CONFIG";
/// Variables with our prefix that are not settings of the server: the CLI client reads them, and a person may well have both.
pub const NOT_SETTINGS: [&str; 6] = [
    CONFIG_VARIABLE,
    "LONGSHORE_CONFIG_DIR",
    "LONGSHORE_SERVER",
    "LONGSHORE_ACCOUNT",
    "LONGSHORE_PASSWORD",
    "LONGSHORE_SESSION",
];
/// Variables that start so are for tests only (kill points, fault injection).
const TEST_PREFIX: &str = "LONGSHORE_TEST_";

/// What was given on the command line. Only what is given takes part.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config`: the TOML file.
    pub config: Option<PathBuf>,
    /// `--listen`
    pub listen: Option<String>,
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--public-url`
    pub public_url: Option<String>,
    /// `--database-url`
    pub database_url: Option<String>,
    /// `--tls-cert`
    pub tls_cert: Option<PathBuf>,
    /// `--tls-key`
    pub tls_key: Option<PathBuf>,
    /// `--tls-self-signed`
    pub tls_self_signed: bool,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// This file.
    File(PathBuf),
    /// This environment variable.
    Environment(String),
    /// This flag.
    Flag(&'static str),
}

impl Origin {
    /// Of two values of one setting, that of the later origin counts.
    pub(super) const fn order(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File(_) => 1,
            Self::Environment(_) => 2,
            Self::Flag(_) => 3,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// One setting as it takes effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// `section.key`, or `key` at the top.
    pub key: &'static str,
    /// The value, or words in its place where it is secret.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}  # {}", self.key, self.value, self.origin)
    }
}

/// Values by key, unchecked; a later source has replaced an earlier one.
pub(super) type RawConfig = BTreeMap<String, (Value, Origin)>;

/// Collects the three sources.
pub(super) fn collect<I>(flags: &Flags, environment: I) -> Result<RawConfig, ConfigErrors>
where
    I: IntoIterator<Item = (OsString, OsString)>,
{
    let mut variables = BTreeMap::new();
    let mut file = flags.config.clone();
    for (name, value) in environment {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        // Compose files set variables to nothing where a person means "not set".
        if value.is_empty() || name.starts_with(TEST_PREFIX) {
            continue;
        }
        if name == CONFIG_VARIABLE {
            file = file.or_else(|| Some(PathBuf::from(&value)));
        }
        if !NOT_SETTINGS.contains(&name) {
            variables.insert(name.to_owned(), value.to_string_lossy().into_owned());
        }
    }
    let mut raw = RawConfig::new();
    if let Some(path) = file {
        add_file(&mut raw, path)?;
    }
    for (name, value) in variables {
        let key = name[PREFIX.len()..].to_ascii_lowercase().replace("__", ".");
        raw.insert(key, (Value::String(value), Origin::Environment(name)));
    }
    add_flags(&mut raw, flags);
    Ok(raw)
}

fn add_file(raw: &mut RawConfig, path: PathBuf) -> Result<(), ConfigError> {
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(ConfigError::Unreadable { path, source }),
    };
    let table = match text.parse::<toml::Table>() {
        Ok(table) => table,
        Err(error) => {
            // The parser's own words quote the line, which may hold the password.
            let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            let detail = format!("line {line}: {}", error.message());
            return Err(ConfigError::NotToml { path, detail });
        }
    };
    let origin = Origin::File(path);
    for (name, value) in table {
        match value {
            Value::Table(section) => {
                for (key, value) in section {
                    raw.insert(format!("{name}.{key}"), (value, origin.clone()));
                }
            }
            value => {
                raw.insert(name, (value, origin.clone()));
            }
        }
    }
    Ok(())
}

fn add_flags(raw: &mut RawConfig, flags: &Flags) {
    let text =
        |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
    let given = [
        ("listen", "--listen", flags.listen.clone()),
        ("data_dir", "--data-dir", text(&flags.data_dir)),
        ("public_url", "--public-url", flags.public_url.clone()),
        ("database_url", "--database-url", flags.database_url.clone()),
        ("tls_cert", "--tls-cert", text(&flags.tls_cert)),
        ("tls_key", "--tls-key", text(&flags.tls_key)),
        ("tls_self_signed", "--tls-self-signed", flags.tls_self_signed.then(|| true.to_string())),
    ];
    for (key, flag, value) in given {
        if let Some(value) = value {
            raw.insert(key.to_owned(), (Value::String(value), Origin::Flag(flag)));
        }
    }
}
