//! Images and tags.

use longshore::{
    db::{DbError, ImageChange, ImageUpdated, MoveJob, NewUploadJob},
    domain::{
        account::Scope,
        ids::{AccountUuid, ImageUuid},
        image::{ImageRecord, ImageStatus, MediaType},
        job_state::JobState,
        update_image::ImageChanges,
    },
};
use rstest::rstest;

use super::records::{new_job, record, recorded, to};
use crate::support::databases::TestDb;

async fn ready(db: &TestDb) -> NewUploadJob {
    let mut new = recorded(db).await;
    new.image.status = ImageStatus::Ready;
    let image = ImageChange::Replace(Box::new(new.image.clone()));
    let _ = db.db.move_job(MoveJob { image, ..to(&new, 1, JobState::Succeeded) }).await.unwrap();
    new
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn deletion_takes_a_ready_image_of_ones_own(#[case] db: TestDb) {
    let new = ready(&db).await;
    let uuid = new.image.uuid;
    let (own, other) = (Scope::Account(new.job.account), Scope::Account(AccountUuid::random()));
    assert_eq!(db.db.image(uuid, other).await.unwrap(), None);
    assert!(!db.db.mark_image_deleted(uuid, other, 50).await.unwrap());
    assert!(db.db.mark_image_deleted(uuid, own, 50).await.unwrap());
    assert!(!db.db.mark_image_deleted(uuid, own, 60).await.unwrap(), "it is deleted already");
    let mut wanted = new.image.clone();
    wanted.status = ImageStatus::Deleted;
    (wanted.deleted_ms, wanted.last_op_ms) = (Some(50), 50);
    assert_eq!(db.db.image(uuid, own).await.unwrap(), Some(wanted));
    let uploading = recorded(&db).await.image.uuid;
    assert!(!db.db.mark_image_deleted(uploading, Scope::All, 50).await.unwrap());
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn the_longest_deleted_come_first_and_go_for_good(#[case] db: TestDb) {
    let mut uuids = Vec::new();
    for deleted_ms in [300, 100, 200, 400] {
        let uuid = ready(&db).await.image.uuid;
        assert!(db.db.mark_image_deleted(uuid, Scope::All, deleted_ms).await.unwrap());
        uuids.push(uuid);
    }
    let found = async |before, limit| {
        let images = db.db.deleted_images(None, before, limit).await.unwrap();
        images.into_iter().map(|image| image.uuid).collect::<Vec<_>>()
    };
    assert_eq!(found(400, 10).await, [uuids[1], uuids[2], uuids[0]]);
    assert_eq!(found(400, 2).await, [uuids[1], uuids[2]]);
    assert!(found(100, 10).await.is_empty());
    // Page after page, also where many were deleted at one moment.
    let mut paged = Vec::new();
    let mut after = None;
    let tie = ready(&db).await.image.uuid;
    assert!(db.db.mark_image_deleted(tie, Scope::All, 200).await.unwrap());
    while let [image] = &db.db.deleted_images(after, 400, 1).await.unwrap()[..] {
        paged.push(image.uuid);
        after = Some((image.deleted_ms.unwrap(), image.uuid));
    }
    assert_eq!(paged, found(400, 10).await);
    assert_eq!(paged.len(), 4);
    assert!(db.db.remove_image(tie).await.unwrap());
    assert!(db.db.remove_image(uuids[1]).await.unwrap());
    assert!(!db.db.remove_image(uuids[1]).await.unwrap(), "it is gone already");
    assert_eq!(db.db.image(uuids[1], Scope::All).await.unwrap(), None);
    assert_eq!(found(400, 10).await, [uuids[2], uuids[0]]);
    assert!(db.db.system_tags(&[uuids[1].to_string()]).await.unwrap().is_empty());
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn images_are_found_by_many_uuids(#[case] db: TestDb) {
    let mut wanted = vec![recorded(&db).await.image, recorded(&db).await.image];
    let _other = recorded(&db).await;
    let mut asked = (0..1200).map(|_| ImageUuid::random()).collect::<Vec<_>>();
    asked.extend(wanted.iter().map(|image| image.uuid));
    let mut found = db.db.images_by_uuid(&asked).await.unwrap();
    found.sort_by_key(|image| image.uuid);
    wanted.sort_by_key(|image| image.uuid);
    assert_eq!(found, wanted);
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn system_tags_keep_their_order(#[case] db: TestDb) {
    let mut new = new_job(AccountUuid::random());
    let tags = ["z::1", "a::2", "z::1", "Ä::🚢", ""].map(str::to_owned);
    new.system_tags = tags.to_vec();
    let new = record(&db, new).await;
    let _other = recorded(&db).await;
    for resource in [new.job.uuid.to_string(), new.image.uuid.to_string()] {
        let found = db.db.system_tags(std::slice::from_ref(&resource)).await.unwrap();
        let wanted = tags.iter().map(|tag| (resource.clone(), tag.clone())).collect::<Vec<_>>();
        assert_eq!(found, wanted, "user tags are not among them");
    }
    let both = [new.job.uuid.to_string(), new.image.uuid.to_string()];
    assert_eq!(db.db.system_tags(&both).await.unwrap().len(), 10);
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn a_recovered_image_is_not_removed(#[case] db: TestDb) {
    let new = ready(&db).await;
    let uuid = new.image.uuid;
    assert!(!db.db.recover_image(uuid, 40).await.unwrap(), "it is not deleted");
    assert!(!db.db.remove_image(uuid).await.unwrap());
    assert!(db.db.mark_image_deleted(uuid, Scope::All, 50).await.unwrap());
    assert!(db.db.recover_image(uuid, 60).await.unwrap());
    assert!(!db.db.remove_image(uuid).await.unwrap());
    let wanted = ImageRecord { last_op_ms: 60, ..new.image.clone() };
    assert_eq!(db.db.image(uuid, Scope::All).await.unwrap(), Some(wanted));
    let tags = db.db.system_tags(&[uuid.to_string()]).await.unwrap();
    assert_eq!(tags.len(), new.system_tags.len(), "its tags stay with it");
    let uploading = recorded(&db).await.image.uuid;
    assert!(!db.db.recover_image(uploading, 60).await.unwrap());
    assert!(!db.db.remove_image(uploading).await.unwrap());
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_changed_as_a_whole(#[case] db: TestDb) {
    let mut new = ready(&db).await;
    new.image.media_type = MediaType::RootVolumeTemplate;
    let image = ImageChange::Replace(Box::new(new.image.clone()));
    let again = MoveJob { image, ..to(&new, 2, JobState::Succeeded) };
    let _ = db.db.move_job(again).await.unwrap();
    let (uuid, own) = (new.image.uuid, Scope::Account(new.job.account));
    let other = Scope::Account(AccountUuid::random());
    let name = ImageChanges { name: Some("new".to_owned()), ..ImageChanges::default() };
    let missing = db.db.update_image(uuid, other, name.clone(), 70).await.unwrap();
    assert_eq!(missing, ImageUpdated::Missing);
    let wanted = ImageRecord { name: "new".to_owned(), last_op_ms: 70, ..new.image.clone() };
    let done = db.db.update_image(uuid, own, name, 70).await.unwrap();
    assert_eq!(done, ImageUpdated::Done(Box::new(wanted.clone())));
    assert_eq!(db.db.image(uuid, own).await.unwrap(), Some(wanted));

    // Each alone is right, both together are not: whoever comes second sees the first.
    let iso = ImageChanges { media_type: Some("ISO".to_owned()), ..ImageChanges::default() };
    let system = ImageChanges { system: Some(true), ..ImageChanges::default() };
    for round in 0..20 {
        let changes = [iso.clone(), system.clone()];
        let changes = changes.map(|changes| db.db.update_image(uuid, own, changes, 80));
        let outcomes = futures::future::join_all(changes).await;
        let refused = outcomes.into_iter().map(Result::unwrap);
        let refused = refused.filter(|o| matches!(o, ImageUpdated::Refused(_))).count();
        assert_eq!(refused, 1, "round {round}");
        let back = ImageChanges {
            media_type: Some("RootVolumeTemplate".to_owned()),
            system: Some(false),
            ..ImageChanges::default()
        };
        let _ = db.db.update_image(uuid, own, back, 90).await.unwrap();
    }
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn going_from_page_to_page_meets_every_image(#[case] db: TestDb) {
    let mut uuids = Vec::new();
    for _ in 0..6 {
        uuids.push(ready(&db).await.image.uuid);
    }
    uuids.sort_by_key(ToString::to_string);
    let uploading = recorded(&db).await.image.uuid;
    let broken = uuids[3];
    db.sabotage(&format!("UPDATE image SET size = -1 WHERE uuid = '{broken}'")).await;
    let page = db.db.ready_images(None, 2).await.unwrap();
    let mut seen: Vec<_> = page.images.iter().map(|image| image.uuid).collect();
    // One that was seen goes, and shifts the others.
    assert!(db.db.mark_image_deleted(uuids[0], Scope::All, 50).await.unwrap());
    let mut after = page.last;
    let mut unreadable = Vec::new();
    while let Some(last) = after {
        let page = db.db.ready_images(Some(&last), 2).await.unwrap();
        assert!(page.images.len() + page.unreadable.len() <= 2);
        seen.extend(page.images.iter().map(|image| image.uuid));
        unreadable.extend(page.unreadable);
        after = page.last;
    }
    assert_eq!(seen, [uuids[0], uuids[1], uuids[2], uuids[4], uuids[5]]);
    let [(uuid, error)] = &unreadable[..] else { panic!("{unreadable:?}") };
    assert_eq!(*uuid, broken.to_string());
    assert!(matches!(error, DbError::CorruptRow { table: "image", .. }), "{error:?}");

    let to_check = db.db.images_to_check(None, 1, 1, 10).await.unwrap();
    let seen: Vec<_> = to_check.images.iter().map(|image| image.uuid).collect();
    assert_eq!(seen, [uuids[1], uuids[2], uuids[4], uuids[5]]);
    assert_eq!(to_check.unreadable.len(), 1);
    assert_eq!(to_check.last, Some((0, uuids[5].to_string())));

    let mut known = db.db.known_images(&[broken, uploading, ImageUuid::random()]).await.unwrap();
    known.sort_by_key(|uuid| *uuid != broken);
    assert_eq!(known, [broken, uploading]);
}
