//! The first start, also when it does not come off.

use serde_json::Value;

use longshore::{
    cli::serve::Service,
    config::{Config, Flags},
    shutdown::Shutdown,
};

use crate::support::app::{PASSWORD, RunningApp, http_client};

/// Ready while everything is in order; not ready, and why, once the folder of the store is gone. Alive all the same.
#[tokio::test(flavor = "multi_thread")]
async fn readiness_says_what_is_amiss() {
    let running = RunningApp::start(&[]);
    let http = http_client();
    let asked = async |path: &str| {
        let answer = http.get(format!("{}{path}", running.base())).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, words) = asked("/readyz").await;
    assert_eq!(status, 200, "{words}");

    let away = running.data_dir().with_extension("away");
    std::fs::rename(running.data_dir(), &away).unwrap();
    let (status, words) = asked("/readyz").await;
    assert_eq!(status, 503, "{words}");
    let answer: Value = serde_json::from_str(&words).unwrap();
    assert_eq!(answer["ready"], false);
    let checks = answer["checks"].as_array().unwrap();
    let store = checks.iter().find(|check| check["name"] == "store").unwrap();
    assert_eq!(store["ok"], false, "{words}");
    assert!(store["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{words}");
    assert_eq!(asked("/healthz").await.0, 200);

    std::fs::rename(&away, running.data_dir()).unwrap();
    assert_eq!(asked("/readyz").await.0, 200, "it heals by itself");
    drop(http);
    running.stop().await;
}

/// What is counted shows in the metrics: bytes that came, were written and hashed, and jobs by state.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_what_happened() {
    let running = RunningApp::start(&[]);
    let http = http_client();
    let session = running
        .app
        .accounts
        .log_in("admin", &sha512_hex(PASSWORD), running.address.ip())
        .await
        .unwrap();
    let sent = http
        .put(format!("{}/uploads/counted", running.base()))
        .header("authorization", format!("OAuth {}", session.token))
        .body(vec![7_u8; 300_000])
        .send()
        .await
        .unwrap();
    assert_eq!(sent.status().as_u16(), 201, "{}", sent.text().await.unwrap());
    let asked = http.get(format!("{}/metrics", running.base())).send().await.unwrap();
    let text = asked.text().await.unwrap();
    for line in [
        "longshore_received_bytes_total 300000",
        "longshore_written_bytes_total 300000",
        "longshore_hashed_bytes_total 300000",
        "longshore_jobs{state=\"Succeeded\"} 1",
        "longshore_jobs{state=\"Running\"} 0",
    ] {
        assert!(text.lines().any(|there| there == line), "{line} is not in\n{text}");
    }
    let syncs = text.lines().find_map(|line| line.strip_prefix("longshore_syncs_total "));
    assert!(syncs.is_some_and(|syncs| syncs.parse::<u64>().unwrap() > 0), "{text}");
    drop(http);
    running.stop().await;
}

fn sha512_hex(password: &str) -> String {
    use sha2::{Digest, Sha512};
    longshore::domain::tag::hex(&Sha512::digest(password.as_bytes()))
}

/// The generated password is shown by the start that lets people in, not lost by one that failed before.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_leaves_the_password_to_the_next() {
    let data = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = |listen: String| {
        let data_dir = Some(data.path().join("data"));
        let flags = Flags { listen: Some(listen), data_dir, ..Flags::default() };
        Config::load(&flags, []).unwrap()
    };
    let busy = config(taken.local_addr().unwrap().to_string());
    let refused = Service::start(&busy, Shutdown::new()).await;
    let words = refused.err().expect("the port is taken").to_string();
    assert!(words.contains("cannot listen on"), "{words}");

    let free = config("127.0.0.1:0".to_owned());
    let first = Service::start(&free, Shutdown::new()).await.unwrap();
    assert!(first.first_password.as_deref().is_some_and(|password| password.len() >= 16));
}

/// As a person runs it: the flag wins over the variable, which wins over the file; nothing is made, no secret is printed.
#[test]
fn check_config_shows_where_every_value_comes_from() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("longshore.toml");
    std::fs::write(&file, "listen = \"127.0.0.1:1\"\npublic_url = \"http://file.example\"\n")
        .unwrap();
    let check = |listen: &str| {
        std::process::Command::new(env!("CARGO_BIN_EXE_longshore"))
            .args(["serve", "--check-config", "--listen", listen, "--data-dir"])
            .arg(data.path().join("data"))
            .arg("--config")
            .arg(&file)
            .args(["--database-url", "postgres://u:secret-1@db/x"])
            .env("LONGSHORE_LISTEN", "127.0.0.1:2")
            .env("LONGSHORE_UPLOADS__IDLE_FAIL_SECS", "99")
            .env("LONGSHORE_ADMIN_PASSWORD", "secret-2")
            .output()
            .unwrap()
    };
    let good = check("0.0.0.0:3");
    let shown = String::from_utf8(good.stdout).unwrap();
    assert!(good.status.success(), "{shown}");
    for line in [
        "listen = \"0.0.0.0:3\"  # flag --listen\n",
        "uploads.idle_fail_secs = \"99\"  # environment LONGSHORE_UPLOADS__IDLE_FAIL_SECS\n",
        "warning: listening on 0.0.0.0:3 without TLS",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    assert!(shown.contains("public_url = \"http://file.example\"  # file "), "{shown}");
    assert!(!shown.contains("secret-"), "{shown}");
    assert!(!data.path().join("data").exists(), "nothing is made");

    let bad = check("nonsense");
    let words = String::from_utf8(bad.stderr).unwrap();
    assert!(!bad.status.success() && words.contains("`listen` (flag --listen)"), "{words}");
}
