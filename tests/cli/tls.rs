//! `serve` with TLS: a certificate of its own, one from files, another one at SIGHUP, and pairs that cannot be used.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use rcgen::CertificateParams;
use rustix::process::Signal;

use crate::{
    MIB,
    run::{Running, json},
    server::{PASSWORD, free_port, signal},
    world::bytes,
};

/// How long anything may take on a busy machine.
const MAX: Duration = Duration::from_mins(1);

struct Encrypted {
    child: Child,
    log: mpsc::Receiver<String>,
    port: u16,
}

impl Encrypted {
    fn start(data: &Path, port: u16, tls: &[&str]) -> Self {
        let mut server = Self::spawn(data, port, tls);
        server.says("listening address=");
        server
    }

    fn spawn(data: &Path, port: u16, tls: &[&str]) -> Self {
        Self::spawn_at("127.0.0.1", data, port, tls)
    }

    fn spawn_at(address: &str, data: &Path, port: u16, tls: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_longshore"))
            .args(["serve", "--listen", &format!("{address}:{port}"), "--data-dir"])
            .arg(data)
            .args(tls)
            .env_clear()
            .env("LONGSHORE_ADMIN_PASSWORD", PASSWORD)
            .env("LONGSHORE_STORAGE__FREE_BYTES_MIN_PERCENT", "0")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        let (sender, log) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, log, port }
    }

    /// Waits for a line of the log.
    fn says(&mut self, words: &str) {
        let begun = Instant::now();
        while let Ok(line) = self.log.recv_timeout(MAX.saturating_sub(begun.elapsed())) {
            if line.contains(words) {
                return;
            }
        }
        panic!("the server never said {words:?}");
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// Whether somebody who trusts this certificate alone gets an answer.
    fn is_trusted_with(&self, cert: &Path) -> bool {
        let answer = Command::new("curl")
            .args(["--silent", "--fail", "--max-time", "30", "--cacert"])
            .arg(cert)
            .args(["--write-out", "%{http_code} %{http_version}", "--output", "/dev/null"])
            .arg(format!("{}/healthz", self.url()))
            .env_clear()
            .output()
            .unwrap();
        let said = String::from_utf8(answer.stdout.clone()).unwrap();
        assert!(!answer.status.success() || said == "200 1.1", "{said}");
        // 60: the certificate is not one that is trusted.
        assert!(answer.status.success() || answer.status.code() == Some(60), "{answer:?}");
        answer.status.success()
    }
}

