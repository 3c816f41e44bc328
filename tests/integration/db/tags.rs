//! Tags one by one, and what they say about an upload.

use longshore::{
    db::{MoveJob, NewTag, NewUploadJob, TagCreated, TagDeleted},
    domain::{
        account::Scope,
        ids::{AccountUuid, ImageUuid, JobUuid, TagUuid},
        job::Stage,
        job_state::JobState,
        query::{Condition, Query},
        tag::{InvalidTag, Resource, TagKind, TagRecord},
    },
};
use rstest::rstest;

use super::records::{NOW_MS, finish, new_job, record, recorded, to};
use crate::support::databases::TestDb;

fn tag(resource: Resource, kind: TagKind, tag: &str) -> NewTag {
    let tag = tag.to_owned();
    NewTag { uuid: TagUuid::random(), resource, kind, tag, tags_max: 5, now_ms: NOW_MS + 9 }
}

async fn give(db: &TestDb, resource: Resource, text: &str) -> TagCreated {
    db.db.create_tag(tag(resource, TagKind::System, text), Scope::All).await.unwrap()
}

async fn given(db: &TestDb, resource: Resource, text: &str) -> TagRecord {
    match give(db, resource, text).await {
        TagCreated::Recorded(tag) => tag,
        other => panic!("{text}: {other:?}"),
    }
}

/// The texts of the system tags that meet these conditions.
async fn found(db: &TestDb, scope: Scope, conditions: &[&str]) -> Vec<String> {
    let conditions = conditions.iter().map(|text| Condition::parse(text).unwrap()).collect();
    let sort = Some(("tag".to_owned(), false));
    let query = Query { conditions, sort, ..Query::default() };
    let page = db.db.tags(TagKind::System, &query, scope).await.unwrap();
    page.rows.into_iter().map(|tag| tag.tag).collect()
}

