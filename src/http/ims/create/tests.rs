//! Which bodies are taken, and what is told of the others.

use serde_json::{Map, json};

use super::*;

fn fields(body: &Value, more: &Value) -> Fields {
    let mut fields: Map<String, Value> = body.as_object().unwrap().clone();
    fields.extend(more.as_object().unwrap().clone());
    Fields::new(fields)
}

fn code(outcome: Result<NewJob, Fault>) -> (u16, String, String) {
    let Err(Fault::Told { status, code, words, .. }) = outcome else {
        panic!("taken: {outcome:?}");
    };
    (status.as_u16(), code.code().to_owned(), words)
}

#[test]
fn what_ims_knows_of_an_image_is_kept() {
    let body = json!({
        "name": "debian 12", "image_url": "upload://debian-12.qcow2", "min_disk": 40,
        "description": "d", "os_type": "Linux", "os_version": "Debian GNU/Linux 12.0 64bit",
        "type": "ECS", "architecture": "arm", "min_ram": 512, "max_ram": 4096,
        "hw_firmware_type": "uefi", "is_config": false, "is_quick_import": false,
        "data_images": [], "enterprise_project_id": "0", "cmk_id": null, "instance_id": "",
        "image_tags": [{"key": "stage", "value": "test"}],
    });
    let new = system_disk(fields(&body, &json!({}))).unwrap();
    let image = new.image.clone().checked().unwrap();
    assert_eq!(image.url.as_deref(), Some("upload://debian-12.qcow2"));
    assert_eq!(image.guest_os_type.as_deref(), Some("Debian GNU/Linux 12.0 64bit"));
    assert_eq!(image.architecture.as_deref(), Some("aarch64"));
    assert_eq!(image.media(), MediaType::RootVolumeTemplate);
    assert_eq!(new.user_tags, ["stage=test"]);
    assert_eq!(
        new.system_tags,
        [
            "imsMinDisk::40",
            "imsMinRam::512",
            "imsMaxRam::4096",
            "imsFirmware::uefi",
            "imsType::ECS"
        ]
    );
    let iso = json!({"name": "d", "min_disk": 1, "type": "IsoImage", "os_version": "Windows 11"});
    let iso = system_disk(fields(&iso, &json!({}))).unwrap().image.checked().unwrap();
    assert_eq!((iso.media(), iso.platform.as_deref()), (MediaType::Iso, Some("Windows")));
    assert_eq!(iso.url.as_deref(), Some("upload://d"));
    let data = json!({"name": "d", "min_disk": 40, "tags": ["a.b"]});
    let data = data_disk(fields(&data, &json!({}))).unwrap();
    assert_eq!(data.image.checked().unwrap().media(), MediaType::DataVolumeTemplate);
    assert_eq!(data.user_tags, ["a.b"]);
}

#[test]
fn every_bad_field_has_its_code() {
    let good = json!({"name": "a", "min_disk": 40});
    assert!(system_disk(fields(&good, &json!({}))).is_ok());
    for (more, expected) in [
        (json!({"name": null}), "IMG.0013"),
        (json!({"name": ""}), "IMG.0013"),
        (json!({"name": 7}), "IMG.0002"),
        (json!({"name": "x".repeat(129)}), "IMG.0002"),
        (json!({"name": " a"}), "IMG.0002"),
        (json!({"name": "a/b"}), "IMG.0002"),
        (json!({"name": "a\u{0}"}), "IMG.0002"),
        (json!({"description": 1}), "IMG.0004"),
        (json!({"description": "x".repeat(1025)}), "IMG.0004"),
        (json!({"description": "<b>"}), "IMG.0004"),
        (json!({"min_disk": null}), "IMG.0055"),
        (json!({"min_disk": 0}), "IMG.0055"),
        (json!({"min_disk": 1025}), "IMG.0055"),
        (json!({"min_disk": "40"}), "IMG.0055"),
        (json!({"min_disk": -1}), "IMG.0055"),
        (json!({"min_disk": 1.5}), "IMG.0055"),
        (json!({"min_ram": "1"}), "IMG.0055"),
        (json!({"max_ram": 4_194_305}), "IMG.0055"),
        (json!({"os_type": "BeOS"}), "IMG.0122"),
        (json!({"os_type": 1}), "IMG.0122"),
        (json!({"os_version": []}), "IMG.0056"),
        (json!({"os_version": "x".repeat(256)}), "IMG.0056"),
        (json!({"type": "DISK"}), "IMG.0024"),
        (json!({"architecture": "mips"}), "IMG.0001"),
        (json!({"hw_firmware_type": "efi"}), "IMG.0001"),
        (json!({"image_url": 1}), "IMG.0057"),
        (json!({"image_url": "x".repeat(1025)}), "IMG.0057"),
        (json!({"image_url": "bucket:file.qcow2"}), "IMG.0069"),
        (json!({"image_url": "upload://"}), "IMG.0069"),
        (json!({"image_url": "http://a/b"}), "IMG.0069"),
        (json!({"instance_id": "i"}), "IMG.0105"),
        (json!({"volume_id": "v"}), "IMG.0105"),
        (json!({"cmk_id": "c"}), "IMG.0105"),
        (json!({"is_config": true}), "IMG.0105"),
        (json!({"is_config": "true"}), "IMG.0001"),
        (json!({"is_quick_import": true}), "IMG.0105"),
        (json!({"data_images": [{}]}), "IMG.0105"),
        (json!({"data_images": {}}), "IMG.0001"),
        (json!({"enterprise_project_id": "x"}), "IMG.0105"),
        (json!({"tags": "a"}), "IMG.0115"),
        (json!({"tags": [1]}), "IMG.0115"),
        (json!({"tags": [""]}), "IMG.0115"),
        (json!({"tags": vec!["a"; 21]}), "IMG.0115"),
        (json!({"image_tags": [{"key": "a"}]}), "IMG.0115"),
        (json!({"image_tags": [{"key": "a", "value": 1}]}), "IMG.0115"),
        (json!({"image_tags": ["a"]}), "IMG.0115"),
        (json!({"tags": ["a"], "image_tags": [{"key": "a", "value": "b"}]}), "IMG.0115"),
        (json!({"nmae": "a"}), "IMG.0001"),
    ] {
        let (status, code, words) = code(system_disk(fields(&good, &more)));
        assert_eq!((status, code.as_str()), (400, expected), "{more}: {words}");
        assert!(!words.is_empty() && words.len() < 400, "{words}");
    }
    for (more, expected) in [
        (json!({"min_disk": 39}), "IMG.0055"),
        (json!({"min_disk": 2049}), "IMG.0055"),
        (json!({"type": "ECS"}), "IMG.0001"),
        (json!({"volume_id": "v"}), "IMG.0105"),
    ] {
        let (_, code, words) = code(data_disk(fields(&good, &more)));
        assert_eq!(code, expected, "{more}: {words}");
    }
}
