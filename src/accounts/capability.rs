//! Upload capabilities: whoever has the URL of an upload may send its bytes.

use super::{ServerKey, sealed::Seal};
use crate::domain::ids::UploadUuid;

/// What a capability names: one upload, and how often its URL has been revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capability {
    /// The upload.
    pub upload: UploadUuid,
    /// Must equal the upload's `url_generation`; the caller compares.
    pub generation: i64,
}

/// Makes and reads capabilities, which seal upload and generation (design.md 5).
pub struct Capabilities {
    seal: Seal<PAYLOAD_BYTES>,
}

const PAYLOAD_BYTES: usize = 24;

impl Capabilities {
    /// With the server's key.
    pub fn new(server_key: &ServerKey) -> Self {
        Self { seal: Seal::new(server_key, "longshore upload capability v1") }
    }

    /// The text of a capability; the same every time, so that it needs to be in no row.
    pub fn issue(&self, capability: Capability) -> String {
        self.seal.close(&payload(capability))
    }

    /// What a text names, if this server made it. Compared in constant time.
    pub fn read(&self, text: &str) -> Option<Capability> {
        let payload = self.seal.open(text)?;
        let (uuid, generation) = payload.split_at(16);
        Some(Capability {
            upload: UploadUuid(uuid::Uuid::from_slice(uuid).ok()?),
            generation: i64::from_be_bytes(generation.try_into().ok()?),
        })
    }
}

fn payload(capability: Capability) -> [u8; PAYLOAD_BYTES] {
    let mut payload = [0; PAYLOAD_BYTES];
    payload[..16].copy_from_slice(capability.upload.0.as_bytes());
    payload[16..].copy_from_slice(&capability.generation.to_be_bytes());
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_we_issued_is_read() {
        let capabilities = Capabilities::new(&ServerKey::random().unwrap());
        let capability = Capability { upload: UploadUuid::random(), generation: 3 };
        let text = capabilities.issue(capability);
        assert_eq!(capabilities.read(&text), Some(capability));
        assert_eq!(text, capabilities.issue(capability), "the same URL again");

        // Negative control: every single changed character is refused.
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(capabilities.read(&changed), None, "{changed}");
        }
        let other = Capabilities::new(&ServerKey::random().unwrap());
        assert_eq!(other.read(&text), None);
        assert_eq!(capabilities.read("v1.."), None);
    }
}
