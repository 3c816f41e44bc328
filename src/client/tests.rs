//! The client against a stand-in that cuts, refuses, restarts and forgets.

use std::{
    io::Write,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{
    api::Api,
    download::{Download, Downloaded, find_image, part_path},
    error::{ClientError, ErrorKind},
    events::{Event, Sink, silent},
    records::NewImage,
    retry::{Backoff, Policy},
    stub::{Fault, Service, Stub},
    transfer::Limits,
    uploader::{Outcome, ReadyImage, UploadOptions, Uploader},
};
use crate::wire::problem::{Problem, code};

const SLICE: u64 = 1000;

fn policy() -> Policy {
    Policy {
        backoff: Backoff { base: Duration::from_millis(5), cap: Duration::from_millis(40) },
        give_up_after: Duration::from_millis(400),
        jitter: Arc::new(|| 0.9),
    }
}

fn options(parallel: usize) -> UploadOptions {
    UploadOptions {
        limits: Limits { parallel, slice_bytes_min: SLICE, slice_bytes_max: SLICE },
        silence_max: Duration::from_millis(300),
        policy: policy(),
        ..UploadOptions::new()
    }
}

fn image() -> NewImage {
    NewImage::named("disk")
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i * 31 + (i >> 8) * 7).to_le_bytes()[0]).collect()
}

struct Case {
    _folder: tempfile::TempDir,
    path: PathBuf,
    content: Vec<u8>,
    stub: Stub,
}

impl Case {
    async fn new(bytes: usize, service: Service) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.raw");
        let content = pattern(bytes);
        std::fs::write(&path, &content).unwrap();
        Self { _folder: folder, path, content, stub: Stub::start(service).await }
    }

    async fn with_faults(bytes: usize, faults: impl IntoIterator<Item = Fault>) -> Self {
        let faults = faults.into_iter().collect();
        Self::new(bytes, Service { faults, ..Service::default() }).await
    }

    fn uploader(&self, parallel: usize, events: Sink) -> Uploader {
        let api = Api::new(&self.stub.url(), Some("s".to_owned())).unwrap();
        Uploader::new(api, options(parallel), events)
    }

    async fn upload(&self, parallel: usize) -> Result<Outcome, ClientError> {
        self.uploader(parallel, silent()).upload(&self.path, &image()).await
    }

    async fn ready(&self, parallel: usize) -> ReadyImage {
        match self.upload(parallel).await.unwrap() {
            Outcome::Ready(ready) => ready,
            other @ Outcome::Interrupted { .. } => panic!("{other:?}"),
        }
    }

    fn assert_whole(&self) {
        assert!(self.stub.service.lock().unwrap().bytes == self.content, "the bytes differ");
    }

    fn slices(&self) -> Vec<String> {
        let mut slices = self.stub.service.lock().unwrap().slices();
        slices.sort();
        slices
    }
}

fn collected() -> (Sink, Arc<Mutex<Vec<Event>>>) {
    let events: Arc<Mutex<Vec<Event>>> = Arc::default();
    let theirs = Arc::clone(&events);
    (Arc::new(move |event| theirs.lock().unwrap().push(event.clone())), events)
}

#[tokio::test]
async fn a_file_arrives_whole_in_slices_and_is_verified() {
    let case = Case::new(4500, Service::default()).await;
    let (sink, events) = collected();
    let outcome = case.uploader(4, sink).upload(&case.path, &image()).await.unwrap();
    let Outcome::Ready(ready) = outcome else { panic!("{outcome:?}") };
    assert!(ready.verified && ready.sent_bytes == 4500);
    case.assert_whole();
    assert_eq!(case.slices(), ["0-1000", "1000-2000", "2000-3000", "3000-4000", "4000-4500"]);
    let events = events.lock().unwrap();
    assert!(matches!(events.last(), Some(Event::Ready { verified: true, .. })), "{events:?}");
    assert!(events.iter().any(|e| matches!(e, Event::Progress { stored_bytes: 4500, .. })));
    assert!(events.iter().any(|e| matches!(e, Event::Located { resumed: false, .. })));
}

