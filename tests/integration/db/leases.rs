//! Who owns an upload, and its fencing number.

use futures::future::join_all;
use longshore::{
    db::{Leased, MoveJob},
    domain::{
        ids::{NodeUuid, UploadUuid},
        job_state::JobState,
        upload::UploadFate,
    },
};
use rstest::rstest;

use super::records::{recorded, to};
use crate::support::databases::TestDb;

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn epochs_rise_with_every_change_of_hands(#[case] db: TestDb) {
    let uuid = recorded(&db).await.upload.uuid;
    let (ours, theirs) = (NodeUuid::random(), NodeUuid::random());
    let lease = async |node, now_ms, until_ms| {
        db.db.lease_upload(uuid, node, now_ms, until_ms).await.unwrap()
    };
    assert_eq!(lease(ours, 100, 200).await, Leased::Ours { epoch: 1 }, "the first");
    assert_eq!(lease(ours, 150, 250).await, Leased::Ours { epoch: 1 }, "renewed");
    assert_eq!(lease(theirs, 249, 400).await, Leased::Held, "one millisecond left");
    assert_eq!(lease(theirs, 250, 400).await, Leased::Ours { epoch: 2 }, "taken over");
    assert_eq!(lease(ours, 399, 500).await, Leased::Held, "the old owner learns of it");
    assert_eq!(lease(theirs, 400, 500).await, Leased::Ours { epoch: 3 }, "its own, after the end");
    let upload = db.db.upload(uuid).await.unwrap().unwrap();
    assert_eq!((upload.owner, upload.owner_epoch, upload.lease_until_ms), (Some(theirs), 3, 500));
    let missing = db.db.lease_upload(UploadUuid::random(), ours, 1, 2).await.unwrap();
    assert_eq!(missing, Leased::Missing);
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_nodes_gets_a_lease_that_ended(#[case] db: TestDb) {
    let uuid = recorded(&db).await.upload.uuid;
    for (round, now) in (1..=5).zip((100..).step_by(100)) {
        let nodes = (0..20).map(|_| {
            let db = db.db.clone();
            let until = now + 100;
            tokio::spawn(async move {
                db.lease_upload(uuid, NodeUuid::random(), now, until).await.unwrap()
            })
        });
        let outcomes = join_all(nodes).await.into_iter().map(Result::unwrap).collect::<Vec<_>>();
        let won = outcomes.iter().filter(|o| **o == Leased::Ours { epoch: round }).count();
        let held = outcomes.iter().filter(|o| **o == Leased::Held).count();
        assert_eq!((won, held), (1, 19), "{outcomes:?}");
    }
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn renewing_all_renews_ones_own_open_uploads(#[case] db: TestDb) {
    let (ours, theirs) = (NodeUuid::random(), NodeUuid::random());
    let mut uploads = Vec::new();
    for node in [ours, ours, ours, theirs] {
        let new = recorded(&db).await;
        let _ = db.db.lease_upload(new.upload.uuid, node, 100, 200).await.unwrap();
        uploads.push(new);
    }
    let end = MoveJob { fate: Some(UploadFate::Discarded), ..to(&uploads[2], 1, JobState::Failed) };
    let _ = db.db.move_job(end).await.unwrap();
    assert_eq!(db.db.renew_leases(ours, 900).await.unwrap(), 2);
    let mut until = Vec::new();
    for new in &uploads {
        let upload = db.db.upload(new.upload.uuid).await.unwrap().unwrap();
        until.push((upload.lease_until_ms, upload.owner_epoch));
    }
    assert_eq!(until, [(900, 1), (900, 1), (200, 1), (200, 1)]);
    assert_eq!(db.db.renew_leases(NodeUuid::random(), 999).await.unwrap(), 0);
}
