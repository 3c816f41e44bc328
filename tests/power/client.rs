//! The client of a power cut: one large upload with four slices in flight, and beside it uploads that are created, finished
//! in one request, finished in two slices and discarded, until the server is gone.

use std::{ops::Range, sync::Arc};

use serde_json::Value;

use crate::{
    ledger::{Discard, Ledger},
    shared::{client::Session, random::Random, ranges::send_in_parallel},
};

/// Longest images of a client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) large: u64,
    pub(crate) small: u64,
}

/// One client of one server.
pub(crate) struct Worker<'a> {
    pub(crate) session: &'a Session,
    pub(crate) ledger: &'a Ledger,
    pub(crate) prefix: &'a str,
    pub(crate) sizes: Sizes,
}

impl Worker<'_> {
    /// Runs until the server stops answering.
    pub(crate) async fn work(&self, random: &mut Random) {
        let mut fresh = || Random(random.next());
        let (large, small, given_up) = (fresh(), fresh(), fresh());
        tokio::join!(
            self.send_large(large),
            self.finish_small(small, u64::MAX),
            self.finish_whole(0, fresh()),
            self.finish_whole(1, fresh()),
            self.give_up(given_up, u64::MAX)
        );
    }

    /// Images of some MiB, one after the other, each by four senders at once.
    async fn send_large(&self, mut random: Random) {
        for number in 0.. {
            let length = 1 + random.below(self.sizes.large);
            let image = Arc::new(random.bytes(length as usize));
            let name = format!("{}-large-{number}", self.prefix);
            let upload = self.ledger.begin(&name, &image);
            let declared = (number % 2 == 0).then_some(length);
            let Ok(path) = self.session.try_submit(&name, declared).await else { return };
            self.ledger.created(upload, &path);
            let log = self.ledger.clone();
            let note = move |range: Range<u64>, state| {
                log.stored(upload, range, &state);
            };
            let (session, all) = (self.session, 0..length);
            send_in_parallel(session, &path, &image, &[all], &mut random, note).await;
            if self.ledger.entries().last().is_some_and(|entry| entry.finished.is_none())
                && self.session.try_state(&path).await.is_err()
            {
                return;
            }
        }
    }

    /// Small images: by turns in one request, and in two slices of which the second comes first.
    pub(crate) async fn finish_small(&self, mut random: Random, images: u64) {
        for number in 0..images {
            let length = 2 + random.below(self.sizes.small);
            let image = Arc::new(random.bytes(length as usize));
            let name = format!("{}-small-{number}", self.prefix);
            let upload = self.ledger.begin(&name, &image);
            if number % 2 == 0 {
                match self.session.one_request(&name, image.to_vec()).await {
                    Ok(Some(state)) => self.ledger.stored(upload, 0..length, &state),
                    Ok(None) | Err(_) => return,
                };
                continue;
            }
            let Ok(path) = self.session.try_submit(&name, None).await else { return };
            self.ledger.created(upload, &path);
            let middle = 1 + random.below(length - 1);
            for range in [middle..length, 0..middle] {
                if self.put(upload, &path, &image, range, true).await.is_none() {
                    return;
                }
            }
        }
    }

    /// Images of at most 64 KiB, each in one request: those that are made without an upload.
    async fn finish_whole(&self, sender: u64, mut random: Random) {
        for number in 0.. {
            let length = 1 + random.below(64 << 10);
            let image = Arc::new(random.bytes(length as usize));
            let name = format!("{}-whole-{sender}-{number}", self.prefix);
            let upload = self.ledger.begin(&name, &image);
            match self.session.one_request(&name, image.to_vec()).await {
                Ok(Some(state)) => self.ledger.stored(upload, 0..length, &state),
                Ok(None) | Err(_) => return,
            };
        }
    }

    /// Uploads that are discarded after their first slice, by their URL and by canceling their job in turn; every third is left
    /// as it is.
    pub(crate) async fn give_up(&self, mut random: Random, uploads: u64) {
        for number in 0..uploads {
            let length = 2 + random.below(self.sizes.small);
            let image = Arc::new(random.bytes(length as usize));
            let name = format!("{}-given-up-{number}", self.prefix);
            let upload = self.ledger.begin(&name, &image);
            let Ok(path) = self.session.try_submit(&name, Some(length)).await else { return };
            self.ledger.created(upload, &path);
            let half = 0..length / 2;
            let Some(state) = self.put(upload, &path, &image, half, false).await else { return };
            if number % 3 == 2 {
                continue;
            }
            self.ledger.discard(upload, Discard::Asked);
            let done = if number % 3 == 0 {
                self.session.discard(&path).await.unwrap_or(false)
            } else {
                self.session.cancel(state["jobUuid"].as_str().expect("a job")).await.is_ok()
            };
            if !done {
                return;
            }
            self.ledger.discard(upload, Discard::Acknowledged);
        }
    }

    /// Sends one slice and notes it; `None` if it was not acknowledged.
    async fn put(
        &self,
        upload: usize,
        path: &str,
        image: &[u8],
        range: Range<u64>,
        checked: bool,
    ) -> Option<Value> {
        let part = image[range.start as usize..range.end as usize].to_vec();
        let total = image.len() as u64;
        let state = self.session.put(path, part, range.start, total, checked).await.ok()??;
        self.ledger.stored(upload, range, &state);
        Some(state)
    }
}
