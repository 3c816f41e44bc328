//! Creating, declaring lengths, and writing one request after another.

use uuid::Uuid;

use super::{
    Fixture,
    scenario::{
        Scenario, acknowledged, expect_refusal, expect_stored, expect_writer, interrupted, progress,
    },
};
use crate::{
    digest::DigestChoice,
    error::StoreError,
    store::{Chunk, Claimed, ImageKey, Owned, UploadKey, UploadPhase, UploadSpec},
};

/// Creating again with the same specification changes nothing, also when bytes are stored; another one is refused.
pub async fn create_is_repeatable_and_refuses_another_specification(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 1, 10_000).await;
    scenario.put(0..4_000).await;
    let before = scenario.state().await;
    let spec = UploadSpec { declared_length: Some(10_000), digests: DigestChoice::BOTH };
    scenario.store().create(scenario.owned, spec).await.expect("the same again is success");
    let only_md5 = DigestChoice { md5: true, sha256: false };
    for other in [
        UploadSpec { declared_length: Some(10_001), ..spec },
        UploadSpec { digests: only_md5, ..spec },
    ] {
        let error = scenario.store().create(scenario.owned, other).await;
        assert!(matches!(error, Err(StoreError::AlreadyExists { .. })), "{error:?}");
    }
    assert_eq!(scenario.state().await, before);
    assert_eq!(fixture.store().uploads().await.expect("listed"), [scenario.owned.key]);
}

/// Every operation on an upload that was never created says so and creates nothing.
pub async fn an_unknown_upload_is_not_found(fixture: &dyn Fixture) {
    let store = fixture.store();
    let owned = Owned { key: UploadKey(Uuid::new_v4()), epoch: 1 };
    let chunk = Chunk { offset: 0, length: Some(1), checksum: None };
    let answers = [
        store.state(owned.key).await.map(|_| ()),
        store.declare_length(owned, 5).await,
        store.write(owned, chunk).await.map(|_| ()),
        store.revoke(owned).await.map(|_| ()),
        store.admit(owned).await,
        store.finish(owned, progress().1).await.map(|_| ()),
        store.publish(owned, ImageKey(Uuid::new_v4())).await,
        store.read_upload(owned.key, 0..1).await.map(|_| ()),
    ];
    for (step, answer) in answers.into_iter().enumerate() {
        let right = matches!(answer, Err(StoreError::NotFound { key }) if key == owned.key);
        assert!(right, "operation {step}: {answer:?}");
    }
    assert!(store.uploads().await.expect("listed").is_empty());
}

/// A chunk that ends one byte too far is refused and leaves nothing; one that ends at the length is taken.
pub async fn refuses_a_chunk_beyond_the_length_before_any_byte(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 2, 10_000).await;
    for (offset, bytes) in [(0, 10_001), (9_999, 2), (10_000, 1), (20_000, 1)] {
        let chunk = Chunk { offset, length: Some(bytes), checksum: None };
        let error = expect_refusal(fixture.store().write(scenario.owned, chunk).await);
        let StoreError::BeyondLength { end, length } = error else { panic!("{error}") };
        assert_eq!((end, length), (offset + bytes, 10_000));
    }
    let state = scenario.state().await;
    assert_eq!((state.stored_bytes(), state.writers), (0, 0));
    scenario.put(9_999..10_000).await;
    scenario.publish().await;
}

/// A position near the end of the number range is refused in words, with and without a declared length.
pub async fn refuses_a_chunk_that_overflows(fixture: &dyn Fixture) {
    for scenario in
        [Scenario::new(fixture, 3, 1_000).await, Scenario::undeclared(fixture, 3, 1_000).await]
    {
        for (offset, length) in [(u64::MAX, 2), (1, u64::MAX), (u64::MAX - 1, 10)] {
            let chunk = Chunk { offset, length: Some(length), checksum: None };
            let error = expect_refusal(fixture.store().write(scenario.owned, chunk).await);
            assert!(matches!(error, StoreError::BeyondLength { .. }), "{error}");
        }
        assert_eq!(scenario.state().await.stored_bytes(), 0);
        fixture
            .store()
            .declare_length(scenario.owned, 1_000)
            .await
            .expect("the length can be declared");
        scenario.publish().await;
    }
}

