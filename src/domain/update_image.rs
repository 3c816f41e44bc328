//! What a user may change of an image that is there: ZStack's UpdateImage and ChangeImageState.

use serde::Deserialize;

use super::{
    add_image::{InvalidField, known_format, longest, one_of},
    clock::EpochMs,
    image::{ARCHITECTURES, ImageRecord, ImageStatus, MediaType, PLATFORMS},
};

/// Formats that UpdateImage takes: the others are only found in content.
const FORMATS: [&str; 3] = ["raw", "qcow2", "iso"];
/// ZStack's name of the message, for its texts.
const MESSAGE: &str = "org.zstack.header.image.APIUpdateImageMsg";

/// A change of an image's record; what is absent stays. As JSON it is ZStack's UpdateImage message.
///
/// An ISO has the format `iso` and is no system image, before the change and after it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageChanges {
    /// At most 255 characters.
    pub name: Option<String>,
    /// At most 2,048 characters.
    pub description: Option<String>,
    /// At most 255 characters.
    pub guest_os_type: Option<String>,
    /// One of [`MediaType::ALL`].
    pub media_type: Option<String>,
    /// `raw`, `qcow2` or `iso`.
    pub format: Option<String>,
    /// ZStack's flag.
    pub system: Option<bool>,
    /// One of [`PLATFORMS`].
    pub platform: Option<String>,
    /// One of [`ARCHITECTURES`].
    pub architecture: Option<String>,
    /// ZStack's flag.
    pub virtio: Option<bool>,
    /// Whether the image is `Enabled`; by ChangeImageState alone.
    #[serde(skip)]
    pub enabled: Option<bool>,
}

impl ImageChanges {
    /// ChangeImageState: `enable` or `disable`.
    pub fn of_state_event(event: &str) -> Option<Self> {
        let enabled = match event {
            "enable" => true,
            "disable" => false,
            _ => return None,
        };
        Some(Self { enabled: Some(enabled), ..Self::default() })
    }

    /// Checks every field by itself; empty strings count as absent.
    pub fn checked(mut self) -> Result<Self, InvalidField> {
        for text in [
            &mut self.name,
            &mut self.description,
            &mut self.guest_os_type,
            &mut self.media_type,
            &mut self.format,
            &mut self.platform,
            &mut self.architecture,
        ] {
            if text.as_deref() == Some("") {
                *text = None;
            }
            if text.as_deref().is_some_and(|text| text.contains('\0')) {
                return Err(InvalidField("a field holds a NUL character".to_owned()));
            }
        }
        for (field, text, max) in [
            ("name", &self.name, 255),
            ("description", &self.description, 2048),
            ("guestOsType", &self.guest_os_type, 255),
        ] {
            longest(MESSAGE, field, text.as_deref(), max)?;
        }
        if let Some(format) = &self.format {
            known_format(format)?;
            one_of(MESSAGE, "format", format, &FORMATS)?;
        }
        for (field, value, allowed) in [
            ("mediaType", &self.media_type, MediaType::ALL.map(MediaType::name).as_slice()),
            ("platform", &self.platform, &PLATFORMS),
            ("architecture", &self.architecture, &ARCHITECTURES),
        ] {
            if let Some(value) = value {
                one_of(MESSAGE, field, value, allowed)?;
            }
        }
        Ok(self)
    }

