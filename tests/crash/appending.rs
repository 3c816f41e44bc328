//! SIGKILL in every phase of an upload that is appended to, in tus and in the IETF draft: what was acknowledged is there, no question is
//! answered by a failure, and the same client brings it to its end without making a second one.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use reqwest::{RequestBuilder, Response, StatusCode};

use crate::{
    base64_of, compare, path_of,
    shared::{
        client::Session,
        files::files_below,
        random::Random,
        runtime,
        server::{Server, Told},
    },
};

/// Where a server dies: while the upload is made, written, made durable, finished and published; `None`: at some moment.
const KILL_AT: [Option<&str>; 15] = [
    Some("create.after_data:1"),
    Some("write.after_pwrite:1"),
    Some("write.after_pwrite:9"),
    Some("checkpoint.before_data_sync:2"),
    Some("checkpoint.after_data_sync:2"),
    Some("checkpoint.after_slot_write:2"),
    Some("checkpoint.after_slot_sync:2"),
    Some("checkpoint.after_slot_sync:4"),
    Some("finish.before_checkpoint:1"),
    Some("finish.after_checkpoint:1"),
    Some("publish.before_rename:1"),
    Some("publish.after_rename:1"),
    Some("publish.after_dir_sync:1"),
    Some("publish.after_checkpoint_remove:1"),
    None,
];

/// What one PATCH has.
const CHUNK_BYTES: usize = 700_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Tus,
    Ietf,
}

impl Protocol {
    fn create(self, session: &Session, name: &str, length: usize) -> RequestBuilder {
        match self {
            Self::Tus => session
                .tus("POST", "/uploads")
                .header("Upload-Length", length)
                .header("Upload-Metadata", format!("filename {}", base64_of(name))),
            Self::Ietf => session
                .request("POST", "/uploads")
                .header("Upload-Length", length)
                .header("Upload-Complete", "?0")
                .header("Content-Disposition", format!("inline; filename=\"{name}\"")),
        }
    }

    fn append(
        self,
        session: &Session,
        path: &str,
        at: usize,
        bytes: &[u8],
        last: bool,
    ) -> RequestBuilder {
        let request = match self {
            Self::Tus => {
                session.tus("PATCH", path).header("Content-Type", "application/offset+octet-stream")
            }
            Self::Ietf => session
                .request("PATCH", path)
                .header("Content-Type", "application/partial-upload")
                .header("Upload-Complete", if last { "?1" } else { "?0" }),
        };
        request.header("Upload-Offset", at).body(bytes.to_vec())
    }

    /// Where it stands, and whether it is complete as far as this protocol says so.
    async fn stands(self, session: &Session, path: &str) -> Option<(usize, bool)> {
        let asked = match self {
            Self::Tus => session.tus("HEAD", path),
            Self::Ietf => session.request("HEAD", path).header("Upload-Draft-Interop-Version", "8"),
        };
        // The server may die while it is asked; it never answers by a failure.
        let answer = asked.send().await.ok()?;
        assert!(matches!(answer.status().as_u16(), 200 | 204), "{self:?}: {answer:?}");
        let complete = answer.headers().get("upload-complete").is_some_and(|value| value == "?1");
        Some((offset(&answer), complete))
    }

    /// Sends what is missing as far as the server lives, and notes each offset as soon as it is acknowledged. Answers whether all
    /// is done.
    async fn send(self, session: &Session, path: &str, image: &[u8], noted: &AtomicUsize) -> bool {
        let Some((mut at, mut complete)) = self.stands(session, path).await else { return false };
        while at < image.len() || (self == Self::Ietf && !complete) {
            let end = image.len().min(at + CHUNK_BYTES);
            let last = end == image.len();
            let sent = self.append(session, path, at, &image[at..end], last).send().await;
            match sent {
                Ok(answer) if answer.status() == StatusCode::NO_CONTENT => {
                    assert_eq!(offset(&answer), end, "{self:?}");
                    (at, complete) = (end, last);
                    noted.store(end, Ordering::Relaxed);
                }
                Ok(answer) => panic!("{self:?}: {answer:?}"),
                Err(_) => return false,
            }
        }
        true
    }
}

