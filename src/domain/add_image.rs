//! The request for a new image, in ZStack's terms: every upload begins with one, whatever dialect it came in.

use serde::{Deserialize, Serialize};

use super::{
    image::{ARCHITECTURES, FORMATS, MediaType, PLATFORMS},
    text::shown,
};

/// ZStack's AddImage message (zstack.md 3.1). As JSON it is the `jobData` of the job, with defaults filled in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AddImageRequest {
    /// Mandatory, at most 255 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// At most 2,048 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Mandatory, `upload://<anything>`; nothing is fetched from anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// `RootVolumeTemplate` (default), `ISO`, `DataVolumeTemplate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// At most 255 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest_os_type: Option<String>,
    /// ZStack's flag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<bool>,
    /// One of [`FORMATS`]; what the content shows replaces it in the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// One of [`PLATFORMS`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// One of [`ARCHITECTURES`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// The one storage, or nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup_storage_uuids: Option<Vec<String>>,
    /// `zstack`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub image_type: Option<String>,
    /// ZStack's flag; `true` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtio: Option<bool>,
    /// The image's uuid, where the client chooses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_uuid: Option<String>,
}

/// A field that cannot be taken, in ZStack's words (code SYS.1007).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidField(pub String);

/// ZStack's name of the message, for its texts.
const MESSAGE: &str = "org.zstack.header.image.APIAddImageMsg";

impl AddImageRequest {
    /// Fills defaults in and checks every field but the storage; empty strings count as absent (zstack.md 6.2).
    pub fn checked(mut self) -> Result<Self, InvalidField> {
        for text in [
            &mut self.name,
            &mut self.description,
            &mut self.url,
            &mut self.media_type,
            &mut self.guest_os_type,
            &mut self.format,
            &mut self.platform,
            &mut self.architecture,
            &mut self.image_type,
            &mut self.resource_uuid,
        ] {
            if text.as_deref() == Some("") {
                *text = None;
            }
            if text.as_deref().is_some_and(|text| text.contains('\0')) {
                return Err(InvalidField("a field holds a NUL character".to_owned()));
            }
        }
        mandatory("name", self.name.as_ref())?;
        let url = mandatory("url", self.url.as_ref())?;
        for (field, text, max) in [
            ("name", &self.name, 255),
            ("description", &self.description, 2048),
            ("url", &self.url, 1024),
            ("guestOsType", &self.guest_os_type, 255),
            ("type", &self.image_type, 255),
        ] {
            longest(MESSAGE, field, text.as_deref(), max)?;
        }
        if !url.starts_with("upload://") {
            return Err(InvalidField(format!(
                "url[{}] is not supported: this service takes uploads only; give upload://<file name>",
                shown(url)
            )));
        }
        let media_type = self.media_type.get_or_insert_with(|| "RootVolumeTemplate".to_owned());
        one_of(MESSAGE, "mediaType", media_type, &MediaType::ALL.map(MediaType::name))?;
        if media_type == MediaType::Iso.name() {
            if self.system == Some(true) {
                return Err(InvalidField("ISO cannot be used as system image".to_owned()));
            }
            self.format = Some("iso".to_owned());
        }
        known_format(mandatory("format", self.format.as_ref())?)?;
        let platform = self.platform.get_or_insert_with(|| "Linux".to_owned());
        one_of(MESSAGE, "platform", platform, &PLATFORMS)?;
        if let Some(architecture) = &self.architecture {
            one_of(MESSAGE, "architecture", architecture, &ARCHITECTURES)?;
        }
        if let Some(uuid) = self.resource_uuid.as_deref()
            && !super::ids::is_resource_uuid(uuid)
        {
            return Err(InvalidField(format!(
                "invalid value[{}] of field [resourceUuid]: give a UUID without dashes",
                shown(uuid)
            )));
        }
        self.system.get_or_insert(false);
        self.virtio.get_or_insert(true);
        self.image_type.get_or_insert_with(|| "zstack".to_owned());
        Ok(self)
    }

    /// The media type of a checked request.
    pub fn media(&self) -> MediaType {
        let name = self.media_type.as_deref().unwrap_or_default();
        MediaType::from_name(name).unwrap_or(MediaType::RootVolumeTemplate)
    }
}

