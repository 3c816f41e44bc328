//! Several requests on one upload: who may write what, and who makes room for whom.

use std::{ops::Range, pin::Pin, time::Duration};

use super::{
    Fixture,
    scenario::{
        STEP, Scenario, acknowledged, content, every_checksum, expect_refusal, expect_stored,
        expect_writer, interrupted,
    },
};
use crate::{
    error::StoreError,
    store::{Ended, RangeWriter},
};

/// As many slices at once as there are places, their bytes interleaved: all count.
pub async fn parallel_slices_all_count(fixture: &dyn Fixture) {
    let places = u64::from(fixture.limits().writers_max);
    let slice = 150_000;
    let scenario = Scenario::new(fixture, 70, places * slice).await;
    let mut writers = Vec::new();
    for place in (0..places).rev() {
        let range = place * slice..(place + 1) * slice;
        writers.push((scenario.writer(&range).await, range));
    }
    assert_eq!(u64::from(scenario.state().await.writers), places);
    for step in 0..10 {
        for (writer, range) in &mut writers {
            let from = range.start + step * slice / 10;
            let bytes = scenario.bytes(&(from..from + slice / 10));
            writer.append(bytes).await.expect("bytes are taken");
        }
    }
    let mut answers = tokio::task::JoinSet::new();
    for (writer, _) in writers {
        answers.spawn(acknowledged(writer));
    }
    while let Some(answer) = answers.join_next().await {
        let counted = answer.expect("no panic").expect("the slice counts").counted_bytes;
        assert_eq!(counted, slice);
    }
    let state = scenario.state().await;
    assert_eq!((state.offset, state.writers), (places * slice, 0));
    scenario.publish().await;
}

/// While bytes flow, a second request for the range waits and is told to come again; the first one is not ended.
pub async fn two_live_writers_never_evict_each_other(fixture: &dyn Fixture) {
    let limits = fixture.limits();
    let scenario = Scenario::new(fixture, 71, 100_000).await;
    let mut holder = scenario.writer(&(0..100_000)).await;
    let newcomer = scenario.claim(&(50_000..100_000));
    tokio::pin!(newcomer);
    let mut sent = 0;
    let refused = loop {
        holder.append(scenario.bytes(&(sent..sent + 10))).await.expect("the holder is alive");
        holder.flush().await.expect("the holder is alive");
        sent += 10;
        tokio::select! {
            biased;
            answer = &mut newcomer => break expect_refusal(answer),
            () = tokio::time::sleep(limits.claim_silent / 8) => {}
        }
        assert!(sent < 90_000, "the newcomer waits without end");
    };
    assert!(matches!(refused, StoreError::Busy { .. }), "{refused}");
    assert!(is_running(holder.ended()).await);
    holder.append(scenario.bytes(&(sent..100_000))).await.expect("the holder is alive");
    assert_eq!(acknowledged(holder).await.expect("all of it").counted_bytes, 100_000);
    scenario.publish().await;
}

/// A holder without bytes for `claim_silent` is ended; what it had received counts, the newcomer writes the rest.
pub async fn a_silent_holder_is_ended_and_its_bytes_count(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 72, 100_000).await;
    let mut holder = scenario.writer(&(0..100_000)).await;
    holder.append(scenario.bytes(&(0..43_210))).await.expect("bytes are taken");
    let asked = std::time::Instant::now();
    let newcomer = scenario.writer(&(0..100_000)).await;
    assert!(asked.elapsed() < Duration::from_secs(1), "the takeover took {:?}", asked.elapsed());
    let why = tokio::time::timeout(STEP, holder.ended()).await.expect("it is told");
    assert_eq!(why, Ended::Superseded);
    let done = interrupted(holder).await.expect("what came counts");
    assert_eq!((done.counted_bytes, done.state.offset), (43_210, 43_210));
    finish_with(newcomer, &scenario, 0..100_000).await;
    scenario.publish().await;
}