#[tokio::test]
async fn a_cut_in_the_middle_of_a_slice_repeats_that_slice_only() {
    let case = Case::with_faults(4000, [Fault::CutAfter(500)]).await;
    assert_eq!(case.ready(1).await.sent_bytes, 4000);
    case.assert_whole();
    assert_eq!(case.slices(), ["0-1000", "0-1000", "1000-2000", "2000-3000", "3000-4000"]);
}

#[tokio::test]
async fn a_lost_answer_is_found_by_asking_and_nothing_is_sent_again() {
    let case = Case::with_faults(3000, [Fault::LoseAnswer]).await;
    case.ready(1).await;
    case.assert_whole();
    assert_eq!(case.slices(), ["0-1000", "1000-2000", "2000-3000"]);
}

#[tokio::test]
async fn a_busy_server_is_asked_again_when_it_said() {
    let busy = Problem::new(503, code::BUSY, "Busy", "come back");
    let headers = vec![("Retry-After", "1".to_owned())];
    let fault = Fault::Answer(503, serde_json::to_string(&busy).unwrap(), headers);
    let case = Case::with_faults(2000, [fault]).await;
    let begun = std::time::Instant::now();
    case.ready(1).await;
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    case.assert_whole();
}

#[tokio::test]
async fn a_damaged_slice_is_sent_again_and_always_damaged_is_an_error() {
    let damaged = || Fault::problem(&Problem::new(400, code::CHECKSUM_MISMATCH, "t", "d"));
    let case = Case::with_faults(2000, [damaged()]).await;
    case.ready(2).await;
    case.assert_whole();
    assert_eq!(case.slices().len(), 3);

    let case = Case::with_faults(2000, (0..20).map(|_| damaged())).await;
    let error = case.upload(1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Checksum, "{error}");
}

#[tokio::test]
async fn a_wrong_offset_makes_it_ask_where_the_upload_stands() {
    let mut conflict = Problem::new(409, code::WRONG_OFFSET, "t", "d");
    conflict.offset = Some(2000);
    let case = Case::with_faults(3000, [Fault::problem(&conflict)]).await;
    let before = 1;
    case.ready(1).await;
    case.assert_whole();
    let asked = case.stub.service.lock().unwrap().count("GET /data");
    assert!(asked > before, "asked {asked} times");
}

#[tokio::test]
async fn a_server_that_is_away_for_a_while_is_only_a_pause() {
    let case = Case::with_faults(6000, [Fault::CutAfter(1), Fault::CutAfter(1)]).await;
    let Case { _folder, path, content, stub } = case;
    {
        // Two slices are stored already, by an earlier call.
        let mut service = stub.service.lock().unwrap();
        service.job_state = "Running";
        service.bytes = vec![0; 6000];
        service.bytes[..2000].copy_from_slice(&content[..2000]);
        service.stored = vec![false; 6000];
        service.stored[..2000].fill(true);
    }
    let api = Api::new(&stub.url(), None).unwrap();
    let mut options = options(2);
    options.policy.give_up_after = Duration::from_secs(10);
    let (sink, events) = collected();
    let uploader = Uploader::new(api, options, sink);
    let upload = tokio::spawn(async move { uploader.upload(&path, &image()).await });
    while stub.service.lock().unwrap().slices().is_empty() {
        tokio::task::yield_now().await;
    }
    let (records, address) = stub.stop().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!upload.is_finished());
    let again = Stub::listen(Arc::clone(&records), &address).await;
    let outcome = upload.await.unwrap().unwrap();
    assert!(matches!(outcome, Outcome::Ready(ReadyImage { verified: true, .. })), "{outcome:?}");
    assert!(again.service.lock().unwrap().bytes == content);
    assert!(!records.lock().unwrap().slices().iter().any(|range| range == "0-1000"));
    assert_eq!(records.lock().unwrap().submitted, 0);
    let events = events.lock().unwrap();
    assert!(
        events.iter().any(|e| matches!(e, Event::Waiting { why, .. } if why.contains("reach")))
    );
}

