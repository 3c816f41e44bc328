//! The oracle: what the ledger holds against what is there after the power came back.

use std::{
    collections::HashMap,
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures::StreamExt;

use crate::{
    ledger::{Discard, Entry},
    shared::{
        client::Session,
        files::files_below,
        ranges::{contiguous_end, lost},
    },
};

/// Questions at once.
const AT_ONCE: usize = 8;

/// What the files alone say, before any server has touched them: every acknowledged byte is in its place, with the value that
/// was sent, an image has its name, and what was discarded has none.
pub(crate) fn broken_files(data: &Path, entries: &[Entry]) -> Vec<String> {
    let told = |entry: &Entry| {
        let looked = look_at_files(data, entry);
        looked.err().map(|why| format!("{}: {why:#}", entry.source.name))
    };
    entries.iter().filter_map(told).collect()
}

fn look_at_files(data: &Path, entry: &Entry) -> Result<()> {
    if let Some(image) = &entry.finished {
        let settled = data.join("images").join(&image[30..]).join(image);
        // One that came whole may have been on its way to the others.
        let bytes = fs::read(settled).or_else(|_| fs::read(data.join("whole").join(image)));
        let bytes = bytes.context("acknowledged as Ready, its file")?;
        ensure!(bytes == *entry.source.bytes, "Ready with other bytes in its file");
        return Ok(());
    }
    let Some(path) = &entry.path else { return Ok(()) };
    let uuid = upload_uuid(path)?;
    let staging = data.join("uploads").join(&uuid[30..]);
    let file = staging.join(format!("{uuid}.data"));
    let checkpoint = staging.join(format!("{uuid}.checkpoint"));
    match entry.discard {
        Discard::Acknowledged => {
            let there = file.exists() || checkpoint.exists();
            ensure!(!there, "acknowledged as discarded, and its files are here again");
        }
        // On its way to nothing, or to an image: whether that was done is asked of the server.
        Discard::Asked => {}
        Discard::NotAsked if contiguous_end(&entry.stored) == entry.source.bytes.len() as u64 => {}
        Discard::NotAsked => {
            let Ok(opened) = File::open(&file) else {
                // Its last bytes may have come without an answer and made it an image: the server is asked about that.
                return Ok(());
            };
            ensure!(checkpoint.exists(), "acknowledged as created, no checkpoint");
            for range in &entry.stored {
                let expected = &entry.source.bytes[range.start as usize..range.end as usize];
                let mut found = vec![0; expected.len()];
                let read = opened.read_exact_at(&mut found, range.start);
                read.with_context(|| format!("{range:?} was acknowledged"))?;
                ensure!(found == expected, "{range:?} was acknowledged and has other bytes");
            }
        }
    }
    Ok(())
}

/// Which upload a capability names: its payload begins with the uuid.
fn upload_uuid(path: &str) -> Result<String> {
    let payload = path.rsplit('.').next().context("a capability")?;
    let payload = URL_SAFE_NO_PAD.decode(payload)?;
    Ok(uuid::Uuid::from_slice(&payload[..16])?.simple().to_string())
}

/// Every acknowledgement that the server does not keep, in words. Changes nothing.
pub(crate) async fn broken_promises(session: &Session, entries: &[Entry]) -> Vec<String> {
    let looked = entries.iter().map(|entry| async move {
        let looked = look(session, entry).await;
        looked.err().map(|why| format!("{}: {why:#}", entry.source.name))
    });
    let looked = futures::stream::iter(looked).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
    let mut broken: Vec<_> = looked.into_iter().flatten().collect();
    if let Err(why) = images_are_right(session, entries).await {
        broken.push(format!("images: {why:#}"));
    }
    broken
}

async fn look(session: &Session, entry: &Entry) -> Result<()> {
    if let Some(uuid) = &entry.finished {
        let bytes = session.try_download(uuid).await.context("acknowledged as Ready")?;
        ensure!(bytes == *entry.source.bytes, "Ready with other bytes");
    }
    let Some(path) = &entry.path else { return Ok(()) };
    let state = session.try_state(path).await?;
    match (entry.discard, state) {
        (Discard::Acknowledged, state) => {
            ensure!(state.is_none(), "acknowledged as discarded and here again: {state:?}");
        }
        (Discard::Asked, _) => {}
        (Discard::NotAsked, None) => bail!("acknowledged as created and gone"),
        (Discard::NotAsked, Some(state)) => {
            let lost = lost(&entry.stored, &state.missing);
            ensure!(lost.is_empty(), "acknowledged and lost: {lost:?} of {state:?}");
            let end = contiguous_end(&entry.stored);
            ensure!(state.offset >= end, "the offset {} was {end} before", state.offset);
            let done = state.name == "Succeeded";
            ensure!(done || entry.finished.is_none(), "was Succeeded, is {}", state.name);
        }
    }
    Ok(())
}

/// No image is Ready with digests other than those of its source.
async fn images_are_right(session: &Session, entries: &[Entry]) -> Result<()> {
    let named = |entry: &Entry| (entry.source.name.clone(), entry.source.clone());
    let sources: HashMap<_, _> = entries.iter().map(named).collect();
    for image in session.images().await? {
        let name = image["name"].as_str().context("an image without a name")?;
        // Others are of an earlier cycle, and were compared then.
        let Some(source) = sources.get(name).filter(|_| image["status"] == "Ready") else {
            continue;
        };
        let [md5, sha256] = source.sums();
        ensure!(image["md5Sum"] == *md5 && image["sha256Sum"] == *sha256, "{name}: {image}");
        ensure!(image["actualSize"] == source.bytes.len() as u64, "{name}: {image}");
    }
    Ok(())
}

/// Brings everything to an end as its client would: sends what is missing, gives up what was to be given up. Afterwards every
/// upload is an image with the right bytes, or gone. Panics where that is not so.
pub(crate) async fn settle(session: &Session, entries: &[Entry]) {
    for entry in entries {
        let Some(path) = &entry.path else { continue };
        let name = &entry.source.name;
        match entry.discard {
            Discard::Acknowledged => {}
            Discard::Asked => {
                let here = session.try_state(path).await.unwrap().is_some();
                assert!(!here || session.discard(path).await.unwrap(), "{name}");
            }
            Discard::NotAsked => {
                session.finish(path, &entry.source.bytes).await;
                let image = session.image_named(name).await;
                assert_eq!(image["status"], "Ready", "{name}: {image}");
                let stored = session.download(image["uuid"].as_str().unwrap()).await;
                assert!(stored == *entry.source.bytes, "{name}: other bytes than the source's");
            }
        }
    }
    // What was asked for without an answer may be there or not; if it is, it can be canceled, unless recovery is faster and makes
    // it an image.
    let mut unfinished = Vec::new();
    for _ in 0..100 {
        let jobs = session.jobs().await.into_iter();
        unfinished =
            jobs.filter(|job| job["state"] != "Succeeded" && job["state"] != "Canceled").collect();
        if unfinished.is_empty() {
            break;
        }
        for job in &unfinished {
            let _ = session.cancel(job["uuid"].as_str().unwrap()).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(unfinished.is_empty(), "stuck: {unfinished:?}");
    let broken = broken_promises(session, entries).await;
    assert!(broken.is_empty(), "after resuming: {broken:#?}");
}

/// Files that no row knows, once everything has come to its end: none in staging. What recovery has set aside was never
/// acknowledged and never held a byte; answers how many uploads that were.
pub(crate) async fn no_strays(session: &Session, data: &Path) -> usize {
    for _ in 0..100 {
        // Recovery looks for strays while requests are served.
        if ["uploads", "whole"].iter().all(|folder| files_below(&data.join(folder)).is_empty()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(files_below(&data.join("uploads")), Vec::<PathBuf>::new(), "left in staging");
    assert_eq!(files_below(&data.join("whole")), Vec::<PathBuf>::new(), "not settled");
    let aside = files_below(&data.join("lost+found"));
    let data_files = aside.iter().filter(|path| path.extension().is_some_and(|e| e == "data"));
    for path in data_files.clone() {
        assert_eq!(fs::metadata(path).unwrap().len(), 0, "{} holds bytes", path.display());
    }
    let images = session.images().await.unwrap();
    let stored = files_below(&data.join("images"));
    let mut known: Vec<_> = images.iter().filter_map(|image| image["uuid"].as_str()).collect();
    let mut stored: Vec<_> =
        stored.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    known.sort_unstable();
    stored.sort_unstable();
    assert_eq!(stored, known, "files of images and their rows");
    data_files.count()
}