/// The same holder under a checksum is ended as well, and nothing of it counts.
pub async fn a_silent_checked_holder_is_ended_and_counts_nothing(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 73, 100_000).await;
    let checksum = every_checksum(&scenario.content)[0];
    let mut holder = expect_writer(scenario.claim_checked(&(0..100_000), Some(checksum)).await);
    holder.append(&content(97, 99_000)).await.expect("bytes are taken");
    let newcomer = scenario.writer(&(0..100_000)).await;
    let why = tokio::time::timeout(STEP, holder.ended()).await.expect("it is told");
    assert_eq!(why, Ended::Superseded);
    let done = interrupted(holder).await.expect("an interrupt is no error");
    assert_eq!((done.counted_bytes, done.state.offset), (0, 0));
    finish_with(newcomer, &scenario, 0..100_000).await;
    scenario.publish().await;
}

/// After its end a writer's bytes go nowhere, whatever its caller still does.
pub async fn an_ended_writer_writes_no_more(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 74, 100_000).await;
    let wrong = content(96, 100_000);
    let mut holder = scenario.writer(&(0..100_000)).await;
    holder.append(scenario.bytes(&(0..10_000))).await.expect("bytes are taken");
    let newcomer = scenario.writer(&(0..100_000)).await;
    let late = match holder.append(&wrong[10_000..]).await {
        Ok(()) => acknowledged(holder).await.map(|_| ()),
        Err(error) => Err(error),
    };
    assert!(matches!(late, Err(StoreError::Superseded)), "{late:?}");
    finish_with(newcomer, &scenario, 0..100_000).await;
    scenario.publish().await;
}

/// Who waited for a range that was then stored need not send it.
pub async fn a_newcomer_finds_stored_what_it_waited_for(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 75, 100_000).await;
    let mut holder = scenario.writer(&(0..60_000)).await;
    holder.append(scenario.bytes(&(0..60_000))).await.expect("bytes are taken");
    let range = 20_000..60_000;
    let newcomer = scenario.claim(&range);
    tokio::pin!(newcomer);
    assert!(is_pending(newcomer.as_mut()).await, "the range was given out twice");
    acknowledged(holder).await.expect("the range counts");
    assert_eq!(expect_stored(newcomer.await).offset, 60_000);
    scenario.publish().await;
}

/// With every place taken by a live request another one is told to come again.
pub async fn writers_max_refuses_while_all_are_alive(fixture: &dyn Fixture) {
    let places = u64::from(fixture.limits().writers_max);
    let scenario = Scenario::new(fixture, 76, (places + 1) * 1_000).await;
    let mut writers = Vec::new();
    for place in 0..places {
        let range = place * 1_000..(place + 1) * 1_000;
        let mut writer = scenario.writer(&range).await;
        writer.append(scenario.bytes(&(range.start..range.start + 1))).await.expect("taken");
        writers.push((writer, range));
    }
    let error = expect_refusal(scenario.claim(&(places * 1_000..places * 1_000 + 1)).await);
    let StoreError::Busy { retry_after_ms, .. } = error else { panic!("{error}") };
    assert!((1..=60_000).contains(&retry_after_ms), "come again in {retry_after_ms} ms");
    for (mut writer, range) in writers {
        let rest = range.start + 1..range.end;
        writer.append(scenario.bytes(&rest)).await.expect("nobody was ended");
        acknowledged(writer).await.expect("nobody was ended");
    }
    scenario.publish().await;
}

/// With every place taken the longest-silent request makes room once it has been silent long enough; the others stay.
pub async fn writers_max_ends_the_longest_silent(fixture: &dyn Fixture) {
    let limits = fixture.limits();
    let places = u64::from(limits.writers_max);
    let scenario = Scenario::new(fixture, 77, (places + 1) * 1_000).await;
    let mut writers = Vec::new();
    for place in 0..places {
        let range = place * 1_000..(place + 1) * 1_000;
        let mut writer = scenario.writer(&range).await;
        writer.append(scenario.bytes(&(range.start..range.start + 100))).await.expect("taken");
        writers.push(writer);
    }
    let silent = 3;
    let until = tokio::time::Instant::now() + limits.writer_evict_silent * 2;
    for step in 100.. {
        for (place, writer) in (0..places).zip(&mut writers).filter(|(place, _)| *place != silent) {
            let position = place * 1_000 + step;
            writer.append(scenario.bytes(&(position..position + 1))).await.expect("alive");
            writer.flush().await.expect("alive");
        }
        if tokio::time::Instant::now() > until {
            break;
        }
        tokio::time::sleep(limits.writer_evict_silent / 10).await;
    }
    let newcomer = scenario.writer(&(places * 1_000..places * 1_000 + 1_000)).await;
    for (place, writer) in (0..places).zip(&mut writers) {
        assert_eq!(is_running(writer.ended()).await, place != silent, "writer {place}");
    }
    finish_with(newcomer, &scenario, places * 1_000..places * 1_000 + 1_000).await;
    for (place, writer) in (0..places).zip(writers) {
        let counted = interrupted(writer).await.expect("what came counts").counted_bytes;
        assert!(if place == silent { counted == 100 } else { counted > 100 }, "{place}: {counted}");
    }
    scenario.publish().await;
}

