//! tus-js-client 4 in Node, which Uppy uses as well.

use serde_json::{Value, json};

use crate::{
    script::{Script, are_installed, modules},
    service::{File, Service},
};

const FILE_BYTES: usize = 12_345_678;

fn ask(service: &Service, file: &File, more: &Value) -> Value {
    let mut ask = json!({
        "endpoint": service.endpoint(),
        "token": service.token,
        "file": file.path,
        "modules": modules(),
        "options": {},
    });
    for (name, value) in more.as_object().unwrap() {
        ask[name] = value.clone();
    }
    ask
}

/// One upload; the requests that it took, unless the client is not installed.
fn uploads(more: &Value) -> Option<Script> {
    if !are_installed() {
        return None;
    }
    let service = Service::start();
    let file = File::of(FILE_BYTES);
    let mut script = Script::node("tus.mjs", &ask(&service, &file, more));
    let url = script.url();
    service.is_stored(&url, &file);
    assert_eq!(service.jobs(), 1, "{:?}", script.said);
    Some(script)
}

#[test]
#[ignore = "needs node"]
fn a_file_in_one_request() {
    let Some(script) = uploads(&json!({"buffer": true})) else { return };
    assert_eq!((script.count("POST"), script.count("PATCH")), (1, 1), "{:?}", script.said);
}

#[test]
#[ignore = "needs node"]
fn a_file_in_chunks() {
    let Some(script) = uploads(&json!({"options": {"chunkSize": 1 << 20}})) else { return };
    assert_eq!((script.count("POST"), script.count("PATCH")), (1, 12), "{:?}", script.said);
}

#[test]
#[ignore = "needs node"]
fn the_first_bytes_with_the_creation() {
    let creating = json!({"options": {"uploadDataDuringCreation": true}, "buffer": true});
    let Some(script) = uploads(&creating) else { return };
    assert_eq!((script.count("POST"), script.count("PATCH")), (1, 0), "{:?}", script.said);
    let chunked = json!({"options": {"uploadDataDuringCreation": true, "chunkSize": 5 << 20}});
    let Some(script) = uploads(&chunked) else { return };
    assert_eq!((script.count("POST"), script.count("PATCH")), (1, 2), "{:?}", script.said);
}

#[test]
#[ignore = "needs node"]
fn a_length_that_comes_with_the_last_chunk() {
    uploads(&json!({"options": {"uploadLengthDeferred": true, "chunkSize": 1 << 20}}));
}

#[test]
#[ignore = "needs node"]
fn methods_by_post() {
    let Some(script) = uploads(&json!({"options": {"overridePatchMethod": true}, "buffer": true}))
    else {
        return;
    };
    assert_eq!(script.count("PATCH"), 0, "{:?}", script.said);
}

#[test]
#[ignore = "needs node"]
fn aborted_and_begun_again() {
    let Some(script) =
        uploads(&json!({"abortAt": 0.4, "buffer": true, "options": {"chunkSize": 2 << 20}}))
    else {
        return;
    };
    assert!(script.said.iter().any(|said| said.get("aborted").is_some()), "{:?}", script.said);
    assert_eq!(script.count("POST"), 1, "it went on and did not begin again: {:?}", script.said);
}

#[test]
#[ignore = "needs node"]
fn killed_and_resumed_by_another_process() {
    if !are_installed() {
        return;
    }
    let service = Service::start();
    let file = File::of(FILE_BYTES);
    let urls = tempfile::tempdir().unwrap();
    let more = json!({
        "options": {"chunkSize": 1 << 20},
        "urls": urls.path().join("urls.json"),
    });
    let ask = ask(&service, &file, &more);
    let mut first = Script::node("tus.mjs", &ask);
    for _ in 0..3 {
        first.until(|said| said["method"] == "PATCH");
    }
    first.kill();
    let mut second = Script::node("tus.mjs", &ask);
    let url = second.url();
    service.is_stored(&url, &file);
    assert_eq!(second.count("POST"), 0, "{:?}", second.said);
    assert!(second.count("PATCH") <= 9, "{:?}", second.said);
    assert_eq!(service.jobs(), 1);
}

