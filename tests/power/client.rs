//! The client of a power cut: one large upload with four slices in flight, and beside it uploads that are created, finished
//! in one request, finished in two slices and discarded, until the server is gone.

use std::{ops::Range, sync::Arc};

use crate::{
    ledger::{Discard, Ledger},
    shared::{client::Session, random::Random, ranges::send_in_parallel},
};

/// Runs until the server stops answering.
pub(crate) async fn work(session: &Session, ledger: &Ledger, prefix: &str, random: &mut Random) {
    let mut fresh = || Random(random.next());
    let (large, small, given_up) = (fresh(), fresh(), fresh());
    tokio::join!(
        send_large(session, ledger, prefix, large),
        finish_small(session, ledger, prefix, small),
        give_up(session, ledger, prefix, given_up),
    );
}

/// Images of some MiB, one after the other, each by four senders at once.
async fn send_large(session: &Session, ledger: &Ledger, prefix: &str, mut random: Random) {
    for number in 0.. {
        let length = 1 + random.below(24 << 20);
        let image = Arc::new(random.bytes(length as usize));
        let name = format!("{prefix}-large-{number}");
        let upload = ledger.begin(&name, &image);
        let declared = (number % 2 == 0).then_some(length);
        let Ok(path) = session.try_submit(&name, declared).await else { return };
        ledger.created(upload, &path);
        let log = ledger.clone();
        let note = move |range: Range<u64>, state| log.stored(upload, range, &state);
        send_in_parallel(session, &path, &image, &[0..length], &mut random, note).await;
        if ledger.entries()[upload].finished.is_none() {
            return;
        }
    }
}

/// Small images: by turns in one request, and in two slices of which the second comes first.
async fn finish_small(session: &Session, ledger: &Ledger, prefix: &str, mut random: Random) {
    for number in 0.. {
        let length = 2 + random.below(256 << 10);
        let image = Arc::new(random.bytes(length as usize));
        let name = format!("{prefix}-small-{number}");
        let upload = ledger.begin(&name, &image);
        if number % 2 == 0 {
            match session.one_request(&name, image.to_vec()).await {
                Ok(Some(state)) => ledger.stored(upload, 0..length, &state),
                Ok(None) | Err(_) => return,
            }
            continue;
        }
        let Ok(path) = session.try_submit(&name, None).await else { return };
        ledger.created(upload, &path);
        let middle = 1 + random.below(length - 1);
        for range in [middle..length, 0..middle] {
            let part = image[range.start as usize..range.end as usize].to_vec();
            match session.put(&path, part, range.start, length, true).await {
                Ok(Some(state)) => ledger.stored(upload, range, &state),
                Ok(None) | Err(_) => return,
            }
        }
    }
}

/// Uploads that are discarded after their first slice; every third is left as it is.
async fn give_up(session: &Session, ledger: &Ledger, prefix: &str, mut random: Random) {
    for number in 0.. {
        let length = 1 + random.below(512 << 10);
        let image = Arc::new(random.bytes(length as usize));
        let name = format!("{prefix}-given-up-{number}");
        let upload = ledger.begin(&name, &image);
        let Ok(path) = session.try_submit(&name, Some(length)).await else { return };
        ledger.created(upload, &path);
        let end = length.div_ceil(2);
        let part = image[..end as usize].to_vec();
        match session.put(&path, part, 0, length, false).await {
            Ok(Some(state)) => ledger.stored(upload, 0..end, &state),
            Ok(None) | Err(_) => return,
        }
        if number % 3 == 2 {
            continue;
        }
        ledger.discard(upload, Discard::Asked);
        match session.discard(&path).await {
            Ok(true) => ledger.discard(upload, Discard::Acknowledged),
            Ok(false) | Err(_) => return,
        }
    }
}
