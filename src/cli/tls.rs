//! TLS of `longshore serve`: where its certificate comes from, and how another one takes its place.
//!
//! # Guarantees
//! * A start with a certificate or key that cannot be used fails and says why; nothing is answered without TLS that was to have it.
//! * SIGHUP reads both files again. New connections get the new certificate; those that are open go on. A pair that cannot be used
//!   changes nothing and is told in the log.
//! * TLS 1.2 and 1.3 of rustls with ring, HTTP/1.1 alone: one connection is one request at a time, as every bound counts them.
//!
//! The certificate that `--tls-self-signed` makes is kept in the data directory, so that what a person has agreed to in the browser
//! holds after a restart. It is for a first try: nobody but that person knows whom they are talking to.

use std::{
    fs,
    io::{ErrorKind, Write},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use anyhow::{Context, Result, bail};
use rustls::{
    ServerConfig,
    client::verify_server_name,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Tls};

/// The newest certificate that could be used.
#[derive(Debug)]
pub(super) struct Certificate {
    files: Files,
    newest: RwLock<Arc<CertifiedKey>>,
}

#[derive(Debug, Clone)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.newest.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Certificate {
    /// The one that the settings name; `None` without TLS. May make one, which blocks.
    pub(super) fn of(config: &Config) -> Result<Option<Arc<Self>>> {
        let files = match &config.tls {
            Tls::Off => return Ok(None),
            Tls::Files { cert, key } => Files { cert: cert.clone(), key: key.clone() },
            Tls::SelfSigned => self_signed(&config.data_dir, config.listen)?,
        };
        let newest = files.read()?;
        if config.tls == Tls::SelfSigned {
            tell_names(&files, &newest, config.listen);
        }
        let newest = RwLock::new(newest);
        Ok(Some(Arc::new(Self { files, newest })))
    }

    /// What connections are accepted with.
    pub(super) fn server_config(self: &Arc<Self>) -> Result<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder =
            builder.with_safe_default_protocol_versions().context("TLS has no version")?;
        let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(self) as _;
        Ok(builder.with_no_client_auth().with_cert_resolver(resolver))
    }

    /// Reads the files again at every SIGHUP, until the shutdown begins.
    pub(super) async fn reload_on_hangup(self: Arc<Self>, stopping: CancellationToken) {
        let Ok(mut hangup) = signal(SignalKind::hangup()) else {
            tracing::warn!("SIGHUP cannot be listened to; a new certificate needs a restart");
            return;
        };
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                Some(()) = hangup.recv() => {}
            }
            let files = self.files.clone();
            match tokio::task::spawn_blocking(move || files.read()).await {
                Ok(Ok(newest)) => {
                    *self.newest.write().unwrap_or_else(PoisonError::into_inner) = newest;
                    tracing::info!(cert = %self.files.cert.display(), "the certificate was read again");
                }
                Ok(Err(error)) => {
                    tracing::error!(
                        error = format!("{error:#}"),
                        "the certificate stays as it was"
                    );
                }
                Err(error) => tracing::error!(%error, "the certificate stays as it was"),
            }
        }
    }
}

impl Files {
    fn read(&self) -> Result<Arc<CertifiedKey>> {
        let (cert, key) = (self.cert.display(), self.key.display());
        let chain = CertificateDer::pem_file_iter(&self.cert)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .with_context(|| format!("`tls_cert`: {cert} cannot be read as PEM"))?;
        if chain.is_empty() {
            bail!(
                "`tls_cert`: {cert} holds no certificate; give the whole chain as PEM, the server's first"
            );
        }
        let private = PrivateKeyDer::from_pem_file(&self.key).with_context(|| {
            format!("`tls_key`: {key} holds no private key that can be read as PEM")
        })?;
        let pair = CertifiedKey::from_der(chain, private, &ring::default_provider()).with_context(
            || format!("`tls_key`: {key} is not the key of {cert}, or of no known kind"),
        )?;
        Ok(Arc::new(pair))
    }
}

/// A certificate for this machine, made once. Good for as long as nobody deletes it.
fn self_signed(data_dir: &Path, listen: SocketAddr) -> Result<Files> {
    let files =
        Files { cert: data_dir.join("self-signed.crt"), key: data_dir.join("self-signed.key") };
    if files.cert.exists() && files.key.exists() {
        return Ok(files);
    }
    let names = names(listen);
    let made = rcgen::generate_simple_self_signed(names).context("no certificate could be made")?;
    write_private(&files.key, &made.signing_key.serialize_pem())?;
    write_private(&files.cert, &made.cert.pem())?;
    Ok(files)
}

/// What the machine may be asked for by, as far as it knows: where it listens everywhere, nobody knows by which address it is reached.
fn names(listen: SocketAddr) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim().to_owned();
    // A name that no certificate can hold is left out: the machine is reached by its address all the same.
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    if !host.is_empty() && host.bytes().all(is_name) && !names.contains(&host) {
        names.push(host);
    }
    let address = listen.ip().to_string();
    if !listen.ip().is_unspecified() && !names.contains(&address) {
        names.push(address);
    }
    names
}

/// Those that a certificate is for, and those that it is not for: a client that asks for one of these refuses it by its name.
fn split_names(pair: &CertifiedKey, names: Vec<String>) -> (Vec<String>, Vec<String>) {
    let parsed = pair.cert.first().and_then(|cert| ParsedCertificate::try_from(cert).ok());
    names.into_iter().partition(|name| {
        let asked = ServerName::try_from(name.as_str());
        let (Some(parsed), Ok(asked)) = (&parsed, asked) else { return false };
        verify_server_name(parsed, &asked).is_ok()
    })
}

/// The certificate is as old as the first start with it, which may have listened elsewhere.
fn tell_names(files: &Files, pair: &CertifiedKey, listen: SocketAddr) {
    let (held, missing) = split_names(pair, names(listen));
    let (cert, key) = (files.cert.display(), files.key.display());
    let names = held.join(", ");
    tracing::info!(%cert, names, "the certificate of our own making is for these names; clients have to ask for one of them");
    if !missing.is_empty() {
        let missing = missing.join(", ");
        tracing::warn!(
            "the certificate of our own making was not made for {missing}: clients that ask for that refuse it. Delete {cert} and {key} \
             and start again for one that is"
        );
    }
}

/// For its owner alone. One that is there from a start that was ended half way goes.
fn write_private(path: &Path, text: &str) -> Result<()> {
    let written = || {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    written().with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_of_an_earlier_start_lacks_the_address_of_this_one() {
        let folder = tempfile::tempdir().unwrap();
        let missing = |listen: &str| {
            let listen = listen.parse().unwrap();
            let files = self_signed(folder.path(), listen).unwrap();
            split_names(&files.read().unwrap(), names(listen)).1
        };
        assert_eq!(missing("127.0.0.1:8443"), [""; 0]);
        assert_eq!(missing("10.0.0.5:8443"), ["10.0.0.5"]);
        assert_eq!(missing("[2001:db8::5]:8443"), ["2001:db8::5"]);
        assert_eq!(missing("0.0.0.0:8443"), [""; 0], "nobody knows by which it is reached");
        fs::remove_file(folder.path().join("self-signed.crt")).unwrap();
        assert_eq!(missing("10.0.0.5:8443"), [""; 0]);
        assert_eq!(missing("10.0.0.6:8443"), ["10.0.0.6"]);
    }
}