impl Drop for Encrypted {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A certificate of `localhost` in two files.
fn pair(folder: &Path, name: &str) -> [String; 2] {
    pair_with(folder, name, |_| ())
}

/// The same with other properties.
fn pair_with(folder: &Path, name: &str, change: fn(&mut CertificateParams)) -> [String; 2] {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    change(&mut params);
    let key = rcgen::KeyPair::generate().unwrap();
    let files = ["crt", "key"].map(|kind| folder.join(format!("{name}.{kind}")));
    fs::write(&files[0], params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(&files[1], key.serialize_pem()).unwrap();
    files.map(|file| file.to_str().unwrap().to_owned())
}

#[test]
fn a_first_try_with_a_certificate_of_its_own_lasts_over_a_restart() {
    let (data, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let cert = data.path().join("self-signed.crt");
    let server = Encrypted::start(data.path(), free_port(), &["--tls-self-signed"]);
    assert!(server.is_trusted_with(&cert));
    for file in [&cert, &data.path().join("self-signed.key")] {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
    // Plain HTTP is not answered there.
    let mut plain = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    std::io::Write::write_all(&mut plain, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");

    // Our own client, told whom to trust, sends an image over it; the upload URL that it is given is encrypted too.
    let url = server.url();
    let command = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
        command.args(args).env_clear().current_dir(home.path());
        command.env("LONGSHORE_CONFIG_DIR", home.path().join("config")).env("SSL_CERT_FILE", &cert);
        command
    };
    let mut login = command(&["login", &url]);
    login.env("LONGSHORE_PASSWORD", PASSWORD);
    Running::start(login, "").end().ends(0);
    fs::write(home.path().join("disk.raw"), bytes(3 * MIB)).unwrap();
    let upload = command(&["upload", "--json", "disk.raw"]);
    let events = Running::start(upload, "").end().ends(0);
    assert!(!events.out.contains("http://"), "{}", events.out);
    let images = json(&Running::start(command(&["images", "list", "--json"]), "").end().ends(0));
    assert_eq!(images["total"], 1);
    assert_eq!(images["inventories"][0]["status"], "Ready", "{images}");

    // Without being told, nobody is believed.
    let mut stranger = command(&["images", "list"]);
    stranger.env_remove("SSL_CERT_FILE");
    let said = Running::start(stranger, "").end();
    assert_ne!(said.code, Some(0));
    let doctor = |command: Command, code| Running::start(command, "").end().ends(code).out;
    let well = doctor(command(&["doctor", "--no-speed"]), 0);
    assert!(well.contains("the connection is encrypted, the certificate trusted"), "{well}");
    let mut stranger = command(&["doctor"]);
    stranger.env_remove("SSL_CERT_FILE");
    let ill = doctor(stranger, 7);
    assert!(ill.contains("FAIL  tls") && ill.contains("update-ca-certificates"), "{ill}");

    let (port, before) = (server.port, fs::read(&cert).unwrap());
    drop(server);
    let server = Encrypted::start(data.path(), port, &["--tls-self-signed"]);
    assert_eq!(fs::read(&cert).unwrap(), before);
    assert!(server.is_trusted_with(&cert));

    // It has the addresses of the first start: at another one, whoever starts it is told what to do.
    drop(server);
    let mut server = Encrypted::spawn_at("127.0.0.2", data.path(), port, &["--tls-self-signed"]);
    server.says("was not made for 127.0.0.2: clients that ask for that refuse it. Delete");
    server.says("listening address=");
}

#[test]
fn a_hangup_brings_the_new_certificate_and_a_bad_one_changes_nothing() {
    let (data, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let [cert, key] = pair(folder.path(), "now");
    let [old, _] = pair(folder.path(), "old");
    fs::copy(&cert, &old).unwrap();
    let tls = ["--tls-cert", &cert, "--tls-key", &key];
    let mut server = Encrypted::start(data.path(), free_port(), &tls);
    assert!(server.is_trusted_with(old.as_ref()));

    let [next, next_key] = pair(folder.path(), "next");
    fs::copy(&next, &cert).unwrap();
    // Half way: the certificate is new, its key is not there yet.
    signal(&server.child, Signal::HUP);
    server.says("the certificate stays as it was");
    assert!(server.is_trusted_with(old.as_ref()));
    fs::copy(&next_key, &key).unwrap();
    assert!(!server.is_trusted_with(next.as_ref()), "nobody has asked for it yet");
    signal(&server.child, Signal::HUP);
    server.says("the certificate was read again");
    assert!(server.is_trusted_with(next.as_ref()));
    assert!(!server.is_trusted_with(old.as_ref()));
}

/// What `openssl req -x509` makes unless told otherwise is among them: an authority.
#[test]
fn what_is_wrong_with_a_certificate_is_told_with_what_to_do() {
    let (data, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let login = |[cert, key]: &[String; 2], trusted: Option<&str>| {
        let tls = ["--tls-cert", cert, "--tls-key", key];
        let server = Encrypted::start(data.path(), free_port(), &tls);
        let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
        command.args(["login", &server.url()]).env_clear().env("LONGSHORE_PASSWORD", PASSWORD);
        command
            .env("LONGSHORE_CONFIG_DIR", folder.path())
            .envs(trusted.map(|cert| ("SSL_CERT_FILE", cert)));
        Running::start(command, "").end()
    };
    let good = pair(folder.path(), "good");
    login(&good, Some(&good[0])).ends(0);
    login(&good, None).ends(7).complains("name its file in SSL_CERT_FILE");
    let over = pair_with(folder.path(), "over", |params| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 2);
    });
    login(&over, Some(&over[0])).ends(7).complains("look at this machine's clock");
    let other = pair_with(folder.path(), "other", |params| {
        params.subject_alt_names =
            CertificateParams::new(["other.test".to_owned()]).unwrap().subject_alt_names;
    });
    login(&other, Some(&other[0])).ends(7).complains("is for another name");
    let authority = pair_with(folder.path(), "authority", |params| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    });
    login(&authority, Some(&authority[0])).ends(7).complains("basicConstraints=critical,CA:FALSE");
}

/// All sources mix: the flags alone need not be whole.
#[test]
fn a_certificate_by_flag_and_its_key_from_elsewhere_belong_together() {
    let shown = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
        command.args(["serve", "--check-config"]).args(args).env_clear();
        command.envs(variables.iter().copied());
        Running::start(command, "").end()
    };
    let both = shown(&["--tls-cert", "/c.pem"], &[("LONGSHORE_TLS_KEY", "/k.pem")]).ends(0);
    assert!(both.out.contains("/c.pem") && both.out.contains("/k.pem"), "{}", both.out);
    shown(&["--tls-cert", "/c.pem"], &[]).ends(2).complains("it needs `tls_key`");
    let own = ("LONGSHORE_TLS_SELF_SIGNED", "true");
    shown(&["--tls-cert", "/c.pem", "--tls-key", "/k.pem"], &[own]).ends(0);
    let twice = shown(&["--tls-cert", "/c.pem", "--tls-key", "/k.pem", "--tls-self-signed"], &[]);
    twice.ends(2).complains("give one or the other");
}

#[test]
fn a_pair_that_cannot_be_used_is_told_before_anything_is_answered() {
    let (data, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let [cert, key] = pair(folder.path(), "good");
    let [_, other] = pair(folder.path(), "other");
    let empty = folder.path().join("empty").to_str().unwrap().to_owned();
    fs::write(&empty, "").unwrap();
    let missing = folder.path().join("missing").to_str().unwrap().to_owned();
    for (cert, key, words) in [
        (&cert, &other, "is not the key of"),
        (&cert, &empty, "holds no private key"),
        (&empty, &key, "holds no certificate"),
        (&missing, &key, "cannot be read as PEM"),
    ] {
        let tls = ["--tls-cert", cert, "--tls-key", key];
        let mut server = Encrypted::spawn(data.path(), free_port(), &tls);
        server.says(words);
        assert!(!server.child.wait().unwrap().success());
    }
}
