//! `rerunLongJob` on the wire: another upload URL; the old one is gone, in every dialect.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{Job, Plane, content, sent, sha256, slices::slice};

/// A call on a job and its polled answer.
async fn acted(plane: &Plane, job: &Job, action: &str) -> (u16, Value) {
    let url = plane.url(&format!("/zstack/v1/longjobs/{}/actions", job.uuid));
    let request = plane.with_session(plane.http.put(url).json(&json!({ action: {} })));
    let accepted: Value = request.send().await.unwrap().json().await.unwrap();
    let location = accepted["location"].as_str().expect("a location").to_owned();
    loop {
        let poll = plane.http.get(&location).send().await.unwrap();
        if poll.status() != StatusCode::ACCEPTED {
            return super::told(poll).await;
        }
    }
}

fn url_of(inventory: &Value) -> String {
    let result: Value =
        serde_json::from_str(inventory["jobResult"].as_str().expect("a jobResult")).unwrap();
    let path = &result["inventory"]["backupStorageRefs"][0]["installPath"];
    path.as_str().expect("an upload URL").to_owned()
}

async fn details(plane: &Plane, image_id: &str) -> Value {
    let path = format!("/zstack/v1/images/upload-job/details/{image_id}");
    let answer = sent(plane.with_session(plane.http.get(plane.url(&path)))).await;
    assert_eq!(answer.0, 200);
    answer.1["existingJobDetails"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_url_is_gone_and_the_new_one_takes_the_image() {
    let plane = Plane::start(&[]).await;
    let image = content(50_000);
    let job = plane.submit("again", &[]).await;
    let (status, refused) = acted(&plane, &job, "rerunLongJob").await;
    assert_eq!((status, &refused["error"]["code"]), (503, &json!("SYS.1007")));
    assert_eq!(
        refused["error"]["details"],
        "rerun longjob only when it's succeeded, canceled, or failed"
    );
    let (status, refused) = acted(&plane, &job, "cleanLongJob").await;
    assert_eq!((status, &refused["error"]["code"]), (503, &json!("LONG_JOB.1003")));
    assert_eq!(refused["error"]["details"], "not supported or state is not Canceling");

    assert_eq!(sent(plane.put(&job.url, 0, &image[..20_000], image.len())).await.0, 200);
    assert_eq!(acted(&plane, &job, "cancelLongJob").await, (200, json!({})));
    let (status, again) = acted(&plane, &job, "rerunLongJob").await;
    let inventory = &again["inventory"];
    assert_eq!((status, &inventory["state"]), (200, &json!("Running")), "{again}");
    assert_eq!(inventory["uuid"], job.uuid.as_str());
    assert_eq!(inventory.get("executeTime"), None);
    let url = url_of(inventory);
    assert_ne!(url, job.url);
    let shown = details(&plane, "again").await;
    assert_eq!(shown.as_array().map(Vec::len), Some(1), "{shown}");
    assert_eq!((&shown[0]["imageUploadUrl"], &shown[0]["offset"]), (&json!(url), &json!(0)));
    assert_eq!(shown[0]["imageUuid"], job.image.as_str());

    // Late requests of the first run: gone, whatever they ask and in whatever dialect.
    assert_eq!(sent(plane.put(&job.url, 20_000, &image[20_000..], image.len())).await.0, 410);
    assert_eq!(sent(plane.http.get(&job.url)).await.0, 410);
    assert_eq!(sent(plane.http.head(&job.url)).await.0, 410);
    assert_eq!(sent(plane.http.delete(&job.url)).await.0, 410);
    let late = slice(&plane, &job.url, 20_000, &image[20_000..], image.len());
    assert_eq!(sent(late).await.0, 410);
    let state = plane.state(&url).await;
    assert_eq!((&state["offset"], &state["state"]), (&json!(0), &json!("Running")), "{state}");

    // Negative control: the same bytes on the new URL are taken.
    assert_eq!(sent(plane.put(&url, 0, &image, image.len())).await.0, 200);
    let state = plane.state(&url).await;
    assert_eq!((&state["state"], &state["sha256"]), (&json!("Succeeded"), &json!(sha256(&image))));
    let (status, refused) = acted(&plane, &job, "rerunLongJob").await;
    assert_eq!((status, &refused["error"]["code"]), (503, &json!("SYS.1007")));
    let words = refused["error"]["details"].as_str().unwrap();
    assert!(words.contains("is Ready") && words.contains("expunge"), "{words}");
    plane.app.stop().await;
}