/// The first declared length stands, the same again is success, another one is a conflict that names what stands.
pub async fn first_declared_length_wins(fixture: &dyn Fixture) {
    let scenario = Scenario::undeclared(fixture, 4, 5_000).await;
    assert_eq!(scenario.state().await.declared_length, None);
    let store = fixture.store();
    store.declare_length(scenario.owned, 5_000).await.expect("the first length is taken");
    store.declare_length(scenario.owned, 5_000).await.expect("the same again is success");
    for offered in [0, 4_999, 5_001, u64::MAX] {
        let error = store.declare_length(scenario.owned, offered).await;
        let right = matches!(
            error,
            Err(StoreError::LengthConflict { offered: o, declared: 5_000 }) if o == offered
        );
        assert!(right, "{error:?}");
    }
    assert_eq!(scenario.state().await.declared_length, Some(5_000));
    scenario.publish().await;
}

/// A length below a byte that is stored already cannot be declared; one at the end of the bytes can.
pub async fn a_length_below_stored_bytes_is_a_conflict(fixture: &dyn Fixture) {
    let scenario = Scenario::undeclared(fixture, 5, 5_000).await;
    scenario.put(4_000..5_000).await;
    let error = fixture.store().declare_length(scenario.owned, 4_999).await;
    let right = matches!(error, Err(StoreError::LengthConflict { offered: 4_999, .. }));
    assert!(right, "{error:?}");
    assert_eq!(scenario.state().await.declared_length, None);
    fixture.store().declare_length(scenario.owned, 5_000).await.expect("a fitting length");
    scenario.publish().await;
}

/// A length that is declared while a longer request runs either is refused or cuts that request; never both stand.
pub async fn a_length_declared_under_a_running_writer_stands(fixture: &dyn Fixture) {
    let scenario = Scenario::undeclared(fixture, 6, 10_000).await;
    let mut writer = scenario.writer(&(0..10_000)).await;
    writer.append(scenario.bytes(&(0..4_000))).await.expect("bytes are taken");
    let declared = fixture.store().declare_length(scenario.owned, 6_000).await;
    let appended = writer.append(scenario.bytes(&(4_000..10_000))).await;
    let answer = match appended {
        Ok(()) => acknowledged(writer).await,
        Err(error) => interrupted(writer).await.and(Err(error)),
    };
    let state = scenario.state().await;
    match declared {
        Ok(()) => {
            assert_eq!(state.declared_length, Some(6_000));
            assert!(answer.is_err(), "bytes beyond the length were acknowledged: {answer:?}");
        }
        Err(StoreError::LengthConflict { .. }) => {
            assert_eq!((state.declared_length, state.offset), (None, 10_000));
        }
        Err(error) => panic!("{error}"),
    }
    scenario.check_prefix().await;
}

/// A body of unknown length counts as far as it went.
pub async fn a_body_without_length_ends_where_it_ends(fixture: &dyn Fixture) {
    let scenario = Scenario::undeclared(fixture, 7, 100_000).await;
    for (from, to) in [(0, 70_000), (70_000, 100_000)] {
        let chunk = Chunk { offset: from, length: None, checksum: None };
        let mut writer = expect_writer(fixture.store().write(scenario.owned, chunk).await);
        for block in scenario.bytes(&(from..to)).chunks(9_000) {
            writer.append(block).await.expect("bytes are taken");
        }
        let done = acknowledged(writer).await.expect("the body counts");
        assert_eq!((done.counted_bytes, done.state.offset), (to - from, to));
    }
    fixture.store().declare_length(scenario.owned, 100_000).await.expect("the length");
    scenario.publish().await;
}

/// A body of unknown length may not run over the declared length.
pub async fn a_body_without_length_stops_at_the_declared_length(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 8, 10_000).await;
    let chunk = Chunk { offset: 0, length: None, checksum: None };
    let mut writer = expect_writer(fixture.store().write(scenario.owned, chunk).await);
    writer.append(scenario.bytes(&(0..10_000))).await.expect("bytes inside the length");
    let error = writer.append(b"x").await;
    assert!(matches!(error, Err(StoreError::BeyondLength { .. })), "{error:?}");
    drop(writer);
    assert!(scenario.state().await.offset <= 10_000);
    scenario.publish().await;
}

/// A body that ends early is an error, and yet its bytes count.
pub async fn a_short_body_counts_what_came(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 9, 50_000).await;
    let mut writer = scenario.writer(&(0..50_000)).await;
    writer.append(scenario.bytes(&(0..33_333))).await.expect("bytes are taken");
    let error = acknowledged(writer).await;
    let right =
        matches!(error, Err(StoreError::WrongChunkLength { announced: 50_000, received: 33_333 }));
    assert!(right, "{error:?}");
    assert_eq!(scenario.state().await.offset, 33_333);
    scenario.check_prefix().await;
    scenario.publish().await;
}

