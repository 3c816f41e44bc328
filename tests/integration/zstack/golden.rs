//! Replays what the SDKs sent and the API pages show against the real service.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream;
use longshore::uploads::{BodyError, Slice};
use reqwest::{Client, Method};
use rstest::rstest;
use serde_json::{Value, json};

use super::{
    form::Form,
    script::{Call, Names, Step, read},
};
use crate::{
    contract::{Answer, Ask},
    support::app::{RunningApp, http_client},
};

/// SHA-512 of `password`, as the SDKs send it.
pub(crate) const PASSWORD_SHA512: &str = "b109f3bbbc244eb82441917ed06d618b9008dd09b3befd1b5e07394c706a8bb980b1d7785e5976ec049b46df5f1326af5a2ea6d103fd07c95385ffab0cacbc86";
/// The storage in the records.
const RECORDED_STORAGE: &str = "1d2c3b4a5f6e7d8c9b0a1f2e3d4c5b6a";
/// Longest that a call may be at work.
const POLL_MAX: Duration = Duration::from_secs(20);

/// Opens a session of `admin`.
pub(super) async fn log_in(client: &Client, base: &str) -> String {
    let body = json!({"logInByAccount":{"accountName":"admin","password":PASSWORD_SHA512}});
    let answer = client.put(format!("{base}/zstack/v1/accounts/login"));
    let answer = answer.body(body.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    answer["inventory"]["uuid"].as_str().unwrap().to_owned()
}

#[rstest]
#[case::java_sdk(include_str!("golden/java_sdk.txt"), true)]
#[case::go_sdk(include_str!("golden/go_sdk.txt"), false)]
#[case::api_pages(include_str!("golden/pages.txt"), false)]
#[case::scheduler(include_str!("golden/scheduler.txt"), true)]
#[case::images_and_tags(include_str!("golden/images.txt"), true)]
#[tokio::test]
async fn recorded_calls_are_answered_as_recorded(#[case] script: &str, #[case] with_schema: bool) {
    let service = RunningApp::start(&[]);
    let client = http_client();
    let session = log_in(&client, &service.base()).await;
    let (storage, ..) = service.app.jobs.storage().await.unwrap();
    let mut names = Names::new(&service.base());
    names.bind(RECORDED_STORAGE, &storage.uuid.to_string());
    names.bind("SESSION", &session);
    let steps = read(script);
    assert!(steps.len() >= 20, "the script is read");
    for step in steps {
        match step {
            Step::Call(call) => replay(&client, &service, &mut names, &call, with_schema).await,
            Step::Bytes { image, offset, size, total } => {
                let image = names.translated(&image);
                send(&service, &session, &image, offset, size, total).await;
            }
        }
    }
    drop(client);
    service.stop().await;
}

async fn replay(
    client: &Client,
    service: &RunningApp,
    names: &mut Names,
    call: &Call,
    with_schema: bool,
) {
    let at = format!("line {}: {} {}", call.line, call.method, call.path);
    if let Some(form) = Form::of(call) {
        form.send(client, service, names, call).await;
        return;
    }
    let url = format!("{}{}", service.base(), names.translated(&call.path));
    let method: Method = call.method.parse().unwrap();
    let began = Instant::now();
    loop {
        let mut ask = Ask::new(&call.method, &names.translated(&call.path));
        for (name, value) in &call.headers {
            ask = ask.with(name, &names.translated(value));
        }
        if with_schema {
            ask = ask.with("X-JSON-Schema", "true");
        }
        let mut request = client.request(method.clone(), &url).body(names.translated(&call.body));
        for (name, value) in &ask.headers {
            request = request.header(name, value);
        }
        let answer = Answer::read(request.send().await.unwrap()).await;
        answer.check_needs(&ask);
        let (status, text) = (answer.status, answer.text());
        if call.path.contains("/api-jobs/") && status == 202 {
            assert_eq!(text, "{}", "{at}");
            assert!(began.elapsed() < POLL_MAX, "{at}: still at work");
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        }
        assert_eq!(status, call.status, "{at}: {text}");
        let actual = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{at}: {e}: {text}"));
        names.compare("", &call.answer, &actual);
        return;
    }
}

/// Part of an image of `total` bytes that begins like a qcow2.
pub(crate) fn image_bytes(offset: usize, size: usize, total: usize) -> Bytes {
    let mut image: Vec<u8> = (0..total).map(|at| u8::try_from(at % 251).unwrap()).collect();
    image[..112].fill(0);
    image[..4].copy_from_slice(b"QFI\xfb");
    for (at, field) in [(4, 3_u32), (20, 16), (36, 2), (56, 1), (96, 4), (100, 104)] {
        image[at..at + 4].copy_from_slice(&field.to_be_bytes());
    }
    for (at, field) in [(24, 1_u64 << 30), (40, 1 << 16), (48, 2 << 16)] {
        image[at..at + 8].copy_from_slice(&field.to_be_bytes());
    }
    Bytes::from(image).slice(offset..offset + size)
}

/// The data plane's verb: its dialects have tests of their own.
async fn send(
    service: &RunningApp,
    session: &str,
    image: &str,
    offset: usize,
    size: usize,
    total: usize,
) {
    let caller = service.app.accounts.authenticate(session).await.unwrap().caller;
    let upload = service.app.uploads.of_image(caller, image.parse().unwrap()).await.unwrap();
    let slice = Slice {
        offset: offset as u64,
        length: Some(size as u64),
        total: Some(total as u64),
        ..Slice::default()
    };
    let body = image_bytes(offset, size, total);
    let body = stream::iter([Ok::<_, BodyError>(body)]);
    service.app.uploads.write(upload.uuid, slice, body).await.unwrap();
    // Progress is written down every few seconds; here at once.
    service.app.uploads.write_down().await.unwrap();
}
