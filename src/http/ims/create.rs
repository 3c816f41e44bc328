//! The calls that make an image from a file. The job that they answer takes the file itself, at `entities.upload_url`: nothing is fetched
//! from a bucket, a server or a volume.
//!
//! What IMS keeps beside an image and this service has no field for stands in the job's system tags (`imsMinDisk::40`), so that it is not
//! lost; the tags of the image stand in its user tags (`key=value`).

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::Value;

use super::{
    call::{Call, reply},
    error::Fault,
    fields::Fields,
};
use crate::{
    domain::{
        add_image::AddImageRequest,
        ids::ApiId,
        image::MediaType,
        text::shown,
        upload::{Completion, ExpectedDigests},
    },
    http::{App, json::parse_object},
    jobs::NewJob,
    wire::ims::{Code, Created},
};

/// IMS's bounds.
const NAME_CHARS_MAX: usize = 128;
const DESCRIPTION_CHARS_MAX: usize = 1024;
const URL_CHARS_MAX: usize = 1024;
const OS_VERSION_CHARS_MAX: usize = 255;
const TAGS_MAX: usize = 20;
const TAG_CHARS_MAX: usize = 255;
const SYSTEM_DISK_GB: std::ops::RangeInclusive<u64> = 1..=1024;
const DATA_DISK_GB: std::ops::RangeInclusive<u64> = 40..=2048;
const RAM_MB: std::ops::RangeInclusive<u64> = 0..=4_194_304;
const TYPES: [&str; 5] = ["ECS", "BMS", "FusionCompute", "Ironic", "IsoImage"];

/// The start of a URL that means: the file will be sent.
const UPLOAD: &str = "upload://";

/// `POST /v2/cloudimages/action`
pub(super) async fn image(
    app: web::Data<App>,
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let made = create(&app, &request, payload, system_disk).await;
    reply(&request, made)
}

/// `POST /v1/cloudimages/dataimages/action`
pub(super) async fn data_image(
    app: web::Data<App>,
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let made = create(&app, &request, payload, data_disk).await;
    reply(&request, made)
}

async fn create(
    app: &App,
    request: &HttpRequest,
    payload: web::Payload,
    read: fn(Fields) -> Result<NewJob, Fault>,
) -> Result<Created, Fault> {
    let call = Call::read(app, request, payload).await?;
    let new = read(Fields::new(parse_object(&call.body)?))?;
    let view = app.jobs.submit(call.caller, new).await?;
    Ok(Created { job_id: view.job.uuid.to_string() })
}

/// What both calls have in common.
fn common(fields: &mut Fields) -> Result<NewJob, Fault> {
    let no_source = "an image is made of a file that is sent to the job's upload_url";
    fields.without("instance_id", Code::NotSupported, no_source)?;
    fields.without("volume_id", Code::NotSupported, no_source)?;
    fields.without("cmk_id", Code::NotSupported, "images are not encrypted here")?;
    let project = fields.text("enterprise_project_id", Code::BadFormat, 64)?;
    if project.is_some_and(|project| project != "0") {
        let words = "enterprise_project_id is not offered: there are none here; leave it out, or give 0. Nothing was made";
        return Err(Fault::bad(Code::NotSupported, words));
    }
    let name = name(fields)?;
    let description = fields.text("description", Code::Description, DESCRIPTION_CHARS_MAX)?;
    if description.as_deref().is_some_and(|text| text.contains(['<', '>'])) {
        return Err(Fault::bad(Code::Description, "description must not hold < or >"));
    }
    let image = AddImageRequest {
        url: Some(url(fields, &name)?),
        name: Some(name.clone()),
        description,
        platform: fields
            .word("os_type", Code::OsType, &["Linux", "Windows", "Other"])?
            .map(str::to_owned),
        format: Some("auto".to_owned()),
        ..AddImageRequest::default()
    };
    Ok(NewJob {
        uuid: None,
        name: Some(name),
        description: None,
        image,
        system_tags: Vec::new(),
        user_tags: tags(fields)?,
        api_id: ApiId::random(),
        completion: Completion::ByLength,
        expected: ExpectedDigests::default(),
        length: None,
        client_metadata: None,
    })
}

