//! curl, by the requests that the README shows.

use std::process::Command;

use crate::service::{File, Service};

/// What curl says: the heads of all answers, interim ones too.
fn curl(arguments: &[&str]) -> String {
    let said = Command::new("curl")
        .args(["--silent", "--show-error", "--noproxy", "*", "--include", "--max-time", "60"])
        .args(arguments)
        .output()
        .expect("curl is installed");
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(
        said.status.success(),
        "{arguments:?}: {}{text}",
        String::from_utf8_lossy(&said.stderr)
    );
    text
}

fn header(said: &str, name: &str) -> String {
    let found = said.lines().rev().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    });
    found.unwrap_or_else(|| panic!("no {name} in {said}"))
}

#[test]
fn tus_by_hand() {
    let service = Service::start();
    let file = File::of(3_000_000);
    let authorization = format!("Authorization: OAuth {}", service.token);
    let length = format!("Upload-Length: {}", file.length);
    let made = curl(&[
        "-X",
        "POST",
        &service.endpoint(),
        "-H",
        "Tus-Resumable: 1.0.0",
        "-H",
        &authorization,
        "-H",
        &length,
    ]);
    let url = header(&made, "location");
    let half = file.path.with_extension("half");
    let bytes = std::fs::read(&file.path).unwrap();
    std::fs::write(&half, &bytes[..1_000_000]).unwrap();
    let patch = |at: &str, path: &std::path::Path| {
        curl(&[
            "-X",
            "PATCH",
            &url,
            "-H",
            "Tus-Resumable: 1.0.0",
            "-H",
            "Content-Type: application/offset+octet-stream",
            "-H",
            &format!("Upload-Offset: {at}"),
            "--data-binary",
            &format!("@{}", path.display()),
        ])
    };
    assert_eq!(header(&patch("0", &half), "upload-offset"), "1000000");
    let stands = curl(&["--head", &url, "-H", "Tus-Resumable: 1.0.0"]);
    assert_eq!(header(&stands, "upload-offset"), "1000000");
    std::fs::write(&half, &bytes[1_000_000..]).unwrap();
    let last = patch(&header(&stands, "upload-offset"), &half);
    assert!(last.starts_with("HTTP/1.1 204") || last.contains("\nHTTP/1.1 204"), "{last}");
    service.is_stored(&url, &file);
}

#[test]
fn the_ietf_draft_by_hand_with_interim_answers() {
    let service = Service::start();
    let file = File::of(3_000_000);
    let made = curl(&[
        "-X",
        "POST",
        &service.endpoint(),
        "-H",
        &format!("Authorization: OAuth {}", service.token),
        "-H",
        "Upload-Complete: ?1",
        "-H",
        "Upload-Draft-Interop-Version: 8",
        "-H",
        "Content-Type: application/octet-stream",
        "-T",
        &file.path.display().to_string(),
    ]);
    assert!(made.contains("HTTP/1.1 104"), "{made}");
    assert!(made.contains("HTTP/1.1 201"), "{made}");
    assert_eq!(header(&made, "upload-complete"), "?1");
    service.is_stored(&header(&made, "location"), &file);
}

#[test]
fn what_is_not_complete_stays_so_after_a_kill() {
    let mut service = Service::start();
    let file = File::of(1_000_000);
    let made = curl(&[
        "-X",
        "POST",
        &service.endpoint(),
        "-H",
        &format!("Authorization: OAuth {}", service.token),
        "-H",
        "Upload-Complete: ?0",
        "-H",
        "Upload-Length: 1000000",
        "-H",
        "Content-Type: application/octet-stream",
        "--data-binary",
        &format!("@{}", file.path.display()),
    ]);
    assert_eq!(header(&made, "upload-complete"), "?0");
    let url = header(&made, "location");
    service.kill();
    service.begin();
    let marked = "Upload-Draft-Interop-Version: 9";
    let stands = curl(&["--head", &url, "-H", marked]);
    assert_eq!(header(&stands, "upload-offset"), "1000000");
    assert_eq!(header(&stands, "upload-length"), "1000000");
    assert_eq!(header(&stands, "upload-complete"), "?0", "having all bytes completes nothing");
    let said = curl(&[
        "-X",
        "PATCH",
        &url,
        "-H",
        "Content-Type: application/partial-upload",
        "-H",
        "Upload-Offset: 1000000",
        "-H",
        "Upload-Complete: ?1",
    ]);
    assert_eq!(header(&said, "upload-complete"), "?1");
    service.is_stored(&url, &file);
}
