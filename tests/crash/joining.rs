//! SIGKILL while partial uploads are sent and while they are joined: in every phase the same parts lead to the same image.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::{Response, StatusCode};

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

/// Where a server dies that joins three parts of 9 MiB and more: at pieces, at checkpoints, before and after the parts go, and on the
/// way to the image. `None`: at some moment.
const KILL_AT: [Option<&str>; 12] = [
    Some("copy.after_copy:1"),
    Some("copy.after_copy:3"),
    Some("copy.after_copy:5"),
    Some("discard.before_checkpoint_remove:1"),
    Some("discard.after_data_remove:2"),
    Some("discard.after_data_remove:3"),
    Some("finish.before_checkpoint:1"),
    Some("publish.before_rename:1"),
    Some("publish.after_rename:1"),
    None,
    None,
    None,
];

/// What a part has, if the server lives to say it.
async fn offset(session: &Session, path: &str) -> reqwest::Result<usize> {
    let answer = session.tus("HEAD", path).send().await?;
    assert_eq!(answer.status(), StatusCode::OK, "no question is answered by a failure");
    Ok(answer.headers()["upload-offset"].to_str().unwrap().parse().unwrap())
}

/// Sends what a part lacks, in requests of 1 MiB, as far as the server lives; what was acknowledged.
async fn send(session: &Session, path: &str, bytes: &[u8]) -> usize {
    let Ok(mut at) = offset(session, path).await else { return 0 };
    while at < bytes.len() {
        let end = bytes.len().min(at + (1 << 20));
        let request = session
            .tus("PATCH", path)
            .header("Content-Type", "application/offset+octet-stream")
            .header("Upload-Offset", at)
            .body(bytes[at..end].to_vec());
        match request.send().await {
            Ok(answer) if answer.status() == StatusCode::NO_CONTENT => at = end,
            Ok(answer) => panic!("{answer:?}"),
            Err(_) => break,
        }
    }
    at
}

/// Three parts of an image, sent over a kill.
async fn parts(data: &Path, image: &[u8], random: &mut Random) -> Vec<String> {
    let server = Server::spawn(data);
    let session = Session::open(&server.base).await;
    let third = image.len() / 3;
    let pieces = [&image[..third], &image[third..2 * third], &image[2 * third..]];
    let mut paths = Vec::new();
    for piece in pieces {
        let made = session
            .tus("POST", "/uploads")
            .header("Upload-Concat", "partial")
            .header("Upload-Length", piece.len());
        paths.push(path_of(&made.send().await.unwrap().error_for_status().unwrap()));
    }
    let sending = paths.iter().zip(pieces).map(|(path, piece)| send(&session, path, piece));
    let kill = async {
        tokio::time::sleep(Duration::from_millis(random.below(300))).await;
        server.kill();
    };
    let (acknowledged, ()) = tokio::join!(futures::future::join_all(sending), kill);
    let server = Server::spawn(data);
    let session = Session::open(&server.base).await;
    for ((path, piece), acknowledged) in paths.iter().zip(pieces).zip(acknowledged) {
        let kept = offset(&session, path).await.unwrap();
        assert!(kept >= acknowledged, "{acknowledged} bytes were acknowledged, {kept} are there");
        assert_eq!(send(&session, path, piece).await, piece.len());
    }
    server.kill();
    paths
}

async fn join(session: &Session, name: &str, parts: &[String]) -> reqwest::Result<Response> {
    let metadata = format!("filename {}", base64_of(name));
    let concat = format!("final;{}", parts.join(" "));
    let request = session.tus("POST", "/uploads").header("Upload-Concat", concat);
    request.header("Upload-Metadata", metadata).send().await
}

async fn cycle(number: usize, kill_at: Option<&str>, data: &Path, random: &mut Random) {
    let image = random.bytes((27 << 20) + 3 * number + 1);
    let name = format!("joined-{number}");
    let parts = parts(data, &image, random).await;
    let environment = kill_at.map(|at| ("STORE_KILL_AT", at));
    let server = Server::try_spawn(data, environment.as_slice(), Told::Errors).unwrap();
    let session = Session::open(&server.base).await;
    // Whether the answer still came is another matter.
    let first = join(&session, &name, &parts).await;
    let first = first.ok().filter(|answer| answer.status() == StatusCode::CREATED);
    let first = first.map(|answer| path_of(&answer));
    if let Some(at) = kill_at {
        assert!(server.gone(Duration::from_mins(1)).await, "{at} was never passed");
    } else {
        tokio::time::sleep(Duration::from_millis(random.below(400))).await;
        server.kill();
    }
    let server = Server::spawn(data);
    let session = Session::open(&server.base).await;
    let again = join(&session, &name, &parts).await.unwrap();
    assert_eq!(
        again.status(),
        StatusCode::CREATED,
        "the same parts: {}",
        again.text().await.unwrap()
    );
    let path = path_of(&again);
    assert!(first.is_none_or(|first| first == path), "and so the same upload");
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

#[test]
#[ignore = "needs minutes: scripts/test and scripts/soak kill run it"]
fn killed_servers_join_what_was_sent() {
    let mut random = Random::seeded("KILL_SEED");
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    runtime().block_on(async {
        for (number, kill_at) in KILL_AT.into_iter().enumerate() {
            cycle(number, kill_at, &data, &mut random).await;
        }
        let server = Server::spawn(&data);
        let session = Session::open(&server.base).await;
        let jobs = session.jobs().await;
        assert_eq!(jobs.len(), KILL_AT.len(), "one job for each whole");
        // What a crash left of the parts goes at the next look.
        for _ in 0..200 {
            if files_below(&data.join("uploads")).is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert_eq!(files_below(&data.join("uploads")), Vec::<PathBuf>::new(), "left in staging");
    assert_eq!(files_below(&data.join("images")).len(), KILL_AT.len(), "one file per image");
    assert_eq!(files_below(&data.join("lost+found")), Vec::<PathBuf>::new(), "strays");
}
