//! A job over its life, as both paths and the list show it.

use longshore::{
    domain::{
        account::Caller,
        add_image::AddImageRequest,
        ids::{ApiId, ImageUuid},
        upload::{Completion, ExpectedDigests},
    },
    jobs::NewJob,
};
use serde_json::Value;

use super::Ims;

const LENGTH: usize = 1000;

/// What differs from run to run is replaced by its name; that it has the right form is checked.
fn golden(job: &Value, ims: &Ims) -> String {
    let mut job = job.clone();
    replace(&mut job, "");
    let id = job["job_id"].as_str().unwrap().to_owned();
    let image = job["entities"]["image_id"].as_str().unwrap_or("none").to_owned();
    let text = serde_json::to_string_pretty(&job).unwrap();
    let text = text.replace(&id, "{job}").replace(&image, "{image}");
    text.replace(&ims.service.base(), "{base}")
}

fn replace(value: &mut Value, name: &str) {
    match value {
        Value::Object(object) => object.iter_mut().for_each(|(name, value)| replace(value, name)),
        Value::Array(list) => list.iter_mut().for_each(|value| replace(value, name)),
        Value::String(text) if name.ends_with("_time") => {
            let time: jiff::Timestamp = text.parse().unwrap();
            assert_eq!(format!("{time:.3}"), *text, "UTC with milliseconds");
            "{time}".clone_into(text);
        }
        Value::String(text) if name == "upload_url" => {
            let at = text.rfind("/v1.").expect("a capability");
            text.replace_range(at + 1.., "{capability}");
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_over_its_life() {
    let ims = Ims::start(&[]).await;
    let jobs = &ims.service.app.jobs;
    let id = ims.made().await;
    insta::assert_snapshot!("begun", golden(&ims.job(&id).await, &ims));
    assert_eq!(ims.send(&id, 0, vec![7; 250], LENGTH).await, 200);
    let running = ims.job(&id).await;
    insta::assert_snapshot!("running", golden(&running, &ims));
    assert_eq!(running["entities"]["process_percent"], 0.25);

    let uuid = id.parse().unwrap();
    let _ = jobs.suspend(ims.caller(), uuid).await.unwrap();
    let suspended = ims.job(&id).await;
    assert_eq!(suspended["status"], "RUNNING");
    assert_eq!(suspended["entities"]["current_task"], "UploadImageTask:Suspended(user)");
    assert_eq!(suspended["entities"]["process_percent"], 0.25, "what is stored stays");
    let _ = jobs.resume(ims.caller(), uuid).await.unwrap();

    assert_eq!(ims.send(&id, 250, vec![7; 750], LENGTH).await, 200);
    let succeeded = ims.job(&id).await;
    insta::assert_snapshot!("succeeded", golden(&succeeded, &ims));
    ims.stop().await;
}

/// Slices come in any order: what has begun waits for nothing, whichever dialect is asked, also while the first slice is late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_with_a_late_first_slice_does_not_wait_for_the_first_bytes() {
    let ims = Ims::start(&[]).await;
    let id = ims.made().await;
    let zstack = async || {
        let url = ims.url(&format!("/zstack/v1/longjobs/{id}"));
        let request = ims.http.get(url).header("Authorization", format!("OAuth {}", ims.token));
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["inventories"][0].clone()
    };
    let before = ims.job(&id).await;
    assert_eq!(before["entities"]["waits_for"], "the first bytes");
    assert_eq!(zstack().await["waitsFor"], "the first bytes");
    assert_eq!(ims.send(&id, 500, vec![7; 250], LENGTH).await, 200);
    let job = ims.job(&id).await;
    assert_eq!(job["entities"]["upload_offset"], 0);
    assert_eq!(job["entities"].get("waits_for"), None, "{job}");
    let url = job["entities"]["upload_url"].as_str().unwrap();
    let native: Value = ims.http.get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!((&native["storedBytes"], native.get("waitsFor")), (&250.into(), None));
    // ZStack's query, and the list, show what was written down, some seconds later.
    let written = tokio::time::timeout(std::time::Duration::from_secs(30), async {
        while zstack().await.get("waitsFor").is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    });
    written.await.expect("the row of a running job says that it waits for the first bytes");
    assert_eq!(zstack().await["state"], "Running");
    let list = ims.get(&format!("/v1/{}/jobs", ims.account)).await;
    assert_eq!(list.body["jobs"][0]["entities"].get("waits_for"), None);
    ims.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_come_to_nothing_say_why() {
    let ims = Ims::start(&[]).await;
    let canceled = ims.made().await;
    assert_eq!(ims.send(&canceled, 0, vec![7; 250], LENGTH).await, 200);
    ims.service.app.jobs.cancel(ims.caller(), canceled.parse().unwrap()).await.unwrap();
    insta::assert_snapshot!("canceled", golden(&ims.job(&canceled).await, &ims));

    let unsafe_image = ims.made().await;
    let mut gzip = vec![0; 600];
    gzip[..2].copy_from_slice(&[0x1f, 0x8b]);
    assert_eq!(ims.send(&unsafe_image, 0, gzip, LENGTH).await, 422);
    let failed = ims.job(&unsafe_image).await;
    insta::assert_snapshot!("failed", golden(&failed, &ims));
    assert_eq!(failed["error_code"], "IMG.0057");
    ims.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_paths_and_both_forms_of_ids_show_the_same() {
    let ims = Ims::start(&[]).await;
    let id = ims.made().await;
    let job = ims.job(&id).await;
    let dashed = |id: &str| {
        let id = uuid::Uuid::parse_str(id).unwrap();
        id.hyphenated().to_string()
    };
    let project = ims.account.to_string();
    for path in [
        format!("/v1/cloudimages/job/{}", dashed(&id)),
        format!("/v1/{project}/jobs/{id}"),
        format!("/v1/{}/jobs/{}", dashed(&project), dashed(&id)),
        format!("/v1/{}/jobs/{}", project.to_uppercase(), id.to_uppercase()),
    ] {
        assert_eq!(ims.get(&path).await.body, job, "{path}");
    }
    let stages = job["entities"]["sub_jobs_result"].as_array().unwrap();
    assert_eq!(stages.len(), 4);
    for stage in stages {
        let path = format!("/v1/{project}/jobs/{}", stage["job_id"].as_str().unwrap());
        assert_eq!(ims.get(&path).await.body, *stage, "{path}");
    }
    let verify = ims.job(&format!("{}-verify", dashed(&id))).await;
    assert_eq!(verify, stages[1]);
    ims.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_job_is_like_one_that_never_was() {
    let ims = Ims::start(&[]).await;
    let admin = ims.service.app.accounts.create_account("other", "a long password", false);
    let other = admin.await.unwrap().uuid;
    let id = ims.made().await;
    let (own, unknown) = (ims.account, "00000000000040008000000000000000");
    // A job of `other`, asked for by `ims`.
    let theirs = longshore::domain::account::Caller { account: other, admin: false };
    let foreign = {
        let jobs = &ims.service.app.jobs;
        jobs.query(theirs, &longshore::domain::query::Query::default()).await.unwrap()
    };
    assert!(foreign.rows.is_empty(), "nobody else sees the job of ims");
    let token = token_of(&ims, "other").await;
    let ask = async |path: String| {
        let request = ims.http.get(ims.url(&path)).header("X-Auth-Token", &token);
        super::Answer::of(request).await
    };
    for path in ["/v1/cloudimages/job/".to_owned(), format!("/v1/{other}/jobs/")] {
        let there = ask(format!("{path}{id}")).await;
        let missing = ask(format!("{path}{unknown}")).await;
        assert_eq!(there.refusal(), (404, "IMG.0023"));
        assert_eq!(missing.refusal(), (404, "IMG.0023"));
        let words = there.body["error"]["message"].as_str().unwrap().replace(&id, unknown);
        assert_eq!(missing.body["error"]["message"], words.as_str());
    }
    for project in [own.to_string(), unknown.to_owned()] {
        for id in [id.as_str(), unknown] {
            let refused = ask(format!("/v1/{project}/jobs/{id}")).await;
            assert_eq!(refused.refusal(), (400, "IMG.0030"));
        }
    }
    assert_eq!(ask(format!("/v1/{other}/jobs")).await.body["total"], 0);
    ims.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_has_pages_and_filters() {
    let ims = Ims::start(&[]).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(ims.made().await);
        // Of one millisecond none is the newer.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    ims.service.app.jobs.cancel(ims.caller(), ids[4].parse().unwrap()).await.unwrap();
    let list = async |query: &str| {
        let path = format!("/v1/{}/jobs{query}", ims.account);
        let answer = ims.get(&path).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let jobs = answer.body["jobs"].as_array().unwrap().clone();
        let ids = jobs.iter().map(|job| job["job_id"].as_str().unwrap().to_owned());
        let ids: Vec<_> = ids.collect();
        assert!(jobs.iter().all(|job| job["entities"].get("upload_url").is_none()));
        (ids, answer.body["total"].as_u64().unwrap())
    };
    let (all, total) = list("").await;
    assert_eq!(total, 5);
    assert!(all.iter().eq(ids.iter().rev()), "the newest first: {all:?} of {ids:?}");
    let mut pages = Vec::new();
    for offset in [0, 2, 4, 6] {
        let (page, total) = list(&format!("?limit=2&offset={offset}")).await;
        assert_eq!(total, 5);
        pages.extend(page);
    }
    assert_eq!(pages, all, "pages neither repeat nor skip");
    assert_eq!(list("?status=FAIL").await.0, [ids[4].clone()]);
    assert_eq!(list("?status=RUNNING").await.1, 4);
    assert_eq!(list("?status=INIT").await.1, 0);
    assert_eq!(list("?name=debian&status=FAIL").await.1, 1);
    assert_eq!(list("?name=ubuntu").await.1, 0);
    ims.stop().await;
}

/// An admin may look into any project, and sees that one alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_sees_the_project_that_it_names() {
    let ims = Ims::start(&[]).await;
    let id = ims.made().await;
    let answer = ims
        .log_in(
            &serde_json::json!({"name": "admin", "password": crate::support::app::PASSWORD}),
            &Value::Null,
        )
        .await;
    let token = answer.subject_token.unwrap();
    let admin = answer.body["token"]["project"]["id"].as_str().unwrap().to_owned();
    let ask = async |path: String| {
        let request = ims.http.get(ims.url(&path)).header("X-Auth-Token", &token);
        super::Answer::of(request).await
    };
    assert_eq!(ask(format!("/v1/cloudimages/job/{id}")).await.status, 200);
    assert_eq!(ask(format!("/v1/{}/jobs/{id}", ims.account)).await.status, 200);
    assert_eq!(ask(format!("/v1/{admin}/jobs/{id}")).await.refusal(), (404, "IMG.0023"));
    assert_eq!(ask(format!("/v1/{admin}/jobs")).await.body["total"], 0);
    assert_eq!(ask(format!("/v1/{}/jobs", ims.account)).await.body["total"], 1);
    ims.stop().await;
}

async fn token_of(ims: &Ims, name: &str) -> String {
    let logged_in = ims.service.app.accounts.log_in_plain(
        longshore::accounts::Login::Name(name),
        "a long password",
        "127.0.0.1".parse().unwrap(),
    );
    logged_in.await.unwrap().session.token.to_string()
}

/// A job of ZStack's: `name` of the job, and of the image under this uuid.
async fn submitted(ims: &Ims, caller: Caller, names: (&str, &str), image: ImageUuid) -> String {
    let new = NewJob {
        uuid: None,
        name: Some(names.0.to_owned()),
        description: None,
        image: AddImageRequest {
            url: Some("upload://a.raw".to_owned()),
            name: Some(names.1.to_owned()),
            format: Some("auto".to_owned()),
            resource_uuid: Some(image.to_string()),
            ..AddImageRequest::default()
        },
        system_tags: Vec::new(),
        user_tags: Vec::new(),
        api_id: ApiId::random(),
        completion: Completion::ByLength,
        expected: ExpectedDigests::default(),
        length: None,
        client_metadata: None,
    };
    ims.service.app.jobs.submit(caller, new).await.unwrap().job.uuid.to_string()
}

/// The uuid of an image that came to nothing is free: who takes it next is nobody's business.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_shows_no_image_but_its_own() {
    let ims = Ims::start(&[]).await;
    let jobs = &ims.service.app.jobs;
    let other = ims.service.app.accounts.create_account("other", "a long password", false);
    let theirs = Caller { account: other.await.unwrap().uuid, admin: false };
    let image = ImageUuid::random();
    let mine = submitted(&ims, ims.caller(), ("job", "mine"), image).await;
    assert_eq!(
        ims.job(&mine).await["entities"]["image_id"],
        image.to_string(),
        "while it is its own"
    );
    jobs.cancel(ims.caller(), mine.parse().unwrap()).await.unwrap();
    let foreign = submitted(&ims, theirs, ("job", "secret"), image).await;
    // Of the same account as well: it is not the image of this job.
    let again = ImageUuid::random();
    let before = submitted(&ims, ims.caller(), ("job", "first"), again).await;
    jobs.cancel(ims.caller(), before.parse().unwrap()).await.unwrap();
    let _ = submitted(&ims, ims.caller(), ("job", "second"), again).await;

    for (id, name) in [(&mine, "mine"), (&before, "first")] {
        let list = ims.get(&format!("/v1/{}/jobs?status=FAIL", ims.account)).await.body;
        let listed = list["jobs"].as_array().unwrap().iter().find(|job| job["job_id"] == **id);
        let listed = listed.unwrap().clone();
        for job in [ims.job(id).await, listed] {
            assert_eq!(job["entities"]["image_id"], Value::Null, "{job}");
            assert_eq!(job["entities"]["image_name"], name, "{job}");
            assert!(!job.to_string().contains("secret") && !job.to_string().contains("second"));
        }
    }
    // Negative control: its owner sees it.
    let token = token_of(&ims, "other").await;
    let path = ims.url(&format!("/v1/cloudimages/job/{foreign}"));
    let shown = super::Answer::of(ims.http.get(path).header("X-Auth-Token", &token)).await;
    assert_eq!(shown.body["entities"]["image_name"], "secret");
    ims.stop().await;
}

/// `name` looks for the job's name, which the answer shows beside the image's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_filtered_by_a_name_that_it_shows() {
    let ims = Ims::start(&[]).await;
    let names = ("the job", "the image");
    let id = submitted(&ims, ims.caller(), names, ImageUuid::random()).await;
    let list = async |name: &str| {
        let answer = ims.get(&format!("/v1/{}/jobs?name={name}", ims.account)).await;
        answer.body["jobs"].as_array().unwrap().clone()
    };
    for found in [list("the%20job").await, list("the+job").await] {
        assert_eq!(found.len(), 1);
        assert_eq!(found[0]["job_id"], id.as_str());
        assert_eq!(found[0]["entities"]["job_name"], names.0);
        assert_eq!(found[0]["entities"]["image_name"], names.1);
    }
    assert!(list("the%20image").await.is_empty());
    ims.stop().await;
}
