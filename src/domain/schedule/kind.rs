//! What a job of the scheduler can do, and how it is told to.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::domain::text::shown;

/// What a job of the scheduler does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobType {
    /// Fails unfinished jobs whose last byte is too old, and leads on what nobody else would.
    ExpireUploads,
    /// Removes for good what was deleted or set aside long enough ago.
    PurgeDeletedImages,
    /// Reads images again, the one that was not looked at for longest first, and compares both digests.
    ScrubImages,
    /// Compares the files of the store with the records, and repairs what is safe.
    ReconcileStore,
    /// Removes results of calls, sessions and runs that are old enough.
    PruneRecords,
    /// Reads one image again and compares both digests.
    VerifyImage,
}

impl JobType {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::ExpireUploads,
        Self::PurgeDeletedImages,
        Self::ScrubImages,
        Self::ReconcileStore,
        Self::PruneRecords,
        Self::VerifyImage,
    ];

    /// Its name in rows and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ExpireUploads => "expireUploads",
            Self::PurgeDeletedImages => "purgeDeletedImages",
            Self::ScrubImages => "scrubImages",
            Self::ReconcileStore => "reconcileStore",
            Self::PruneRecords => "pruneRecords",
            Self::VerifyImage => "verifyImage",
        }
    }

    /// The type with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether a run may take hours: such runs do not keep the others waiting.
    pub const fn is_long(self) -> bool {
        match self {
            Self::ScrubImages | Self::VerifyImage | Self::ReconcileStore => true,
            Self::ExpireUploads | Self::PurgeDeletedImages | Self::PruneRecords => false,
        }
    }

    /// The parameters that it takes.
    const fn takes(self) -> &'static [Parameter] {
        match self {
            Self::ScrubImages => &[MEBIBYTES_PER_SEC, SECS_PER_RUN, AGAIN_AFTER_DAYS],
            Self::VerifyImage => &[MEBIBYTES_PER_SEC],
            Self::PruneRecords => &[HISTORY_DAYS],
            Self::ReconcileStore => &[REPAIR],
            Self::ExpireUploads | Self::PurgeDeletedImages => &[],
        }
    }
}

/// A whole number that a job can be given.
struct Parameter {
    name: &'static str,
    range: RangeInclusive<u32>,
    default: u32,
}

const MEBIBYTES_PER_SEC: Parameter =
    Parameter { name: "mebibytesPerSec", range: 1..=100_000, default: 64 };
const SECS_PER_RUN: Parameter =
    Parameter { name: "secsPerRun", range: 1..=86_400, default: 10_800 };
const AGAIN_AFTER_DAYS: Parameter =
    Parameter { name: "againAfterDays", range: 0..=3650, default: 30 };
const HISTORY_DAYS: Parameter = Parameter { name: "historyDays", range: 1..=3650, default: 30 };
/// `true` and `false` are 1 and 0.
const REPAIR: Parameter = Parameter { name: "repair", range: 0..=1, default: 1 };

/// How a job does what it does: what was given; everything else has its default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters(Vec<(&'static str, u32)>);

impl Parameters {
    /// Reads what a client gave; numbers may come as text, as ZStack's SDKs send them. The error is words that name the parameter.
    pub fn read(job_type: JobType, given: &Map<String, Value>) -> Result<Self, String> {
        let takes = job_type.takes();
        let mut read = Vec::with_capacity(given.len());
        for (name, value) in given {
            let Some(parameter) = takes.iter().find(|parameter| parameter.name == name) else {
                let names: Vec<_> = takes.iter().map(|parameter| parameter.name).collect();
                return Err(format!(
                    "field[parameters]: a job of type[{}] takes [{}], but [{}] found",
                    job_type.name(),
                    names.join(", "),
                    shown(name)
                ));
            };
            let number = number(value).filter(|number| parameter.range.contains(number));
            let number = number.ok_or_else(|| {
                format!(
                    "field[parameters.{name}] has to be a whole number from {} to {}, but [{}] found",
                    parameter.range.start(),
                    parameter.range.end(),
                    shown(&value.to_string())
                )
            })?;
            read.push((parameter.name, number));
        }
        read.sort_unstable();
        Ok(Self(read))
    }

