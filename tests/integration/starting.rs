//! The first start, also when it does not come off.

use longshore::{
    cli::serve::Service,
    config::{Config, Flags},
    shutdown::Shutdown,
};

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