/// A slice that is stored is answered as stored, in whole and in part, and also right after a crash.
pub async fn a_duplicate_is_answered_as_stored(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 78, 100_000).await;
    scenario.put(10_000..90_000).await;
    for crashes in [false, true] {
        if crashes {
            fixture.crash().await;
        }
        for range in [10_000..90_000, 10_000..10_001, 89_999..90_000, 30_000..50_000] {
            let state = expect_stored(scenario.claim(&range).await);
            assert_eq!((state.stored_bytes(), state.writers), (80_000, 0));
        }
        drop(scenario.writer(&(9_999..10_001)).await);
        drop(scenario.writer(&(89_999..90_001)).await);
    }
    scenario.publish().await;
}

/// Other bytes for a stored range are read and dropped; around it they are new and count.
pub async fn an_overlap_never_changes_stored_bytes(fixture: &dyn Fixture) {
    let mut scenario = Scenario::new(fixture, 79, 100_000).await;
    scenario.put(20_000..40_000).await;
    scenario.put(60_000..80_000).await;
    let other = content(95, 100_000);
    let mut writer = scenario.writer(&(0..100_000)).await;
    for block in other.chunks(3_333) {
        writer.append(block).await.expect("bytes are taken");
    }
    let done = acknowledged(writer).await.expect("the gaps count");
    assert_eq!((done.counted_bytes, done.state.offset), (100_000, 100_000));
    for gap in [0..20_000, 40_000..60_000, 80_000..100_000] {
        scenario.content[gap.clone()].copy_from_slice(&other[gap]);
    }
    scenario.publish().await;
}

/// A request that disappears gives its range and its place back.
pub async fn a_dropped_writer_releases_its_range(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 80, 100_000).await;
    let (turns, began) = (2 * fixture.limits().writers_max, std::time::Instant::now());
    for _ in 0..turns {
        let position = scenario.state().await.offset;
        let mut writer = scenario.writer(&(position..100_000)).await;
        let bytes = scenario.bytes(&(position..position + 1_000));
        writer.append(bytes).await.expect("bytes are taken");
        drop(writer);
    }
    let evicting = fixture.limits().claim_silent * turns;
    assert!(began.elapsed() < evicting / 2, "ranges are free only after a silence");
    scenario.check_prefix().await;
    let position = scenario.state().await.offset;
    let writer = scenario.writer(&(position..100_000)).await;
    finish_with(writer, &scenario, position..100_000).await;
    assert_eq!(scenario.state().await.writers, 0);
    scenario.publish().await;
}

/// Sends `range` through a writer that holds it.
async fn finish_with(mut writer: Box<dyn RangeWriter>, scenario: &Scenario<'_>, range: Range<u64>) {
    for block in scenario.bytes(&range).chunks(20_000) {
        writer.append(block).await.expect("bytes are taken");
    }
    let done = acknowledged(writer).await.expect("the range counts");
    assert_eq!(done.counted_bytes, range.end - range.start);
}

/// Whether a writer has not been told to end. Gives the store a moment to tell.
async fn is_running(ended: impl Future<Output = Ended> + Send) -> bool {
    is_pending(std::pin::pin!(ended)).await
}

/// Whether a future still waits after a moment.
async fn is_pending<T>(future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> bool {
    tokio::time::timeout(Duration::from_millis(50), future).await.is_err()
}
