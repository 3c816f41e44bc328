//! A real process is really killed at every named point; the parent compares its journal with what is left.

use std::{
    fs::File,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, ExitStatus},
    sync::Arc,
};

use longshore_storage::{
    Durability, Limits,
    conformance::{
        Backend,
        local::{open_local, scratch},
    },
    kill::KILL_POINTS,
    local::OsDisk,
};
use uuid::Uuid;

use crate::script::{Client, Told, Way, limits};

const DIRECTORY: &str = "LONGSHORE_TEST_KILL_DIRECTORY";
const KILL_AT: &str = "STORE_KILL_AT";
const SIGKILL: i32 = 9;

/// What each client of the child does, in this order.
const WAYS: [Way; 5] = [Way::Publish, Way::Discard, Way::BackToFront, Way::Join, Way::Whole];

/// The point that is passed only when the list of extents outgrows its slot, besides at every creation.
const GROWING: &str = "checkpoint.before_rename";

fn client(number: usize) -> Client {
    let uuid = Uuid::from_u128(0x5eed << 112 | number as u128);
    Client::named(number as u64, uuid)
}

async fn open(root: &Path) -> Arc<dyn Backend> {
    let limits = Limits { extents_max: 4096, ..limits() };
    let store = open_local(root, Arc::new(OsDisk), limits, Durability::PowerLoss).await;
    store.expect("the store can be opened")
}

/// The part of the child process: does nothing unless the parent has started it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let directory = Path::new(&directory);
    let store = open(&directory.join("store")).await;
    for (number, way) in WAYS.into_iter().enumerate() {
        let mut client = client(number);
        client.journal = Some(Arc::new(File::create(journal(directory, number)).unwrap()));
        client.run(&store, way).await.unwrap();
    }
    if std::env::var(KILL_AT).is_ok_and(|at| at.starts_with(GROWING)) {
        let mut client = client(WAYS.len());
        client.journal = Some(Arc::new(File::create(journal(directory, WAYS.len())).unwrap()));
        client.create(&store, Way::Publish).await.unwrap();
        for island in 0..300 {
            client.send(&store, island * 20..island * 20 + 10).await.unwrap();
        }
    }
}

fn journal(directory: &Path, number: usize) -> std::path::PathBuf {
    directory.join(format!("journal-{number}"))
}

/// Runs a child that is to die at `kill_at`, and holds what it leaves to what its clients were told.
async fn killed_at(kill_at: &str) -> ExitStatus {
    let directory = scratch();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "kill::child", "--nocapture"]);
    child.env(DIRECTORY, directory.path()).env(KILL_AT, kill_at);
    let output = child.output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    let ended = output.status.success() || output.status.signal() == Some(SIGKILL);
    assert!(ended, "{kill_at}: {:?}\n{words}", output.status);
    let root = directory.path().join("store");
    let store = open(&root).await;
    let ways = WAYS.into_iter().chain([Way::Publish]);
    let mut clients = Vec::new();
    for (number, way) in ways.enumerate() {
        let journal = std::fs::read_to_string(journal(directory.path(), number));
        let client = client(number);
        *client.told.lock().unwrap() = Told::read(&journal.unwrap_or_default());
        assert_eq!(client.check(&*store).await, Ok(()), "{kill_at}: client {number}, {way:?}");
        clients.push((client, way));
    }
    // The upload with hundreds of islands is not sent again from its first byte by `run`: it fills its gaps.
    for (client, way) in clients {
        client.complete(Arc::clone(&store), &root, way).await;
    }
    output.status
}

/// At the first and at the second passing of every point.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_keeps_its_word_at_every_point() {
    assert!(KILL_POINTS.len() >= 10 && KILL_POINTS.contains(&GROWING));
    for point in KILL_POINTS {
        let status = killed_at(point).await;
        assert_eq!(status.signal(), Some(SIGKILL), "{point} was never passed");
        killed_at(&format!("{point}:2")).await;
    }
    // Creation passes this one too, once for each of the six uploads; the seventh time is the growth.
    let status = killed_at(&format!("{GROWING}:7")).await;
    assert_eq!(status.signal(), Some(SIGKILL), "the list of extents never outgrew its slot");
}

/// Negative control: without a point of this name nobody dies, and everything was told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_point_kills_nobody() {
    for unknown in ["no.such.point", "publish.after_rename:999"] {
        let status = killed_at(unknown).await;
        assert!(status.success(), "{unknown}: {status:?}");
    }
}
