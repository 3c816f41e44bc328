//! Download capabilities: whoever has the URL may read one image for five minutes. A browser saves a file from a URL, and a URL carries
//! no session.

use std::sync::Arc;

use super::{ServerKey, sealed::Seal};
use crate::domain::{
    account::Caller,
    clock::{Clock, EpochMs},
    ids::{AccountUuid, ImageUuid},
};

/// How long a download may begin, or be resumed, by one URL.
pub const DOWNLOAD_MS: EpochMs = 5 * 60 * 1000;

/// What a download capability names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Download {
    /// The image.
    pub image: ImageUuid,
    /// When the image was made: another one under the same uuid is not meant.
    pub generation: EpochMs,
    /// On whose behalf: what they may not see, the URL does not show.
    pub reader: Caller,
}

/// Makes and reads download capabilities, which seal image, account, admin, generation and end.
pub struct Downloads {
    seal: Seal<PAYLOAD_BYTES>,
    clock: Arc<dyn Clock>,
}

const PAYLOAD_BYTES: usize = 16 + 16 + 1 + 8 + 8;

impl Downloads {
    /// With the server's key. Its label is its own: an upload URL is no download URL, nor the other way round.
    pub fn new(server_key: &ServerKey, clock: Arc<dyn Clock>) -> Self {
        Self { seal: Seal::new(server_key, "longshore download capability v1"), clock }
    }

    /// The text of a capability, and when it ends: [`DOWNLOAD_MS`] from now.
    pub fn issue(&self, download: Download) -> (String, EpochMs) {
        let expires_ms = self.clock.now_ms().saturating_add(DOWNLOAD_MS);
        (self.seal.close(&payload(download, expires_ms)), expires_ms)
    }

    /// What a text names, if this server made it and its time is not over. Compared in constant time.
    pub fn read(&self, text: &str) -> Option<Download> {
        let payload = self.seal.open(text)?;
        let number =
            |at: usize| Some(i64::from_be_bytes(payload.get(at..at + 8)?.try_into().ok()?));
        let uuid = |at: usize| uuid::Uuid::from_slice(payload.get(at..at + 16)?).ok();
        let download = Download {
            image: ImageUuid(uuid(0)?),
            reader: Caller { account: AccountUuid(uuid(16)?), admin: payload[32] == 1 },
            generation: number(33)?,
        };
        (self.clock.now_ms() < number(41)?).then_some(download)
    }
}

fn payload(download: Download, expires_ms: EpochMs) -> [u8; PAYLOAD_BYTES] {
    let mut payload = [0; PAYLOAD_BYTES];
    payload[..16].copy_from_slice(download.image.0.as_bytes());
    payload[16..32].copy_from_slice(download.reader.account.0.as_bytes());
    payload[32] = u8::from(download.reader.admin);
    payload[33..41].copy_from_slice(&download.generation.to_be_bytes());
    payload[41..].copy_from_slice(&expires_ms.to_be_bytes());
    payload
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::{
        accounts::{Capabilities, Capability},
        domain::ids::UploadUuid,
    };

    /// A clock that the test sets.
    #[derive(Default)]
    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now_ms(&self) -> EpochMs {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn only_what_we_issued_is_read_and_only_in_its_time() {
        let (key, clock) = (ServerKey::random().unwrap(), Arc::new(Hand::default()));
        let downloads = Downloads::new(&key, Arc::<Hand>::clone(&clock));
        let reader = Caller { account: AccountUuid::random(), admin: false };
        let download = Download { image: ImageUuid::random(), generation: 7, reader };
        let (text, expires_ms) = downloads.issue(download);
        assert_eq!(expires_ms, DOWNLOAD_MS);
        clock.0.store(DOWNLOAD_MS - 1, Ordering::Relaxed);
        assert_eq!(downloads.read(&text), Some(download));

        // Negative control: every single changed character is refused.
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(downloads.read(&changed), None, "{changed}");
        }
        let upload = Capability { upload: UploadUuid::random(), generation: 0 };
        assert_eq!(downloads.read(&Capabilities::new(&key).issue(upload)), None);
        assert_eq!(Capabilities::new(&key).read(&text), None, "a download URL takes no bytes");
        let other = Downloads::new(&ServerKey::random().unwrap(), Arc::<Hand>::clone(&clock));
        assert_eq!(other.read(&text), None);
        clock.0.store(DOWNLOAD_MS, Ordering::Relaxed);
        assert_eq!(downloads.read(&text), None, "its time is over");
    }
}
