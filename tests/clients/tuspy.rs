//! tuspy 1.

use serde_json::{Value, json};

use crate::{
    script::{Script, are_installed},
    service::{File, Service},
};

const FILE_BYTES: usize = 5_000_001;

fn ask(service: &Service, file: &File, more: &Value) -> Value {
    let mut ask = json!({
        "endpoint": service.endpoint(),
        "token": service.token,
        "file": file.path,
        "chunk_size": 1_000_000,
    });
    for (name, value) in more.as_object().unwrap() {
        ask[name] = value.clone();
    }
    ask
}

#[test]
#[ignore = "needs node"]
fn in_chunks_with_and_without_checksums_and_metadata() {
    if !are_installed() {
        return;
    }
    let service = Service::start();
    let file = File::of(FILE_BYTES);
    for more in [
        json!({}),
        json!({"checksum": true}),
        json!({"metadata": {"filename": "by tuspy.img"}}),
        json!({"chunk_size": FILE_BYTES}),
    ] {
        let url = Script::python("tuspy.py", &ask(&service, &file, &more)).url();
        service.is_stored(&url, &file);
    }
    assert_eq!(service.jobs(), 4);
}

#[test]
#[ignore = "needs node"]
fn stopped_and_resumed_by_its_url() {
    if !are_installed() {
        return;
    }
    let service = Service::start();
    let file = File::of(FILE_BYTES);
    let mut first =
        Script::python("tuspy.py", &ask(&service, &file, &json!({"stop_at": 2_000_000})));
    let url = first.url();
    assert_eq!(first.said[0]["offset"], 2_000_000);
    assert_eq!(service.state(&url)["offset"], 2_000_000);
    let more = json!({"url": url});
    let again = Script::python("tuspy.py", &ask(&service, &file, &more)).url();
    assert_eq!(again, url);
    service.is_stored(&url, &file);
    assert_eq!(service.jobs(), 1);
}