/// A job without tags.
async fn bare(db: &TestDb) -> NewUploadJob {
    let mut new = new_job(AccountUuid::random());
    (new.system_tags, new.user_tags) = (Vec::new(), Vec::new());
    new.upload.image_id = None;
    new.upload.declared_length = None;
    (new.upload.expected.md5, new.upload.expected.sha256) = (None, None);
    record(db, new).await
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn a_tag_is_given_found_and_deleted(#[case] db: TestDb) {
    let new = bare(&db).await;
    let (own, other) = (Scope::Account(new.job.account), Scope::Account(AccountUuid::random()));
    for resource in [Resource::Job(new.job.uuid), Resource::Image(new.image.uuid)] {
        let wanted = tag(resource, TagKind::System, "cpu::2");
        let refused = db.db.create_tag(wanted.clone(), other).await.unwrap();
        assert_eq!(refused, TagCreated::NoResource, "it is another account's");
        let created = db.db.create_tag(wanted.clone(), own).await.unwrap();
        let made = TagRecord {
            uuid: wanted.uuid,
            account: new.job.account,
            resource,
            kind: TagKind::System,
            tag: "cpu::2".to_owned(),
            created_ms: NOW_MS + 9,
        };
        assert_eq!(created, TagCreated::Recorded(made.clone()));
        let again = tag(resource, TagKind::System, "cpu::2");
        let again = db.db.create_tag(again, own).await.unwrap();
        assert_eq!(again, TagCreated::AlreadyThere(made.clone()));

        let uuid = made.uuid.to_string();
        let by_uuid = format!("uuid={uuid}");
        let by_resource = format!("resourceUuid={}", resource.uuid());
        let by_type = format!("resourceType={}", resource.type_name());
        for conditions in
            [vec![by_uuid.as_str()], vec![&by_resource, &by_type, "tag~=CPU%", "type=System"]]
        {
            assert_eq!(found(&db, own, &conditions).await, ["cpu::2"], "{conditions:?}");
            assert!(found(&db, other, &conditions).await.is_empty(), "{conditions:?}");
        }
        let query = Query::default();
        let users = db.db.tags(TagKind::User, &query, own).await.unwrap();
        assert!(users.rows.is_empty(), "it is no user tag");

        let kept = db.db.delete_tag(made.uuid, other).await.unwrap();
        assert_eq!(kept, TagDeleted::Missing);
        assert_eq!(found(&db, own, &[&by_uuid]).await, ["cpu::2"]);
        assert_eq!(db.db.delete_tag(made.uuid, own).await.unwrap(), TagDeleted::Gone(made.clone()));
        assert_eq!(db.db.delete_tag(made.uuid, own).await.unwrap(), TagDeleted::Missing);
        assert!(found(&db, own, &[&by_uuid]).await.is_empty());
    }
    for nobody in [Resource::Job(JobUuid::random()), Resource::Image(ImageUuid::random())] {
        assert_eq!(give(&db, nobody, "x").await, TagCreated::NoResource);
    }
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn tags_stay_in_order_and_are_bounded(#[case] db: TestDb) {
    let new = recorded(&db).await;
    let image = Resource::Image(new.image.uuid);
    let first = given(&db, image, "first").await;
    given(&db, image, "second").await;
    assert_eq!(
        db.db.delete_tag(first.uuid, Scope::All).await.unwrap(),
        TagDeleted::Gone(first.clone())
    );
    for text in ["b", "a"] {
        given(&db, image, text).await;
    }
    let uuid = new.image.uuid.to_string();
    let texts = async || {
        let tags = db.db.system_tags(std::slice::from_ref(&uuid)).await.unwrap();
        tags.into_iter().map(|(_, tag)| tag).collect::<Vec<_>>()
    };
    assert_eq!(texts().await, ["uploadImage::some file", "a::b", "second", "b", "a"]);
    assert_eq!(give(&db, image, "one more").await, TagCreated::TooMany);
    assert!(matches!(give(&db, image, "a").await, TagCreated::AlreadyThere(_)));
    let user = db.db.create_tag(tag(image, TagKind::User, "mine too"), Scope::All).await.unwrap();
    assert!(matches!(user, TagCreated::Recorded(_)), "kinds are counted apart");
    let on_job = given(&db, Resource::Job(new.job.uuid), "one more").await;
    assert_eq!(on_job.account, new.job.account);
    assert_eq!(texts().await.len(), 5, "a tag of the job is none of the image");
}

/// Several at once neither exceed the bound nor take one another's place.
#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_that_come_at_once_are_bounded(#[case] db: TestDb) {
    let new = bare(&db).await;
    let job = Resource::Job(new.job.uuid);
    let texts: Vec<_> = (0..20).map(|n| format!("t{n}")).collect();
    let all = texts.iter().map(|text| give(&db, job, text));
    let outcomes = futures::future::join_all(all).await;
    let recorded = outcomes.iter().filter(|o| matches!(o, TagCreated::Recorded(_))).count();
    let refused = outcomes.iter().filter(|o| matches!(o, TagCreated::TooMany)).count();
    assert_eq!((recorded, refused), (5, 15));
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn a_tag_of_a_job_steers_its_upload(#[case] db: TestDb) {
    let new = bare(&db).await;
    let job = Resource::Job(new.job.uuid);
    let upload = async || db.db.upload(new.upload.uuid).await.unwrap().unwrap();
    let live = async |id: &str| {
        let id = id.parse().unwrap();
        db.db.live_jobs_of(&id, Scope::All).await.unwrap().len()
    };
    let (md5, sha256) = (format!("imageMd5::{}", "aB".repeat(16)), "cd".repeat(32));
    let sha256 = format!("imageSha256::{sha256}");
    // On the image they are text.
    for text in ["uploadImage::x", "imageSize::7", &md5] {
        given(&db, Resource::Image(new.image.uuid), text).await;
    }
    assert_eq!(upload().await, new.upload);

    let name = given(&db, job, "uploadImage::x").await;
    let size = given(&db, job, "imageSize::7").await;
    let md5_tag = given(&db, job, &md5).await;
    given(&db, job, &sha256).await;
    let steered = upload().await;
    assert_eq!(live("x").await, 1);
    assert_eq!(steered.declared_length, Some(7));
    let (has_md5, has_sha256) = (steered.expected.md5, steered.expected.sha256);
    assert_eq!((has_md5, has_sha256), (Some([0xab; 16]), Some([0xcd; 32])));

    for (text, name) in [
        ("uploadImage::y".to_owned(), "uploadImage"),
        ("imageSize::8".to_owned(), "imageSize"),
        (format!("imageMd5::{}", "00".repeat(16)), "imageMd5"),
        (format!("imageSha256::{}", "00".repeat(32)), "imageSha256"),
    ] {
        let refused = give(&db, job, &text).await;
        assert_eq!(refused, TagCreated::Contradicts(InvalidTag::Contradiction(name)), "{text}");
    }
    assert_eq!(upload().await, steered, "refused is unchanged");
    assert_eq!((live("x").await, live("y").await), (1, 0));

    let heeded = db.db.delete_tag(size.uuid, Scope::All).await.unwrap();
    assert_eq!(heeded, TagDeleted::Heeded(size));
    for tag in [name, md5_tag] {
        let gone = db.db.delete_tag(tag.uuid, Scope::All).await.unwrap();
        assert_eq!(gone, TagDeleted::Gone(tag));
    }
    assert_eq!((live("x").await, upload().await.expected.md5), (0, None));
    given(&db, job, "uploadImage::y").await;
    assert_eq!(live("y").await, 1);
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn no_digest_is_accepted_or_withdrawn_once_it_is_compared(#[case] db: TestDb) {
    let new = bare(&db).await;
    let job = Resource::Job(new.job.uuid);
    let (md5, other) = ("ab".repeat(16), "cd".repeat(32));
    let declared = given(&db, job, &format!("imageMd5::{md5}")).await;
    let verifying = MoveJob { stage: Stage::Verifying, ..to(&new, 1, JobState::Running) };
    let _ = db.db.move_job(verifying).await.unwrap();
    let late = format!("imageSha256::{other}");
    assert!(matches!(give(&db, job, &late).await, TagCreated::TooLate(_)));
    let kept = db.db.delete_tag(declared.uuid, Scope::All).await.unwrap();
    assert_eq!(kept, TagDeleted::Heeded(declared.clone()));
    given(&db, job, "uploadImage::late").await;
    given(&db, job, "cpu::2").await;

    let succeeded = MoveJob { stage: Stage::Publishing, ..to(&new, 2, JobState::Succeeded) };
    let _ = db.db.move_job(succeeded).await.unwrap();
    for late in [late.as_str(), "imageSize::1", "uploadImage::other"] {
        assert!(matches!(give(&db, job, late).await, TagCreated::TooLate(_)), "{late}");
    }
    let again = give(&db, job, "uploadImage::late").await;
    assert!(matches!(again, TagCreated::AlreadyThere(_)), "{again:?}");
    let gone = db.db.delete_tag(declared.uuid, Scope::All).await.unwrap();
    assert_eq!(gone, TagDeleted::Gone(declared));
}

/// A submit call may give a tag twice; one of them is enough to be found by.
#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn the_last_tag_that_says_it_takes_it_back(#[case] db: TestDb) {
    let mut new = new_job(AccountUuid::random());
    new.system_tags = vec!["uploadImage::some file".to_owned(); 2];
    let new = record(&db, new).await;
    let id = "some file".parse().unwrap();
    let resource = format!("resourceUuid={}", new.job.uuid);
    let condition = Condition::parse(&resource).unwrap();
    let query = Query { conditions: vec![condition], ..Query::default() };
    let tags = db.db.tags(TagKind::System, &query, Scope::All).await.unwrap().rows;
    assert_eq!(tags.len(), 2);
    for (tag, left) in tags.iter().zip([1, 0]) {
        let gone = db.db.delete_tag(tag.uuid, Scope::All).await.unwrap();
        assert_eq!(gone, TagDeleted::Gone(tag.clone()));
        assert_eq!(db.db.live_jobs_of(&id, Scope::All).await.unwrap().len(), left);
    }
}

/// Client-chosen uuids of a job and an image may be the same.
#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn tags_go_with_their_own_resource_alone(#[case] db: TestDb) {
    let mut new = new_job(AccountUuid::random());
    let uuid = ImageUuid(new.job.uuid.0);
    (new.job.image, new.image.uuid, new.upload.image) = (uuid, uuid, uuid);
    let new = record(&db, new).await;
    let texts = ["a::b", "uploadImage::some file"];
    let of_type = async |name: &str| {
        let condition = format!("resourceType={name}");
        found(&db, Scope::All, &[&condition]).await
    };
    assert_eq!(
        (of_type("ImageVO").await, of_type("LongJobVO").await),
        (texts.map(str::to_owned).to_vec(), texts.map(str::to_owned).to_vec())
    );
    assert_eq!(db.db.system_tags(&[uuid.to_string()]).await.unwrap().len(), 2);
    finish(&db, &new, JobState::Succeeded).await;
    let _ = db.db.delete_job(new.job.uuid, Scope::All).await.unwrap();
    assert_eq!((of_type("ImageVO").await.len(), of_type("LongJobVO").await.len()), (2, 0));
}
