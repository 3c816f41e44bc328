//! Uppy in headless Chromium, on a page of another origin.

use std::{net::TcpListener, path::Path};

use serde_json::json;

use crate::{
    script::{Script, are_installed, modules},
    service::{File, Service},
};

const FILE_BYTES: usize = 9_876_543;
const CHUNK_BYTES: usize = 512 << 10;

/// Whether there is a browser. Where there has to be (`REQUIRE_NODE`), its absence is a failure.
fn has_browser() -> bool {
    let found = Path::new("/usr/bin/chromium").exists();
    assert!(
        found || std::env::var_os("REQUIRE_NODE").is_none(),
        "chromium is not installed: run scripts/test"
    );
    if !found {
        println!("not run: chromium is not installed, scripts/test does that");
    }
    found
}

#[test]
#[ignore = "needs node and Chromium"]
fn a_chosen_file_survives_a_cut_network_and_a_reloaded_page() {
    if !are_installed() || !has_browser() {
        return;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let origin = format!("http://127.0.0.1:{port}");
    let service = Service::start_with(&[("LONGSHORE_HTTP__CORS_ORIGINS", &origin)]);
    let file = File::of(FILE_BYTES);
    let profile = tempfile::tempdir().unwrap();
    let mut script = Script::node(
        "uppy.mjs",
        &json!({
            "endpoint": service.endpoint(),
            "service": service.base(),
            "token": service.token,
            "file": file.path,
            "modules": modules(),
            "port": port,
            "profile": profile.path(),
            "chunkSize": CHUNK_BYTES,
        }),
    );
    let url = script.url();
    service.is_stored(&url, &file);
    for step in ["cut", "back", "reloaded"] {
        assert!(script.said.iter().any(|said| said["step"] == step), "{step}: {:?}", script.said);
    }
    assert_eq!(script.count("POST"), 1, "it never began again: {:?}", script.said);
    assert!(script.count("HEAD") >= 1, "it asked where to go on: {:?}", script.said);
    let chunks = FILE_BYTES.div_ceil(CHUNK_BYTES);
    // Those that were cut were answered too late to be counted, or not at all.
    let patches = script.count("PATCH");
    assert!(patches <= chunks + 2, "{patches} for {chunks} chunks: {:?}", script.said);
    assert_eq!(service.jobs(), 1);
}
