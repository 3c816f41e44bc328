//! By what an upload was ended, for machines: the words beside it are for people, and change.

use serde::{Deserialize, Serialize};

use crate::domain::job::Reason;

/// What about the file ended its upload. Absent where it was not the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReasonName {
    /// The content: the inspection refused it.
    Content,
    /// The digests: they are not those that were declared.
    Digests,
    /// Something that a later server tells.
    #[serde(other)]
    Other,
}

impl ReasonName {
    /// The name of a reason; `None` where the file is not to blame.
    pub const fn of(reason: Reason) -> Option<Self> {
        match reason {
            Reason::Content => Some(Self::Content),
            Reason::Digests => Some(Self::Digests),
            Reason::NotTheFile => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_is_not_known_yet_is_read() {
        let read = |text: &str| serde_json::from_str::<ReasonName>(text).unwrap();
        assert_eq!(read("\"content\""), ReasonName::Content);
        assert_eq!(read("\"digests\""), ReasonName::Digests);
        assert_eq!(read("\"weather\""), ReasonName::Other);
        let told = Reason::ALL.map(|reason| serde_json::to_value(ReasonName::of(reason)).unwrap());
        assert_eq!(told, ["content".into(), "digests".into(), serde_json::Value::Null]);
    }
}
