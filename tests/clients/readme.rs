//! The examples of "Use your own client" in the README, as they stand there: only the address of the service is another.

use std::process::Command;

use serde_json::json;

use crate::{
    script::{Script, are_installed, modules},
    service::{File, Service},
};

const README: &str = include_str!("../../README.md");
/// Where the README has the service.
const ADDRESS: &str = "http://127.0.0.1:8080";

/// The examples in this language, in order.
fn examples(language: &str) -> Vec<String> {
    let (_, section) = README.split_once("\n## Use your own client\n").expect("the section");
    let (section, _) = section.split_once("\n## ").expect("its end");
    let fence = format!("```{language}\n");
    let blocks = section.split(&fence).skip(1);
    blocks.map(|block| block.split_once("```").expect("its end").0.to_owned()).collect()
}

/// A file of the name that the examples have, in a folder of its own.
fn disk() -> (File, tempfile::TempDir) {
    let file = File::of(2_345_678);
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(&file.path, folder.path().join("disk.qcow2")).unwrap();
    (file, folder)
}

#[test]
fn curl() {
    let examples = examples("sh");
    assert_eq!(examples.len(), 2, "tus and the IETF draft");
    let service = Service::start();
    let (file, folder) = disk();
    for (example, tells_url) in examples.iter().zip(["\necho \"url $U\"\n", ""]) {
        let said = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &format!("{example}{tells_url}")])
            .current_dir(folder.path())
            .envs([("B", service.base()), ("S", service.token.clone())])
            .env("NO_PROXY", "*")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(
            said.status.success(),
            "{example}: {text}{}",
            String::from_utf8_lossy(&said.stderr)
        );
        let url = text.lines().rev().find_map(|line| {
            let (name, url) = line.trim().split_once(' ')?;
            matches!(name.to_ascii_lowercase().as_str(), "url" | "location:")
                .then(|| url.to_owned())
        });
        service.is_stored(&url.unwrap_or_else(|| panic!("no URL in {text}")), &file);
    }
    assert_eq!(service.jobs(), 2);
}

#[test]
#[ignore = "needs node"]
fn tuspy() {
    if !are_installed() {
        return;
    }
    let examples = examples("python");
    assert_eq!(examples.len(), 1);
    let service = Service::start();
    let (file, folder) = disk();
    let code = examples[0].replace(ADDRESS, &service.base());
    assert!(code.contains(&service.base()), "{code}");
    let ask = json!({"code": code, "session": service.token, "folder": folder.path()});
    Script::python("readme.py", &ask).until(|said| said["end"] == true);
    assert_eq!(service.ready_sums(), [file.sha256]);
}

#[test]
#[ignore = "needs node"]
fn tus_js_client_and_uppy() {
    if !are_installed() {
        return;
    }
    let examples = examples("js");
    assert_eq!(examples.len(), 1);
    let service = Service::start();
    let (file, _folder) = disk();
    let code = examples[0].replace(ADDRESS, &service.base());
    let ask = json!({
        "code": code,
        "session": service.token,
        "file": file.path,
        "modules": modules(),
    });
    let mut script = Script::node("readme.mjs", &ask);
    let uppy = script.until(|said| said.get("uppy").is_some())["uppy"].clone();
    assert_eq!(uppy["endpoint"], service.endpoint());
    assert_eq!(uppy["authorization"], format!("OAuth {}", service.token));
    script.until(|said| said == "stored");
    assert_eq!(service.ready_sums(), [file.sha256]);
}
