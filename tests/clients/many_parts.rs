//! `parallelUploads` of tus-js-client where the last answer is lost, and where there are as many parts as there may be.

use serde_json::{Value, json};

use crate::{
    relay::Relay,
    script::{Script, are_installed, modules},
    service::{File, Service},
};

const FILE_BYTES: usize = 3_456_789;

fn ask(endpoint: &str, service: &Service, file: &File, more: &Value) -> Value {
    let mut ask = json!({
        "endpoint": endpoint,
        "token": service.token,
        "file": file.path,
        "modules": modules(),
        "buffer": true,
        "options": {},
    });
    for (name, value) in more.as_object().unwrap() {
        ask[name] = value.clone();
    }
    ask
}

fn count_after(script: &Script, method: &str, at: usize) -> usize {
    script.said[at..].iter().filter(|said| said["method"] == method).count()
}

/// The job is made and its client does not hear of it: it asks for its parts, asks for the whole once more, and that is the same one.
#[test]
#[ignore = "needs node"]
fn the_last_answer_is_lost_and_the_client_makes_no_second_image() {
    if !are_installed() {
        return;
    }
    for losses in [1, 3] {
        let service = Service::start();
        let file = File::of(FILE_BYTES);
        let relay = Relay::losing_answers(service.port(), losses);
        let endpoint = format!("{}/uploads", relay.base());
        let urls = tempfile::tempdir().unwrap();
        let more = json!({
            "options": {"parallelUploads": 4},
            "urls": urls.path().join("urls.json"),
            "startAgain": losses,
        });
        let ask = ask(&endpoint, &service, &file, &more);
        let mut script = Script::node("tus.mjs", &ask);
        let told = script.url();
        let url = told.replace(&relay.base(), &service.base());
        assert_ne!(told, url, "negative control: it came through the proxy");
        service.is_stored(&url, &file);
        assert_eq!(relay.lost(), losses);
        assert_eq!(service.jobs(), 1, "{:?}", script.said);
        let lost = script.said.iter().filter(|said| said.get("again").is_some()).count();
        assert_eq!(lost, losses, "{:?}", script.said);
        // The answers that were lost it has not told of.
        assert_eq!(script.count("POST"), 5, "{:?}", script.said);
        let first_head = script.said.iter().position(|said| said["method"] == "HEAD");
        let first_head = first_head.expect("it asks for its parts after each loss");
        assert_eq!(count_after(&script, "HEAD", 0), 4 * losses, "{:?}", script.said);
        assert_eq!(count_after(&script, "PATCH", first_head), 0, "{:?}", script.said);

        // The page was reloaded, and the same file is chosen again: it has the URLs of the parts, and they are asked for.
        let mut again = Script::node("tus.mjs", &ask);
        assert_eq!(again.url(), told);
        assert_eq!((again.count("HEAD"), again.count("POST")), (4, 1), "{:?}", again.said);
        assert_eq!(again.count("PATCH"), 0, "{:?}", again.said);
        assert_eq!(service.jobs(), 1, "{:?}", again.said);
    }
}

/// Node refuses answers whose headers have more than 16 KiB: what HEAD tells of 256 parts has to be less.
#[test]
#[ignore = "needs node"]
fn the_whole_of_256_parts_is_asked_for() {
    if !are_installed() {
        return;
    }
    let service = Service::start();
    let file = File::of(256 * 1000 + 17);
    let many = json!({"options": {"parallelUploads": 256}});
    let mut script = Script::node("tus.mjs", &ask(&service.endpoint(), &service, &file, &many));
    let url = script.url();
    service.is_stored(&url, &file);
    assert_eq!(script.count("POST"), 257, "{:?}", script.said);
    let whole = json!({"options": {"uploadUrl": url, "retryDelays": []}});
    let mut asks = Script::node("tus.mjs", &ask(&service.endpoint(), &service, &file, &whole));
    assert_eq!(asks.url(), url);
    assert_eq!((asks.count("HEAD"), asks.count("POST")), (1, 0), "{:?}", asks.said);
    assert_eq!(service.jobs(), 1);
}