/// More bytes than announced are refused and never reach the neighbour's range.
pub async fn more_bytes_than_announced_are_refused(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 10, 20_000).await;
    let mut writer = scenario.writer(&(0..10_000)).await;
    writer.append(scenario.bytes(&(0..9_999))).await.expect("bytes are taken");
    let error = writer.append(scenario.bytes(&(9_999..10_001))).await;
    assert!(matches!(error, Err(StoreError::WrongChunkLength { .. })), "{error:?}");
    drop(interrupted(writer).await);
    let state = scenario.state().await;
    assert!(state.offset <= 10_000, "{state:?}");
    scenario.publish().await;
}

/// A broken body counts as far as it came, whatever the sizes of its pieces, and the rest can follow.
pub async fn interrupt_counts_what_arrived(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 11, 300_000).await;
    let mut position = 0;
    for came in [1, 4_096, 0, 65_536, 12_345, 200_000] {
        let range = position..300_000;
        let mut writer = scenario.writer(&range).await;
        for block in scenario.bytes(&(position..position + came)).chunks(7_777) {
            writer.append(block).await.expect("bytes are taken");
        }
        let done = interrupted(writer).await.expect("what came counts");
        position += came;
        assert_eq!((done.counted_bytes, done.state.offset), (came, position));
        assert_eq!(scenario.state().await, done.state);
    }
    scenario.check_prefix().await;
    scenario.publish().await;
}

/// Slices in any order, with gaps, make the prefix when the gap closes.
pub async fn slices_in_any_order_make_the_prefix(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 12, 100_000).await;
    assert_eq!(scenario.put(60_000..100_000).await.offset, 0);
    assert_eq!(scenario.put(20_000..40_000).await.offset, 0);
    let state = scenario.state().await;
    assert_eq!(state.extents, [20_000..40_000, 60_000..100_000]);
    assert_eq!(scenario.put(0..20_000).await.offset, 40_000);
    assert_eq!(scenario.put(40_000..60_000).await.offset, 100_000);
    let state = scenario.state().await;
    assert_eq!((state.extents.len(), state.stored_bytes()), (1, 100_000));
    assert!(state.is_complete() && state.phase == UploadPhase::Open);
    scenario.publish().await;
}

/// One island too many is refused with the offset to go on from; the prefix always grows, and closing gaps makes room.
pub async fn extents_max_refuses_an_island_but_not_the_prefix(fixture: &dyn Fixture) {
    let islands = fixture.limits().extents_max as u64;
    let scenario = Scenario::new(fixture, 13, (islands + 3) * 2_000).await;
    scenario.put(0..500).await;
    for island in 1..islands {
        scenario.put(island * 2_000..island * 2_000 + 1_000).await;
    }
    assert_eq!(scenario.state().await.extents.len() as u64, islands);
    let beyond = islands * 2_000 + 500..islands * 2_000 + 600;
    let error = expect_refusal(scenario.claim(&beyond).await);
    assert!(matches!(error, StoreError::TooManyExtents { offset: 500 }), "{error}");
    assert_eq!(scenario.put(500..1_000).await.offset, 1_000);
    assert_eq!(scenario.put(1_000..2_000).await.offset, 3_000);
    scenario.put(beyond).await;
    scenario.publish().await;
}

/// A chunk of no bytes is as good as stored, and takes nobody's place.
pub async fn an_empty_chunk_changes_nothing(fixture: &dyn Fixture) {
    let scenario = Scenario::new(fixture, 14, 1_000).await;
    let before = scenario.state().await;
    for offset in [0, 500, 1_000] {
        match scenario.claim(&(offset..offset)).await.expect("nothing is nothing") {
            Claimed::Writer(writer) => {
                let done = acknowledged(writer).await.expect("nothing counts as nothing");
                assert_eq!(done.counted_bytes, 0);
            }
            Claimed::AlreadyStored(state) => assert_eq!(state, before),
        }
    }
    assert_eq!(scenario.state().await, before);
    scenario.put(0..1_000).await;
    assert_eq!(expect_stored(scenario.claim(&(0..1_000)).await).offset, 1_000);
}
