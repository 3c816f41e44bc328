//! Jobs whose bytes do not come.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Job, Plane, content, sent};

/// Waits for a state; answers what the job's result says by then.
async fn becomes(plane: &Plane, job: &Job, state: &str) -> Value {
    let url = plane.url(&format!("/zstack/v1/longjobs/{}", job.uuid));
    let begun = Instant::now();
    loop {
        let (_, reply) = sent(plane.with_session(plane.http.get(&url))).await;
        let inventory = &reply["inventories"][0];
        if inventory["state"] == state {
            return serde_json::from_str(inventory["jobResult"].as_str().unwrap()).unwrap();
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "not {state}: {reply}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_job_is_suspended_and_its_next_bytes_wake_it() {
    let plane = Plane::start(&[("LONGSHORE_UPLOADS__IDLE_SUSPEND_SECS", "1")]).await;
    let image = content(1000);
    let job = plane.submit("silent", &[]).await;
    assert_eq!(sent(plane.put(&job.url, 0, &image[..400], 1000)).await.0, 200);
    let result = becomes(&plane, &job, "Suspended").await;
    let words = format!(
        "some error interrupt long job[uuid:{}], analysis the cause to fix it and resume long job if you want to continue.",
        job.uuid
    );
    assert_eq!(result["detail"], words);
    assert_eq!(result["cause"], "uploading has been inactive more than 1 sec");
    assert_eq!(plane.state(&job.url).await["offset"], 400, "its bytes are kept");

    let (status, state) = sent(plane.put(&job.url, 400, &image[400..], 1000)).await;
    assert_eq!((status, &state["state"]), (200, &Value::from("Succeeded")), "{state}");
    assert_eq!(becomes(&plane, &job, "Succeeded").await["inventory"]["status"], "Ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_any_byte_fails_and_leaves_no_image() {
    let plane = Plane::start(&[("LONGSHORE_UPLOADS__IDLE_FAIL_SECS", "1")]).await;
    let job = plane.submit("never", &[]).await;
    let result = becomes(&plane, &job, "Failed").await;
    assert!(result["detail"].as_str().unwrap().contains("upload session expired"), "{result}");
    let image = plane.url(&format!("/zstack/v1/images/{}", job.image));
    let (_, images) = sent(plane.with_session(plane.http.get(image))).await;
    assert_eq!(images["inventories"], Value::Array(Vec::new()));
    assert_eq!(sent(plane.put(&job.url, 0, b"x", 1)).await.0, 410);
}