#[tokio::test]
async fn a_server_that_stays_away_is_given_up_resumably() {
    let case = Case::new(2000, Service::default()).await;
    let Case { _folder, path, content: _, stub } = case;
    let url = stub.url();
    drop(stub.stop().await);
    let uploader = Uploader::new(Api::new(&url, None).unwrap(), options(2), silent());
    let error = uploader.upload(&path, &image()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resumable);
    assert!(error.to_string().contains("run the same command again"), "{error}");
}

#[tokio::test]
async fn a_slice_in_which_nothing_moves_is_given_up_and_sent_again() {
    let case = Case::with_faults(2000, [Fault::Silence]).await;
    case.ready(1).await;
    case.assert_whole();
    assert_eq!(case.slices().len(), 3);
}

#[tokio::test]
async fn suspending_keeps_what_is_stored_and_the_same_call_goes_on() {
    let case = Case::with_faults(5000, []).await;
    let (sink, events) = collected();
    let uploader = Arc::new(case.uploader(1, sink));
    case.stub.service.lock().unwrap().faults =
        [Fault::LoseAnswer, Fault::LoseAnswer, Fault::Silence].into();
    let (theirs, path) = (Arc::clone(&uploader), case.path.clone());
    let upload = tokio::spawn(async move { theirs.upload(&path, &image()).await });
    while case.slices().len() < 3 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    uploader.suspend();
    let outcome = upload.await.unwrap().unwrap();
    let job_uuid = Some("job1".to_owned());
    assert_eq!(outcome, Outcome::Interrupted { job_uuid, suspended: true, all_sent: false });
    assert_eq!(case.stub.service.lock().unwrap().job_state, "Suspended");
    assert!(!events.lock().unwrap().iter().any(|e| matches!(e, Event::Ready { .. })));

    let sent = case.ready(2).await.sent_bytes;
    assert_eq!(sent, 3000, "only what was missing");
    case.assert_whole();
    let service = case.stub.service.lock().unwrap();
    assert_eq!((service.job_state, service.submitted), ("Running", 1));
}

#[tokio::test]
async fn an_upload_url_that_died_is_asked_for_once_more() {
    let case = Case::with_faults(3000, [Fault::CutAfter(10)]).await;
    let api = Api::new(&case.stub.url(), None).unwrap();
    api.submit_upload(&image(), "disk.raw", &"ls1-x".parse().unwrap(), 3000).await.unwrap();
    let records = Arc::clone(&case.stub.service);
    let sink: Sink = Arc::new(move |event| {
        if matches!(event, Event::Waiting { .. }) {
            records.lock().unwrap().generation = 1;
        }
    });
    let outcome = case.uploader(1, sink).upload(&case.path, &image()).await.unwrap();
    assert!(matches!(outcome, Outcome::Ready(_)), "{outcome:?}");
    case.assert_whole();
    assert!(case.stub.service.lock().unwrap().count("PUT /data/1") >= 3);
}

#[tokio::test]
async fn a_job_that_somebody_canceled_is_not_begun_anew() {
    let case = Case::with_faults(3000, [Fault::CutAfter(10)]).await;
    let records = Arc::clone(&case.stub.service);
    let sink: Sink = Arc::new(move |event| {
        if matches!(event, Event::Waiting { .. }) {
            let mut records = records.lock().unwrap();
            records.generation = 1;
            records.job_state = "Canceled";
        }
    });
    let error = case.uploader(1, sink).upload(&case.path, &image()).await.unwrap_err();
    assert!(
        matches!(&error, ClientError::JobEnded { state, .. } if state == "Canceled"),
        "{error}"
    );
    assert!(error.to_string().contains("as was asked"), "{error}");
    assert_eq!(case.stub.service.lock().unwrap().submitted, 1);
}

#[tokio::test]
async fn no_space_and_a_foreign_suspension_end_at_once() {
    for (status, code, kind, words) in [
        (507, code::NO_SPACE, ErrorKind::Space, "d"),
        (409, code::SUSPENDED, ErrorKind::Resumable, "the same command resumes it"),
    ] {
        let case =
            Case::with_faults(2000, [Fault::problem(&Problem::new(status, code, "t", "d"))]).await;
        let error = case.upload(1).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(case.slices().len(), 1);
    }
}

