//! Every code of IMS, provoked over the wire.

use std::collections::BTreeSet;

use longshore::{uploads::Party, wire::ims::Code};
use serde_json::{Value, json};

use super::Ims;

const SYSTEM: &str = "/v2/cloudimages/action";
const DATA: &str = "/v1/cloudimages/dataimages/action";

/// A body that is taken, with this on top.
fn with(more: &Value) -> Value {
    let mut body = json!({"name": "a", "min_disk": 40});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

async fn of_fields(ims: &Ims, seen: &mut BTreeSet<String>) {
    for (path, more, code) in [
        (SYSTEM, json!({"name": ""}), "IMG.0013"),
        (SYSTEM, json!({"name": "a/b"}), "IMG.0002"),
        (SYSTEM, json!({"description": 7}), "IMG.0004"),
        (SYSTEM, json!({"type": "DISK"}), "IMG.0024"),
        (SYSTEM, json!({"min_disk": 0}), "IMG.0055"),
        (DATA, json!({"min_disk": 1}), "IMG.0055"),
        (SYSTEM, json!({"os_version": 1}), "IMG.0056"),
        (SYSTEM, json!({"image_url": []}), "IMG.0057"),
        (DATA, json!({"image_url": "bucket:file"}), "IMG.0069"),
        (SYSTEM, json!({"instance_id": "i"}), "IMG.0105"),
        (DATA, json!({"tags": "a"}), "IMG.0115"),
        (SYSTEM, json!({"os_type": "BeOS"}), "IMG.0122"),
        (SYSTEM, json!({"unknown": 1}), "IMG.0001"),
        (SYSTEM, json!({"architecture": 7}), "IMG.0001"),
        (SYSTEM, json!({"hw_firmware_type": true}), "IMG.0001"),
        (SYSTEM, json!({"is_quick_import": "yes"}), "IMG.0001"),
        (SYSTEM, json!({"is_quick_import": true}), "IMG.0105"),
        (SYSTEM, json!({"max_ram": "1"}), "IMG.0055"),
        (SYSTEM, json!({"instance_id": {}}), "IMG.0105"),
        (SYSTEM, json!({"volume_id": 7}), "IMG.0105"),
        (DATA, json!({"cmk_id": []}), "IMG.0105"),
        (DATA, json!({"enterprise_project_id": 7}), "IMG.0001"),
        (DATA, json!({"enterprise_project_id": "x"}), "IMG.0105"),
        (DATA, json!({"os_version": "Debian"}), "IMG.0001"),
    ] {
        let answer = ims.post(path, &with(&more)).await;
        assert_eq!(answer.refusal(), (400, code), "{path} {more}");
        seen.insert(code.to_owned());
    }
    let list = format!("/v1/{}/jobs", ims.account);
    for (path, status, code) in [
        ("/v1/x/jobs".to_owned(), 400, "IMG.0067"),
        ("/v1/00000000000040008000000000000000/jobs".to_owned(), 400, "IMG.0030"),
        (format!("{list}/00000000000040008000000000000000"), 404, "IMG.0023"),
        (format!("{list}/x"), 404, "IMG.0023"),
        (format!("{list}?limit=0"), 400, "IMG.0001"),
        (format!("{list}?marker=x"), 400, "IMG.0001"),
        (format!("{list}?limit=x"), 400, "IMG.0001"),
        (format!("{list}?limit=201"), 400, "IMG.0001"),
        (format!("{list}?offset=-1"), 400, "IMG.0001"),
        (format!("{list}?status=DONE"), 400, "IMG.0001"),
        (format!("{list}?name={}", "x".repeat(256)), 400, "IMG.0001"),
    ] {
        assert_eq!(ims.get(&path).await.refusal(), (status, code), "{path}");
        seen.insert(code.to_owned());
    }
    assert_eq!(ims.get(&list).await.body["total"], 0, "nothing was made by what was refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_code_is_provoked() {
    let mut seen = BTreeSet::new();
    let ims = Ims::start(&[("LONGSHORE_UPLOADS__OPEN_UPLOADS_MAX", "1")]).await;
    of_fields(&ims, &mut seen).await;

    // Uploads are staged in a folder; here a file stands in its place.
    let staging = ims.service.data_dir().join("uploads");
    let away = ims.service.data_dir().join("away");
    std::fs::rename(&staging, &away).unwrap();
    std::fs::write(&staging, "no folder").unwrap();
    assert_eq!(ims.post(SYSTEM, &with(&json!({}))).await.refusal(), (503, "IMG.0018"));
    std::fs::remove_file(&staging).unwrap();
    std::fs::rename(&away, &staging).unwrap();
    seen.insert("IMG.0018".to_owned());

    let id = ims.made().await;
    assert_eq!(ims.post(SYSTEM, &with(&json!({}))).await.refusal(), (400, "IMG.0060"));
    seen.insert("IMG.0060".to_owned());
    ims.service.app.jobs.cancel(ims.caller(), id.parse().unwrap()).await.unwrap();
    assert_eq!(ims.job(&id).await["error_code"], "IMG.0061");
    seen.insert("IMG.0061".to_owned());
    ims.stop().await;

    let codes: BTreeSet<_> = Code::ALL.iter().map(|code| code.code().to_owned()).collect();
    assert_eq!(seen, codes);
}

/// A body that is no object, too large, or no JSON, is refused in IMS's form and leaves nothing behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_none_is_told() {
    let ims = Ims::start(&[]).await;
    let large = format!(r#"{{"name":"{}"}}"#, "x".repeat(20_000_000));
    for (body, status) in [("[]", 400), ("{", 400), ("7", 400), ("", 400), (large.as_str(), 413)] {
        let request = ims.http.post(ims.url(SYSTEM)).header("X-Auth-Token", &ims.token);
        let answer = super::Answer::of(request.body(body.to_owned())).await;
        assert_eq!(answer.status, status);
        assert!(answer.body["error"]["code"].as_str().unwrap().starts_with("IMG."));
    }
    ims.stop().await;
}

/// More requests at once than one address may have are refused as flow control, and told when to come again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_requests_are_flow_control() {
    let ims = Ims::start(&[("LONGSHORE_UPLOADS__REQUESTS_PER_ADDRESS_MAX", "1")]).await;
    let party = Party::Address("127.0.0.1".parse().unwrap());
    let held = ims.service.app.uploads.admit_request(party).unwrap();
    let list = format!("/v1/{}/jobs", ims.account);
    assert_eq!(ims.get(&list).await.refusal(), (503, "IMG.0060"));
    let request = ims.http.get(ims.url(&list)).header("X-Auth-Token", &ims.token);
    assert!(request.send().await.unwrap().headers().contains_key("retry-after"));
    drop(held);
    assert_eq!(ims.get(&list).await.status, 200);
    ims.stop().await;
}