fn mandatory<'a>(field: &str, value: Option<&'a String>) -> Result<&'a String, InvalidField> {
    value.ok_or_else(|| {
        InvalidField(format!("field[{field}] of message[{MESSAGE}] is mandatory, can not be null"))
    })
}

/// A text of at most `max` characters.
pub(super) fn longest(
    message: &str,
    field: &str,
    text: Option<&str>,
    max: usize,
) -> Result<(), InvalidField> {
    let actual = text.map_or(0, |text| text.chars().count());
    if actual <= max {
        return Ok(());
    }
    Err(InvalidField(format!(
        "field[{field}] of message[{message}] exceeds max length of string. expected was <= {max}, actual was {actual}"
    )))
}

/// One of the values that a field takes.
pub(super) fn one_of(
    message: &str,
    field: &str,
    value: &str,
    allowed: &[&str],
) -> Result<(), InvalidField> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(InvalidField(format!(
        "valid value for field[{field}] of message[{message}] are [{}], but {} found",
        allowed.join(", "),
        shown(value)
    )))
}

/// One of [`FORMATS`].
pub(super) fn known_format(format: &str) -> Result<(), InvalidField> {
    if FORMATS.contains(&format) {
        return Ok(());
    }
    Err(InvalidField(format!("unknown format[{}]", shown(format))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(json: &str) -> Result<AddImageRequest, InvalidField> {
        serde_json::from_str::<AddImageRequest>(json).unwrap().checked()
    }

    #[test]
    fn defaults_are_filled_in() {
        let checked = request(
            r#"{"name":"debian-12","url":"upload://d.qcow2","format":"qcow2","resourceUuid":"","hash":"x"}"#,
        )
        .unwrap();
        assert_eq!(checked.media(), MediaType::RootVolumeTemplate);
        assert_eq!(checked.platform.as_deref(), Some("Linux"));
        assert_eq!(checked.virtio, Some(true));
        assert_eq!(checked.resource_uuid, None);
    }

    #[test]
    fn an_iso_has_the_format_iso() {
        let checked = request(r#"{"name":"d","url":"upload://d","mediaType":"ISO"}"#).unwrap();
        assert_eq!(checked.format.as_deref(), Some("iso"));
        assert!(
            request(r#"{"name":"d","url":"upload://d","mediaType":"ISO","system":true}"#).is_err()
        );
    }

    #[test]
    fn refusals_name_the_field() {
        let long = "x".repeat(256);
        for (json, words) in [
            (r#"{"url":"upload://d","format":"raw"}"#.to_owned(), "field[name]"),
            (r#"{"name":"d","format":"raw"}"#.to_owned(), "field[url]"),
            (r#"{"name":"d","url":"upload://d"}"#.to_owned(), "field[format]"),
            (
                format!(r#"{{"name":"{long}","url":"upload://d","format":"raw"}}"#),
                "<= 255, actual was 256",
            ),
            (r#"{"name":"d","url":"http://x/y","format":"raw"}"#.to_owned(), "takes uploads only"),
            (
                format!(r#"{{"name":"d","url":"ftp://{}","format":"raw"}}"#, "y".repeat(1000)),
                "takes uploads only",
            ),
            (
                format!(r#"{{"name":"d","url":"upload://d","format":"{}"}}"#, "z".repeat(60_000)),
                "unknown format[zzz",
            ),
            (r#"{"name":"d","url":"upload://d","format":"zip"}"#.to_owned(), "unknown format[zip]"),
            (
                r#"{"name":"d","url":"upload://d","format":"raw","platform":"BeOS"}"#.to_owned(),
                "but BeOS found",
            ),
            (r#"{"name":"d\u0000","url":"upload://d","format":"raw"}"#.to_owned(), "NUL"),
            (
                r#"{"name":"d","url":"upload://d","format":"raw","resourceUuid":"../x"}"#
                    .to_owned(),
                "resourceUuid",
            ),
        ] {
            let error = request(&json).unwrap_err().to_string();
            assert!(error.contains(words) && error.len() < 300, "{json}: {error}");
        }
    }
}