#[tokio::test]
async fn a_session_that_ends_does_not_stop_the_bytes_but_a_new_call_says_so() {
    let case = Case::with_faults(4000, []).await;
    let records = Arc::clone(&case.stub.service);
    let sink: Sink = Arc::new(move |event| {
        if matches!(event, Event::Located { .. }) {
            records.lock().unwrap().session = Some("another");
        }
    });
    let outcome = case.uploader(2, sink).upload(&case.path, &image()).await.unwrap();
    assert!(matches!(outcome, Outcome::Ready(_)));
    let error = case.upload(2).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(error.to_string().contains("longshore login"), "{error}");
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_sent_is_an_error_in_words() {
    let case = Case::with_faults(4000, [Fault::CutAfter(10)]).await;
    let path = case.path.clone();
    let sink: Sink = Arc::new(move |event| {
        if matches!(event, Event::Waiting { .. }) {
            let mut file = std::fs::File::options().append(true).open(&path).unwrap();
            file.write_all(b"more").unwrap();
        }
    });
    let error = case.uploader(1, sink).upload(&case.path, &image()).await.unwrap_err();
    assert!(matches!(error, ClientError::FileChanged { what: "its size", .. }), "{error}");
}

#[tokio::test]
async fn digests_that_differ_are_an_error() {
    let service = Service { wrong_digest: true, ..Service::default() };
    let error = Case::new(2000, service).await.upload(1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Checksum, "{error}");
}

#[tokio::test]
async fn an_image_that_is_there_already_is_not_sent_again_unless_it_differs() {
    let service = Service { earlier: Some(pattern(3000)), ..Service::default() };
    let case = Case::new(3000, service).await;
    let ready = case.ready(1).await;
    assert!(ready.verified && ready.sent_bytes == 0 && case.slices().is_empty());

    let mut other = pattern(3000);
    other[1500] ^= 1;
    let service = Service { earlier: Some(other), ..Service::default() };
    let case = Case::new(3000, service).await;
    assert_eq!(case.ready(1).await.sent_bytes, 3000);
    case.assert_whole();
}

#[tokio::test]
async fn a_download_goes_on_after_a_cut_and_after_a_new_call_and_is_verified() {
    let content = pattern(200_000);
    let service = Service {
        image_content: content.clone(),
        download_cut_after: Some(70_000),
        ..Service::default()
    };
    let case = Case::new(1, service).await;
    let target = case.path.with_file_name("copy.raw");
    let part = part_path(&target, "img1");
    std::fs::write(&part, &content[..50_000]).unwrap();
    let done = download(&case, &target).await.unwrap();
    assert_eq!(done, Downloaded::Done { bytes: 200_000, verified: true });
    assert!(std::fs::read(&target).unwrap() == content && !part.exists());
    assert_eq!(case.stub.service.lock().unwrap().count("GET /images/img1/content"), 2);

    let there = download(&case, &target).await.unwrap_err();
    assert_eq!(there.kind(), ErrorKind::Usage, "{there}");
}

#[tokio::test]
async fn a_download_with_a_wrong_part_is_never_put_in_place() {
    let service = Service { image_content: pattern(100_000), ..Service::default() };
    let case = Case::new(1, service).await;
    let target = case.path.with_file_name("copy.raw");
    let part = part_path(&target, "img1");
    std::fs::write(&part, [9; 1000]).unwrap();
    let error = download(&case, &target).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Checksum);
    assert!(!target.exists() && !part.exists());
}

async fn download(case: &Case, target: &std::path::Path) -> Result<Downloaded, ClientError> {
    let api = Api::new(&case.stub.url(), None).unwrap();
    let (policy, events, stop) = (policy(), silent(), CancellationToken::new());
    let image = find_image(&api, &policy, &events, "img1").await.unwrap();
    let silence_max = Duration::from_secs(5);
    let download =
        Download { api: &api, policy: &policy, silence_max, events: &events, stop: &stop };
    download.run(&image, target, false).await
}

#[tokio::test]
async fn a_login_sends_a_digest_and_never_the_password() {
    let case = Case::new(1, Service::default()).await;
    let api = Api::new(&case.stub.url(), None).unwrap();
    assert_eq!(api.login("admin", "password").await.unwrap().uuid, "s1");
}