    /// The record after the change, as AddImage would have made it.
    pub fn applied(
        &self,
        image: ImageRecord,
        now_ms: EpochMs,
    ) -> Result<ImageRecord, InvalidField> {
        let media_type = self.media_type.as_deref().and_then(MediaType::from_name);
        let media_type = media_type.unwrap_or(image.media_type);
        let system = self.system.unwrap_or(image.system);
        if image.status == ImageStatus::Ready && self.format.as_deref() == Some("auto") {
            let words = "the format of a Ready image is known; auto is for new ones";
            return Err(InvalidField(words.to_owned()));
        }
        let mut format = self.format.clone().unwrap_or(image.format);
        if media_type == MediaType::Iso {
            if system {
                return Err(InvalidField("ISO cannot be used as system image".to_owned()));
            }
            "iso".clone_into(&mut format);
        }
        Ok(ImageRecord {
            name: self.name.clone().unwrap_or(image.name),
            description: self.description.clone().or(image.description),
            guest_os_type: self.guest_os_type.clone().or(image.guest_os_type),
            media_type,
            format,
            system,
            platform: self.platform.clone().unwrap_or(image.platform),
            architecture: self.architecture.clone().or(image.architecture),
            virtio: self.virtio.unwrap_or(image.virtio),
            enabled: self.enabled.unwrap_or(image.enabled),
            last_op_ms: now_ms,
            ..image
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        ids::{AccountUuid, ImageUuid, StorageUuid},
        image::ImageStatus,
    };

    fn image() -> ImageRecord {
        ImageRecord {
            uuid: ImageUuid::random(),
            account: AccountUuid::random(),
            name: "debian".to_owned(),
            description: Some("old".to_owned()),
            enabled: true,
            status: ImageStatus::Ready,
            size: 1,
            actual_size: 2,
            md5: Some("m".to_owned()),
            sha256: None,
            url: "upload://d".to_owned(),
            media_type: MediaType::RootVolumeTemplate,
            guest_os_type: None,
            platform: "Linux".to_owned(),
            architecture: None,
            format: "qcow2".to_owned(),
            system: false,
            virtio: true,
            storage: StorageUuid::random(),
            created_ms: 1,
            last_op_ms: 2,
            deleted_ms: None,
            inspection: None,
        }
    }

    fn changed(json: &str, image: ImageRecord) -> Result<ImageRecord, InvalidField> {
        serde_json::from_str::<ImageChanges>(json).unwrap().checked()?.applied(image, 9)
    }

    #[test]
    fn what_is_absent_or_empty_stays() {
        let before = image();
        let same = changed(r#"{"name":"","description":null,"extra":1}"#, before.clone()).unwrap();
        assert_eq!(same, ImageRecord { last_op_ms: 9, ..before.clone() });
        let all = r#"{"name":"n","description":"d","guestOsType":"g","mediaType":"DataVolumeTemplate",
            "format":"raw","system":true,"platform":"Windows","architecture":"aarch64","virtio":false}"#;
        let after = changed(all, before.clone()).unwrap();
        let text = |text: &str| Some(text.to_owned());
        let wanted = ImageRecord {
            name: "n".to_owned(),
            description: text("d"),
            guest_os_type: text("g"),
            media_type: MediaType::DataVolumeTemplate,
            format: "raw".to_owned(),
            system: true,
            platform: "Windows".to_owned(),
            architecture: text("aarch64"),
            virtio: false,
            last_op_ms: 9,
            ..before.clone()
        };
        assert_eq!(after, wanted);
        let disabled = ImageChanges::of_state_event("disable").unwrap().applied(before, 9).unwrap();
        assert!(!disabled.enabled && disabled.virtio);
        assert_eq!(ImageChanges::of_state_event("Enable"), None);
    }

    #[test]
    fn an_iso_stays_an_iso_and_is_no_system_image() {
        let iso = changed(r#"{"mediaType":"ISO"}"#, image()).unwrap();
        assert_eq!((iso.format.as_str(), iso.media_type), ("iso", MediaType::Iso));
        let words = "ISO cannot be used as system image";
        for (json, system, media_type) in [
            (r#"{"mediaType":"ISO"}"#, true, MediaType::RootVolumeTemplate),
            (r#"{"system":true}"#, false, MediaType::Iso),
            (r#"{"mediaType":"ISO","system":true}"#, false, MediaType::RootVolumeTemplate),
        ] {
            let before = ImageRecord { media_type, system, ..image() };
            assert_eq!(changed(json, before).unwrap_err().to_string(), words, "{json}");
        }
        let kept = changed(r#"{"format":"qcow2"}"#, iso.clone()).unwrap();
        assert_eq!(kept.format, "iso");
        let freed = r#"{"mediaType":"RootVolumeTemplate","format":"raw","system":true}"#;
        assert_eq!(changed(freed, iso).unwrap().format, "raw");
    }

    #[test]
    fn refusals_name_the_field_and_are_short() {
        let long = "x".repeat(60_000);
        for (json, words) in [
            (format!(r#"{{"name":"{long}"}}"#), "expected was <= 255, actual was 60000"),
            (format!(r#"{{"format":"{long}"}}"#), "unknown format[xxx"),
            (r#"{"format":"vmdk"}"#.to_owned(), "are [raw, qcow2, iso], but vmdk found"),
            (format!(r#"{{"mediaType":"{long}"}}"#), "field[mediaType]"),
            (r#"{"platform":"BeOS"}"#.to_owned(), "APIUpdateImageMsg] are [Linux"),
            (r#"{"architecture":"z80"}"#.to_owned(), "but z80 found"),
            (r#"{"description":"a\u0000"}"#.to_owned(), "NUL"),
        ] {
            let error = changed(&json, image()).unwrap_err().to_string();
            assert!(error.contains(words) && error.len() < 320, "{json:.40}: {error}");
        }
    }
}
