//! How IMS says no: `{"error":{"code","message"}}` for what it was asked, and the flat form of its gateway for who asks.

use serde::{Deserialize, Serialize};

/// The body of a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What is wrong.
    pub error: ErrorDetail,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// `IMG.` and four digits.
    pub code: String,
    /// In words: what happened, what is kept, what to do next.
    pub message: String,
}

/// How the gateway before IMS refuses who is not known to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayError {
    /// [`NOT_AUTHENTICATED`].
    pub error_code: String,
    /// In words.
    pub error_msg: String,
    /// As in the header `X-Request-Id`.
    pub request_id: String,
}

/// The gateway's code for a token or a signature that does not hold.
pub const NOT_AUTHENTICATED: &str = "APIGW.0301";

/// The codes of IMS that occur here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// The body, or one of its fields, has a form that is not taken.
    BadFormat,
    /// The name of the image.
    Name,
    /// The description of the image.
    Description,
    /// There is no name.
    NoName,
    /// The job could not be made.
    Submit,
    /// There is no such job that the caller may see, or it could not be looked up.
    Query,
    /// The type of the image.
    ImageType,
    /// The project is not the caller's.
    Project,
    /// Size of memory or disk.
    Size,
    /// The version of the operating system.
    OsVersion,
    /// The file: its name in the request, or its content.
    File,
    /// Too many jobs, or too many requests at once.
    FlowControl,
    /// Something failed that has no code of its own.
    Unknown,
    /// The project id has no form of one.
    ProjectId,
    /// A bucket is asked for.
    Bucket,
    /// Something that this service does not offer.
    NotSupported,
    /// A tag.
    Tags,
    /// The type of the operating system.
    OsType,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::BadFormat,
        Self::Name,
        Self::Description,
        Self::NoName,
        Self::Submit,
        Self::Query,
        Self::ImageType,
        Self::Project,
        Self::Size,
        Self::OsVersion,
        Self::File,
        Self::FlowControl,
        Self::Unknown,
        Self::ProjectId,
        Self::Bucket,
        Self::NotSupported,
        Self::Tags,
        Self::OsType,
    ];

    /// IMS's own number of it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::BadFormat => "IMG.0001",
            Self::Name => "IMG.0002",
            Self::Description => "IMG.0004",
            Self::NoName => "IMG.0013",
            Self::Submit => "IMG.0018",
            Self::Query => "IMG.0023",
            Self::ImageType => "IMG.0024",
            Self::Project => "IMG.0030",
            Self::Size => "IMG.0055",
            Self::OsVersion => "IMG.0056",
            Self::File => "IMG.0057",
            Self::FlowControl => "IMG.0060",
            Self::Unknown => "IMG.0061",
            Self::ProjectId => "IMG.0067",
            Self::Bucket => "IMG.0069",
            Self::NotSupported => "IMG.0105",
            Self::Tags => "IMG.0115",
            Self::OsType => "IMG.0122",
        }
    }

    /// The refusal with these words.
    pub fn with(self, message: impl Into<String>) -> ErrorBody {
        ErrorBody { error: ErrorDetail { code: self.code().to_owned(), message: message.into() } }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_has_a_number_of_its_own() {
        let codes: BTreeSet<_> = Code::ALL.iter().map(|code| code.code()).collect();
        assert_eq!(codes.len(), Code::ALL.len());
        for code in codes {
            let digits = code.strip_prefix("IMG.").unwrap();
            assert!(digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()), "{code}");
        }
    }
}
