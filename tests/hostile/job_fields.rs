//! Every field of a submit call with what does not belong in it. The refusals are told at the poll, as ZStack does.

use serde_json::{Value, json};

use crate::world::World;

/// Submits this jobData; the code and words of the refusal.
fn refusal(world: &World, data: &Value) -> (u16, String) {
    let body = json!({"params": {"jobName": "APIAddImageMsg", "jobData": data}});
    told(world, &body.to_string())
}

fn told(world: &World, body: &str) -> (u16, String) {
    let (status, reply) = world.call("POST", "/zstack/v1/longjobs", body);
    assert!(world.is_alive());
    (status, reply["error"].to_string())
}

fn good() -> Value {
    json!({"name": "x", "url": "upload://x", "format": "raw"})
}

#[test]
fn job_data_that_is_no_object_is_refused() {
    let world = World::start(&[]);
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    let deep_object = "{\"name\":".repeat(5_000) + "1" + &"}".repeat(5_000);
    for (name, data, words) in [
        ("absent", Value::Null, "mandatory"),
        ("empty", json!(""), "mandatory"),
        ("a number", json!(7), "mandatory"),
        ("a list", json!([]), "mandatory"),
        ("no JSON", json!("name=x"), "not JSON"),
        ("half of it", json!("{\"name\":"), "not JSON"),
        ("a list in text", json!("[]"), "not a JSON object"),
        ("null in text", json!("null"), "not a JSON object"),
        ("text in text", json!("\"{}\""), "not a JSON object"),
        ("deep", json!(deep), "recursion"),
        ("deep objects", json!(deep_object), "recursion"),
        ("a number over 64 bits", json!("{\"name\":1e999}"), "not JSON"),
        ("nothing of what it needs", json!("{}"), "mandatory"),
        (
            "NUL by an escape",
            json!("{\"name\":\"a\\u0000\",\"url\":\"upload://x\",\"format\":\"raw\"}"),
            "NUL",
        ),
    ] {
        let (status, error) = refusal(&world, &data);
        assert_eq!(status, 503, "{name}: {error}");
        assert!(error.contains("SYS.1007") && error.contains(words), "{name}: {error}");
        assert!(error.len() < 2000, "{name}: the refusal repeats what was sent");
    }
    // The last of two counts, as the JSON library of the vendor has it.
    let twice = "{\"name\":7,\"name\":\"x\",\"url\":\"upload://x\",\"format\":\"raw\"}";
    assert_eq!(refusal(&world, &json!(twice)).0, 200);
    world.end();
}

#[test]
fn every_field_of_job_data_has_its_type() {
    let world = World::start(&[]);
    let wrong = [json!([]), json!({}), json!({"a": [1]}), json!(["x", "y"]), json!(1.5), json!(-1)];
    let texts = [
        "name",
        "description",
        "url",
        "mediaType",
        "guestOsType",
        "format",
        "platform",
        "architecture",
        "type",
        "resourceUuid",
        "system",
        "virtio",
        "backupStorageUuids",
    ];
    for field in texts {
        for value in wrong.iter().filter(|value| field != "backupStorageUuids" || !value.is_array())
        {
            let mut data = good();
            data[field] = value.clone();
            let (status, error) = refusal(&world, &json!(data.to_string()));
            assert_eq!(status, 503, "{field} {value}: {error}");
            assert!(error.contains("SYS.1007"), "{field} {value}: {error}");
        }
    }
    let long = "x".repeat(5000);
    for (field, value, words) in [
        ("name", long.as_str(), "max length"),
        ("description", &long, "max length"),
        ("guestOsType", &long, "max length"),
        ("url", "http://169.254.169.254/", "upload://"),
        ("url", "file:///etc/passwd", "upload://"),
        ("mediaType", "'; --", "mediaType"),
        ("format", "../raw", "format"),
        ("platform", "Plan9", "platform"),
        ("architecture", "\u{202e}", "architecture"),
        ("type", &long, "max length"),
        ("resourceUuid", "..", "resourceUuid"),
        ("resourceUuid", "00000000-0000-4000-8000-000000000000", "resourceUuid"),
    ] {
        let mut data = good();
        data[field] = json!(value);
        let (status, error) = refusal(&world, &json!(data.to_string()));
        assert!(status == 503 && error.contains(words), "{field} {value}: {status} {error}");
    }
    for storages in [json!([7]), json!(["nope"]), json!(vec!["x"; 10_000])] {
        let mut data = good();
        data["backupStorageUuids"] = storages;
        let (status, error) = refusal(&world, &json!(data.to_string()));
        assert!(status == 503 || status == 413, "{status} {error}");
    }
    world.end();
}

#[test]
fn every_parameter_of_a_submit_has_its_type() {
    let world = World::start(&[]);
    let submit = |field: &str, value: Value| {
        let mut params = json!({"jobName": "APIAddImageMsg", "jobData": good().to_string()});
        params[field] = value;
        told(&world, &json!({ "params": params }).to_string())
    };
    for (field, value, words) in [
        ("jobName", json!([]), "jobName"),
        ("jobName", json!("APIDestroyVmInstanceMsg"), "not an API"),
        ("jobName", json!("x".repeat(256)), "max length"),
        ("name", json!({}), "not a text"),
        ("name", json!("x".repeat(256)), "max length"),
        ("description", json!("x".repeat(2049)), "max length"),
        ("resourceUuid", json!("x"), "resourceUuid"),
        ("resourceUuid", json!("../../../../etc/passwd0000000000"), "resourceUuid"),
        ("systemTags", json!("x"), "list of texts"),
        ("systemTags", json!([7]), "list of texts"),
        ("systemTags", json!([["x"]]), "list of texts"),
        ("systemTags", json!(vec!["x"; 65]), "at most 64"),
        ("userTags", json!(["x".repeat(2049)]), "2048 bytes"),
        ("systemTags", json!(["imageMd5::xyz"]), "hex digits"),
        ("systemTags", json!(["imageSha256::"]), "hex digits"),
    ] {
        let (status, error) = submit(field, value);
        assert!(status == 503 && error.contains(words), "{field}: {status} {error}");
    }
    // Unknown tags are kept, whatever is in them.
    let tags =
        json!(["::", "a::", "uploadimage::x", "\u{202e}::\u{feff}", "'; DROP TABLE jobs; --"]);
    assert_eq!(submit("systemTags", tags).0, 200);
    world.end();
}