    /// As rows and the wire have them: a JSON object.
    pub fn to_json(&self) -> String {
        let object: Map<String, Value> =
            self.0.iter().map(|(name, number)| ((*name).to_owned(), (*number).into())).collect();
        Value::Object(object).to_string()
    }

    /// From a row.
    pub fn from_json(job_type: JobType, text: &str) -> Option<Self> {
        match serde_json::from_str(text) {
            Ok(Value::Object(object)) => Self::read(job_type, &object).ok(),
            Ok(_) | Err(_) => None,
        }
    }

    fn get(&self, parameter: &Parameter) -> u32 {
        let given = self.0.iter().find(|(name, _)| *name == parameter.name);
        given.map_or(parameter.default, |(_, number)| *number)
    }

    /// Bytes of images that are read in a second.
    pub fn bytes_per_sec(&self) -> u64 {
        u64::from(self.get(&MEBIBYTES_PER_SEC)) << 20
    }

    /// A run begins no further image after so long.
    pub fn secs_per_run(&self) -> u64 {
        self.get(&SECS_PER_RUN).into()
    }

    /// An image is looked at again after so long.
    pub fn again_after_ms(&self) -> i64 {
        i64::from(self.get(&AGAIN_AFTER_DAYS)) * 86_400_000
    }

    /// Runs are remembered so long.
    pub fn history_ms(&self) -> i64 {
        i64::from(self.get(&HISTORY_DAYS)) * 86_400_000
    }

    /// Whether what is safe is repaired.
    pub fn repairs(&self) -> bool {
        self.get(&REPAIR) == 1
    }
}

fn number(value: &Value) -> Option<u32> {
    match value {
        Value::Bool(truth) => Some(u32::from(*truth)),
        Value::Number(number) => {
            let text = number.to_string();
            text.strip_suffix(".0").unwrap_or(&text).parse().ok()
        }
        Value::String(text) => match text.trim() {
            "true" => Some(1),
            "false" => Some(0),
            digits => digits.parse().ok(),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(job_type: JobType, given: Value) -> Result<Parameters, String> {
        let Value::Object(object) = given else { panic!("no object") };
        Parameters::read(job_type, &object)
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for kind in JobType::ALL {
            assert_eq!(JobType::from_name(kind.name()), Some(kind));
        }
        assert_eq!(JobType::from_name("startVm"), None);
    }

    #[test]
    fn parameters_survive_their_row_and_have_defaults() {
        let given = json!({"mebibytesPerSec": "7", "secsPerRun": 60.0, "againAfterDays": 0});
        let parameters = read(JobType::ScrubImages, given).unwrap();
        let back = Parameters::from_json(JobType::ScrubImages, &parameters.to_json());
        assert_eq!(back.as_ref(), Some(&parameters));
        assert_eq!(parameters.bytes_per_sec(), 7 << 20);
        assert_eq!((parameters.secs_per_run(), parameters.again_after_ms()), (60, 0));
        let none = Parameters::default();
        assert_eq!((none.bytes_per_sec(), none.secs_per_run()), (64 << 20, 10_800));
        assert!(none.repairs());
        assert!(!read(JobType::ReconcileStore, json!({"repair": false})).unwrap().repairs());
    }

    #[test]
    fn what_cannot_be_taken_is_named() {
        for (kind, given, words) in [
            (JobType::ExpireUploads, json!({"x": 1}), "takes []"),
            (JobType::ScrubImages, json!({"secsPerRun": 0}), "parameters.secsPerRun"),
            (JobType::ScrubImages, json!({"secsPerRun": -1}), "parameters.secsPerRun"),
            (JobType::ScrubImages, json!({"secsPerRun": 1.5}), "1.5"),
            (JobType::ScrubImages, json!({"secsPerRun": u64::MAX}), "from 1 to 86400"),
            (JobType::ScrubImages, json!({"secsPerRun": [1]}), "secsPerRun"),
            (JobType::PruneRecords, json!({"historyDays": null}), "historyDays"),
            (JobType::ReconcileStore, json!({"repair": "perhaps"}), "repair"),
        ] {
            let error = read(kind, given).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