#[test]
#[ignore = "needs node"]
fn the_service_is_restarted_or_killed_and_the_client_goes_on() {
    for kills in [false, true] {
        if !are_installed() {
            return;
        }
        let mut service = Service::start();
        let file = File::of(FILE_BYTES);
        let more = json!({"options": {"chunkSize": 1 << 20}});
        let mut script = Script::node("tus.mjs", &ask(&service, &file, &more));
        for _ in 0..2 {
            for _ in 0..3 {
                script.until(|said| said["method"] == "PATCH");
            }
            if kills {
                service.kill();
            } else {
                service.terminate();
            }
            service.begin();
        }
        let url = script.url();
        service.is_stored(&url, &file);
        assert_eq!(script.count("POST"), 1, "it never began again: {:?}", script.said);
        assert_eq!(service.jobs(), 1);
    }
}

#[test]
#[ignore = "needs node"]
fn as_a_client_of_the_ietf_draft() {
    let protocol = "ietf-draft-05";
    for (options, patches) in [
        (json!({"protocol": protocol}), 1),
        (json!({"protocol": protocol, "chunkSize": 1 << 20}), 12),
        (json!({"protocol": protocol, "uploadDataDuringCreation": true}), 0),
    ] {
        let Some(script) = uploads(&json!({"options": options, "buffer": true})) else { return };
        let requests = (script.count("POST"), script.count("PATCH"));
        assert_eq!(requests, (1, patches), "{:?}", script.said);
    }
}

#[test]
#[ignore = "needs node"]
fn four_parts_at_once() {
    for options in
        [json!({"parallelUploads": 4}), json!({"parallelUploads": 4, "chunkSize": 1 << 20})]
    {
        let Some(script) = uploads(&json!({"options": options, "buffer": true})) else { return };
        assert_eq!(script.count("POST"), 5, "four parts and the whole: {:?}", script.said);
    }
}

#[test]
#[ignore = "needs node"]
fn four_parts_at_once_killed_and_resumed_by_another_process() {
    if !are_installed() {
        return;
    }
    let mut service = Service::start();
    let file = File::of(FILE_BYTES);
    let urls = tempfile::tempdir().unwrap();
    let more = json!({
        "options": {"parallelUploads": 4, "chunkSize": 128 << 10},
        "buffer": true,
        "urls": urls.path().join("urls.json"),
    });
    let ask = ask(&service, &file, &more);
    let mut first = Script::node("tus.mjs", &ask);
    // It writes the URLs down some time after it has the last one.
    let noted =
        || std::fs::metadata(urls.path().join("urls.json")).is_ok_and(|file| file.len() > 0);
    let mut sent = 0;
    while sent < 12 || !noted() {
        first.until(|said| said["method"] == "PATCH");
        sent += 1;
    }
    first.kill();
    // What was acknowledged of the parts outlives the server as well.
    service.kill();
    service.begin();
    let mut second = Script::node("tus.mjs", &ask);
    let url = second.url();
    service.is_stored(&url, &file);
    assert_eq!(second.count("POST"), 1, "the whole alone: {:?}", second.said);
    assert!(second.count("HEAD") == 4, "{:?}", second.said);
    assert!(second.count("PATCH") <= 96 - 11, "{:?}", second.said);
    assert_eq!(service.jobs(), 1);
}

/// In the middle of what it resumes, not of what it began.
#[test]
#[ignore = "needs node"]
fn the_service_is_stopped_while_a_client_resumes() {
    if !are_installed() {
        return;
    }
    let mut service = Service::start();
    let file = File::of(FILE_BYTES);
    let urls = tempfile::tempdir().unwrap();
    let more = json!({
        "options": {"chunkSize": 512 << 10},
        "urls": urls.path().join("urls.json"),
    });
    let ask = ask(&service, &file, &more);
    let mut first = Script::node("tus.mjs", &ask);
    for _ in 0..3 {
        first.until(|said| said["method"] == "PATCH");
    }
    first.kill();
    let mut second = Script::node("tus.mjs", &ask);
    second.until(|said| said["method"] == "HEAD");
    service.terminate();
    service.begin();
    let url = second.url();
    service.is_stored(&url, &file);
    assert_eq!(second.count("POST"), 0, "it goes on and never begins again: {:?}", second.said);
    assert_eq!(service.jobs(), 1);
}
