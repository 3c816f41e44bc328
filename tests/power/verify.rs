//! The oracle: what the ledger holds against what is there after the power came back.

use std::{collections::HashMap, fs, path::Path};

use anyhow::{Context, Result, ensure};

use crate::{
    ledger::{Discard, Entry},
    shared::{
        client::Session,
        files::{files_below, sum_of},
        ranges::{contiguous_end, lost},
    },
};

/// Every acknowledgement that the server does not keep, in words. Changes nothing.
pub(crate) async fn broken_promises(session: &Session, entries: &[Entry]) -> Vec<String> {
    let mut broken = Vec::new();
    for entry in entries {
        if let Err(why) = look(session, entry).await {
            broken.push(format!("{}: {why:#}", entry.name));
        }
    }
    if let Err(why) = images_are_right(session, entries).await {
        broken.push(format!("images: {why:#}"));
    }
    broken
}

async fn look(session: &Session, entry: &Entry) -> Result<()> {
    if let Some(uuid) = &entry.finished {
        let bytes = session.try_download(uuid).await.context("acknowledged as Ready")?;
        ensure!(bytes == *entry.bytes, "Ready with other bytes");
    }
    let Some(path) = &entry.path else { return Ok(()) };
    let state = session.try_state(path).await?;
    match (entry.discard, state) {
        (Discard::Acknowledged, state) => {
            ensure!(state.is_none(), "acknowledged as discarded and here again: {state:?}");
        }
        (Discard::Asked, _) => {}
        (Discard::NotAsked, None) => anyhow::bail!("acknowledged as created and gone"),
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
    let scratch = tempfile::tempdir()?;
    let source = scratch.path().join("source");
    let sources: HashMap<_, _> = entries.iter().map(|entry| (entry.name.as_str(), entry)).collect();
    for image in session.images().await? {
        let name = image["name"].as_str().context("an image without a name")?;
        // Others are of an earlier cycle, and were compared then.
        let Some(entry) = sources.get(name).filter(|_| image["status"] == "Ready") else {
            continue;
        };
        fs::write(&source, &**entry.bytes)?;
        for (field, tool) in [("md5Sum", "md5sum"), ("sha256Sum", "sha256sum")] {
            ensure!(image[field] == sum_of(tool, &source), "{name}: {image}");
        }
        ensure!(image["actualSize"] == entry.bytes.len() as u64, "{name}: {image}");
    }
    Ok(())
}

/// Brings everything to an end as its client would: sends what is missing, gives up what was to be given up. Afterwards every
/// upload is an image with the right bytes, or gone. Panics where that is not so.
pub(crate) async fn settle(session: &Session, entries: &[Entry]) {
    for entry in entries {
        let Some(path) = &entry.path else { continue };
        match entry.discard {
            Discard::Acknowledged => {}
            Discard::Asked => {
                let here = session.try_state(path).await.unwrap().is_some();
                assert!(!here || session.discard(path).await.unwrap(), "{}", entry.name);
            }
            Discard::NotAsked => {
                session.finish(path, &entry.bytes).await;
                let image = session.image_named(&entry.name).await;
                assert_eq!(image["status"], "Ready", "{}: {image}", entry.name);
                let stored = session.download(image["uuid"].as_str().unwrap()).await;
                assert!(stored == *entry.bytes, "{}: other bytes than the source's", entry.name);
            }
        }
    }
    // What was asked for without an answer may be there or not; if it is, it can be canceled.
    for job in session.jobs().await {
        let state = job["state"].as_str().unwrap();
        if !matches!(state, "Succeeded" | "Canceled" | "Failed") {
            session.cancel(job["uuid"].as_str().unwrap()).await.unwrap();
        }
    }
    for job in session.jobs().await {
        let state = job["state"].as_str().unwrap();
        assert!(matches!(state, "Succeeded" | "Canceled"), "stuck: {job}");
    }
    assert_eq!(broken_promises(session, entries).await, Vec::<String>::new(), "after resuming");
}

/// Files that no row knows, once everything has come to its end.
pub(crate) async fn no_strays(session: &Session, data: &Path) {
    let nothing: Vec<std::path::PathBuf> = Vec::new();
    assert_eq!(files_below(&data.join("uploads")), nothing, "left in staging");
    assert_eq!(files_below(&data.join("lost+found")), nothing, "strays");
    let images = session.images().await.unwrap();
    let stored = files_below(&data.join("images"));
    let known = images.iter().filter_map(|image| image["uuid"].as_str());
    let mut known: Vec<_> = known.collect();
    let mut stored: Vec<_> =
        stored.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    known.sort_unstable();
    stored.sort_unstable();
    assert_eq!(stored, known, "files of images and their rows");
}