fn offset(answer: &Response) -> usize {
    answer.headers()["upload-offset"].to_str().unwrap().parse().unwrap()
}

/// Makes an upload, by as many requests as it takes.
async fn make(protocol: Protocol, session: &Session, name: &str, length: usize) -> Option<String> {
    let made = protocol.create(session, name, length).send().await.ok()?;
    assert_eq!(made.status(), StatusCode::CREATED, "{protocol:?}: {made:?}");
    Some(path_of(&made))
}

async fn cycle(
    protocol: Protocol,
    number: usize,
    kill_at: Option<&str>,
    data: &Path,
    random: &mut Random,
) {
    let image = random.bytes((3 << 20) + 7 * number + 1);
    let name = format!("appended-{protocol:?}-{number}");
    let environment = kill_at.map(|at| ("STORE_KILL_AT", at));
    let server = Server::try_spawn(data, environment.as_slice(), Told::Errors).unwrap();
    let session = Session::open(&server.base).await;
    let made = make(protocol, &session, &name, image.len()).await;
    let noted = AtomicUsize::new(0);
    let sending = async {
        if let Some(path) = &made {
            protocol.send(&session, path, &image, &noted).await;
        }
    };
    if let Some(at) = kill_at {
        sending.await;
        assert!(server.gone(Duration::from_mins(1)).await, "{at} was never passed");
    } else {
        let after = Duration::from_millis(random.below(250));
        tokio::select! {
            () = sending => {}
            () = tokio::time::sleep(after) => {}
        }
        server.kill();
    }
    let acknowledged = noted.load(Ordering::Relaxed);
    let server = Server::spawn(data);
    let session = Session::open(&server.base).await;
    let path = match made {
        Some(path) => path,
        // It was never told of one: it begins.
        None => make(protocol, &session, &name, image.len()).await.expect("the server lives"),
    };
    let (kept, _) = protocol.stands(&session, &path).await.expect("the server lives");
    assert!(
        kept >= acknowledged,
        "{kill_at:?}: {acknowledged} were acknowledged, {kept} are there"
    );
    assert!(protocol.send(&session, &path, &image, &noted).await, "{kill_at:?}");
    let (end, _) = protocol.stands(&session, &path).await.expect("the server lives");
    assert_eq!(end, image.len(), "{kill_at:?}");
    let mut state = session.state(&path).await;
    for _ in 0..600 {
        if state.name == "Succeeded" {
            break;
        }
        assert!(matches!(state.name.as_str(), "Running" | "Suspended"), "stuck: {state:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
        state = session.state(&path).await;
    }
    assert_eq!(state.name, "Succeeded", "{kill_at:?}: {state:?}");
    let source = data.parent().unwrap().join("source");
    std::fs::write(&source, &image).unwrap();
    compare(&session, &name, &source, &image).await;
    server.kill();
}

fn killed_in_every_phase(protocol: Protocol) {
    let mut random = Random::seeded("KILL_SEED");
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    runtime().block_on(async {
        for (number, kill_at) in KILL_AT.into_iter().enumerate() {
            cycle(protocol, number, kill_at, &data, &mut random).await;
        }
    });
    assert_eq!(files_below(&data.join("images")).len(), KILL_AT.len(), "one file per image");
}

#[test]
#[ignore = "needs minutes: scripts/test and scripts/soak kill run it"]
fn killed_servers_go_on_with_what_tus_has_sent() {
    killed_in_every_phase(Protocol::Tus);
}

#[test]
#[ignore = "needs minutes: scripts/test and scripts/soak kill run it"]
fn killed_servers_go_on_with_what_the_ietf_draft_has_sent() {
    killed_in_every_phase(Protocol::Ietf);
}
