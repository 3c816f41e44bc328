//! The one secret of a server: a file of 32 random bytes beside the data, from which a key is derived for each purpose.

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use hkdf::Hkdf;
use sha2::Sha256;

/// The server key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or made.
    #[error("the server key {path} cannot be used: {source}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody else may read it.
    #[error("the server key {path} may be read by others: make it mode 0600")]
    Exposed {
        /// The file.
        path: String,
    },
    /// Not 32 bytes.
    #[error(
        "the server key {path} is damaged: restore it, or remove it (all upload URLs handed out become invalid)"
    )]
    Damaged {
        /// The file.
        path: String,
    },
    /// The system gave no random bytes.
    #[error("the system gives no random bytes: {0}")]
    NoRandomness(String),
}

/// The key itself. Never shown, never logged.
pub struct ServerKey([u8; 32]);

impl ServerKey {
    /// Reads the key file, or makes it: mode 0600, synced before it is used. Blocks; called once at start.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        let shown = || path.display().to_string();
        let io = |source| KeyError::Io { path: shown(), source };
        match fs::File::open(path) {
            Ok(mut file) => {
                if file.metadata().map_err(io)?.permissions().mode() & 0o077 != 0 {
                    return Err(KeyError::Exposed { path: shown() });
                }
                let mut bytes = Vec::new();
                Read::by_ref(&mut file).take(64).read_to_end(&mut bytes).map_err(io)?;
                let key = bytes.try_into().map_err(|_| KeyError::Damaged { path: shown() })?;
                Ok(Self(key))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = Self::random()?;
                // Written aside and renamed: a crash in between leaves no half key behind.
                let aside = path.with_extension("new");
                let mut file = fs::OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(&aside)
                    .map_err(io)?;
                file.write_all(&key.0).and_then(|()| file.sync_all()).map_err(io)?;
                fs::rename(&aside, path).map_err(io)?;
                if let Some(directory) = path.parent() {
                    fs::File::open(directory).and_then(|dir| dir.sync_all()).map_err(io)?;
                }
                Ok(key)
            }
            Err(error) => Err(io(error)),
        }
    }

    /// A new random key that is in no file: for tests and first starts.
    pub fn random() -> Result<Self, KeyError> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| KeyError::NoRandomness(error.to_string()))?;
        Ok(Self(key))
    }

    /// A key for one purpose; different labels give unrelated keys (HKDF-SHA256, RFC 5869).
    pub fn derive(&self, label: &str) -> [u8; 32] {
        let mut key = [0; 32];
        Hkdf::<Sha256>::new(None, &self.0)
            .expand(label.as_bytes(), &mut key)
            .expect("32 bytes are within the limit of HKDF-SHA256");
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_kept_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.key");
        let first = ServerKey::load_or_create(&path).unwrap();
        let again = ServerKey::load_or_create(&path).unwrap();
        assert_eq!(first.0, again.0);
        assert_ne!(first.derive("a"), first.derive("b"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(ServerKey::load_or_create(&path), Err(KeyError::Exposed { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, b"short").unwrap();
        assert!(matches!(ServerKey::load_or_create(&path), Err(KeyError::Damaged { .. })));
    }
}
