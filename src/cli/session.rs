//! Where the session of a login is kept: one file in the user's configuration folder, for that user's eyes only.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// Bits of a mode by which anybody but the owner reads or writes.
const OTHERS: u32 = 0o066;

/// Without a login and without a setting.
const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";

/// Sessions by the address of their server.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Sessions {
    /// The server of the newest login.
    #[serde(default)]
    pub current: Option<String>,
    /// Sessions by server.
    #[serde(default)]
    pub sessions: BTreeMap<String, Session>,
}

/// One session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Whose.
    pub account: String,
    /// A secret.
    pub session: String,
}

/// The folder: `LONGSHORE_CONFIG_DIR`, else `$XDG_CONFIG_HOME/longshore`, else `~/.config/longshore`.
pub fn folder() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(folder) = set("LONGSHORE_CONFIG_DIR") {
        return Ok(folder.into());
    }
    if let Some(folder) = set("XDG_CONFIG_HOME") {
        return Ok(Path::new(&folder).join("longshore"));
    }
    match set("HOME") {
        Some(home) => Ok(Path::new(&home).join(".config/longshore")),
        None => bail!("no HOME is set; say where to keep the session with LONGSHORE_CONFIG_DIR"),
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("session.json")
}

impl Sessions {
    /// What is kept in `folder`; nothing if there is no file. Refuses a file that others may read or write.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = file(folder);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.mode() & OTHERS != 0 => bail!(
                "{path} can be read by others of this machine (mode {mode:03o}): whoever has read it can act as you. Nothing was \
                 sent. Run `chmod 600 {path}`; if somebody may have read it, `longshore logout` and log in again",
                path = path.display(),
                mode = metadata.mode() & 0o777
            ),
            Ok(_) | Err(_) => {} // What cannot be read is told below.
        }
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| {
                format!("{} is damaged; remove it and log in again", path.display())
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Replaces the file as a whole; it is never readable by others, not even for a moment.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let path = file(folder);
        let kept = || format!("cannot keep the session in {}", path.display());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(kept)?;
        let draft = folder.join(format!("session.json.{}", std::process::id()));
        let _ = fs::remove_file(&draft);
        let mut options = fs::OpenOptions::new();
        let mut new =
            options.write(true).create_new(true).mode(0o600).open(&draft).with_context(kept)?;
        new.write_all(&serde_json::to_vec_pretty(self)?).with_context(kept)?;
        new.sync_all().with_context(kept)?;
        fs::rename(&draft, &path).with_context(kept)
    }

    /// The server to talk to: the one that was named, else that of the newest login, else this machine.
    pub fn server(&self, named: Option<&str>) -> String {
        let server = named.or(self.current.as_deref()).unwrap_or(DEFAULT_SERVER);
        server.trim_end_matches('/').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_session_is_kept_for_its_user_alone() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b");
        let mut sessions = Sessions::load(&folder).unwrap();
        assert_eq!(sessions.server(None), DEFAULT_SERVER);
        let session = Session { account: "admin".to_owned(), session: "s".to_owned() };
        sessions.sessions.insert("http://h".to_owned(), session.clone());
        sessions.current = Some("http://h".to_owned());
        sessions.save(&folder).unwrap();
        sessions.save(&folder).unwrap();
        let mode = fs::metadata(file(&folder)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        let again = Sessions::load(&folder).unwrap();
        assert_eq!(again.sessions["http://h"], session);
        assert_eq!(again.server(None), "http://h");
        assert_eq!(again.server(Some("http://other/")), "http://other");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no draft stays behind");
    }

    #[test]
    fn a_file_that_others_may_read_or_write_is_refused() {
        let root = tempfile::tempdir().unwrap();
        Sessions::default().save(root.path()).unwrap();
        for (mode, refused) in
            [(0o600, false), (0o400, false), (0o640, true), (0o604, true), (0o620, true)]
        {
            fs::set_permissions(file(root.path()), fs::Permissions::from_mode(mode)).unwrap();
            let loaded = Sessions::load(root.path());
            assert_eq!(loaded.is_err(), refused, "{mode:o}");
            let words = loaded.err().map(|error| error.to_string()).unwrap_or_default();
            assert_eq!(words.contains("chmod 600"), refused, "{words}");
        }
    }

    #[test]
    fn a_damaged_file_says_what_to_do() {
        let root = tempfile::tempdir().unwrap();
        fs::write(file(root.path()), "{").unwrap();
        let words = format!("{:#}", Sessions::load(root.path()).unwrap_err());
        assert!(words.contains("log in again"), "{words}");
    }
}