fn system_disk(mut fields: Fields) -> Result<NewJob, Fault> {
    let mut new = common(&mut fields)?;
    for name in ["is_config", "is_quick_import"] {
        if fields.flag(name)? {
            let words = format!(
                "{name} is not offered: an image is kept as it was sent; leave it out. Nothing was made"
            );
            return Err(Fault::bad(Code::NotSupported, words));
        }
    }
    if !fields.list("data_images", Code::BadFormat, 3)?.is_empty() {
        let words = "data_images is not offered: send each data disk as an image of its own (POST /v1/cloudimages/dataimages/action). Nothing was made";
        return Err(Fault::bad(Code::NotSupported, words));
    }
    let version = fields.text("os_version", Code::OsVersion, OS_VERSION_CHARS_MAX)?;
    let is_windows = version.as_deref().is_some_and(|version| version.starts_with("Windows"));
    if new.image.platform.is_none() && is_windows {
        new.image.platform = Some("Windows".to_owned());
    }
    new.image.guest_os_type = version;
    let kind = fields.word("type", Code::ImageType, &TYPES)?;
    if kind == Some("IsoImage") {
        new.image.media_type = Some(MediaType::Iso.name().to_owned());
    }
    let machine = fields.word("architecture", Code::BadFormat, &["x86", "arm"])?;
    new.image.architecture =
        machine.map(|machine| if machine == "arm" { "aarch64" } else { "x86_64" }.to_owned());
    let disk = disk(&mut fields, SYSTEM_DISK_GB)?;
    let min_ram = fields.number("min_ram", Code::Size, RAM_MB)?;
    let max_ram = fields.number("max_ram", Code::Size, RAM_MB)?;
    let firmware = fields.word("hw_firmware_type", Code::BadFormat, &["bios", "uefi"])?;
    let number = |number: u64| number.to_string();
    keep(&mut new, "imsMinDisk", Some(number(disk)));
    keep(&mut new, "imsMinRam", min_ram.map(number));
    keep(&mut new, "imsMaxRam", max_ram.map(number));
    keep(&mut new, "imsFirmware", firmware.map(str::to_owned));
    keep(&mut new, "imsType", kind.map(str::to_owned));
    fields.finish()?;
    Ok(new)
}

fn data_disk(mut fields: Fields) -> Result<NewJob, Fault> {
    let mut new = common(&mut fields)?;
    new.image.media_type = Some(MediaType::DataVolumeTemplate.name().to_owned());
    let disk = disk(&mut fields, DATA_DISK_GB)?;
    keep(&mut new, "imsMinDisk", Some(disk.to_string()));
    fields.finish()?;
    Ok(new)
}

fn keep(new: &mut NewJob, tag: &str, value: Option<String>) {
    new.system_tags.extend(value.map(|value| format!("{tag}::{value}")));
}

/// Letters, digits, spaces and `-_.`, no space at an end.
fn name(fields: &mut Fields) -> Result<String, Fault> {
    let name = fields.text("name", Code::Name, NAME_CHARS_MAX)?;
    let name = name.ok_or_else(|| Fault::bad(Code::NoName, "name is missing"))?;
    let plain = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.');
    if name.trim() != name || !name.chars().all(plain) {
        let words = "name may hold letters, digits, spaces and - _ . and has no space at its ends";
        return Err(Fault::bad(Code::Name, words));
    }
    Ok(name)
}

/// Where the file comes from: from the client, whatever it calls it.
fn url(fields: &mut Fields, name: &str) -> Result<String, Fault> {
    let url = fields.text("image_url", Code::File, URL_CHARS_MAX)?;
    let Some(url) = url else { return Ok(format!("{UPLOAD}{name}")) };
    if url.strip_prefix(UPLOAD).is_some_and(|file| !file.is_empty()) {
        return Ok(url);
    }
    Err(Fault::bad(
        Code::Bucket,
        format!(
            "image_url {} names a bucket, and this service reads none: give upload://<file name>, or leave it out, and send the file to the job's upload_url. Nothing was made",
            shown(&url)
        ),
    ))
}

fn disk(fields: &mut Fields, bounds: std::ops::RangeInclusive<u64>) -> Result<u64, Fault> {
    let words = format!(
        "min_disk is missing: give the size of the disk in GB, {} to {}",
        bounds.start(),
        bounds.end()
    );
    fields.number("min_disk", Code::Size, bounds)?.ok_or_else(|| Fault::bad(Code::Size, words))
}

/// `tags` as they are, `image_tags` as `key=value`.
fn tags(fields: &mut Fields) -> Result<Vec<String>, Fault> {
    let bad = |words: &str| Fault::bad(Code::Tags, words);
    let texts = fields.list("tags", Code::Tags, TAGS_MAX)?;
    let pairs = fields.list("image_tags", Code::Tags, TAGS_MAX)?;
    if !texts.is_empty() && !pairs.is_empty() {
        return Err(bad("give tags or image_tags, not both"));
    }
    let texts = texts.into_iter().map(|tag| match tag {
        Value::String(text) => Ok(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(bad("each of tags has to be a text"))
        }
    });
    let pairs = pairs.into_iter().map(|tag| {
        let text = |name: &str| tag.get(name).and_then(Value::as_str);
        let only = tag.as_object().is_some_and(|tag| tag.len() == 2);
        match (text("key"), text("value")) {
            (Some(key), Some(value)) if only && !key.is_empty() => Ok(format!("{key}={value}")),
            _ => Err(bad("each of image_tags has to be an object of a key and a value")),
        }
    });
    let tags = texts.chain(pairs).collect::<Result<Vec<_>, _>>()?;
    let fits = |tag: &String| (1..=TAG_CHARS_MAX).contains(&tag.chars().count());
    if !tags.iter().all(fits) {
        return Err(bad("a tag has 1 to 255 characters"));
    }
    Ok(tags)
}

#[cfg(test)]
mod tests;
