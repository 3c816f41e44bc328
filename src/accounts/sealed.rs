//! What stands in a URL and must have been made by this server: a payload with the HMAC-SHA256 of a key of its own.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::ServerKey;

const MAC_BYTES: usize = 32;

/// Seals payloads of `N` bytes as `v1.<key id>.<base64url(payload, HMAC-SHA256)>`.
pub(super) struct Seal<const N: usize> {
    key: [u8; 32],
    key_id: String,
}

impl<const N: usize> Seal<N> {
    /// With a key of the server's for what `label` names: what one label has sealed is no other's.
    pub(super) fn new(server_key: &ServerKey, label: &str) -> Self {
        let id = server_key.derive("longshore capability key id");
        Self { key: server_key.derive(label), key_id: URL_SAFE_NO_PAD.encode(&id[..6]) }
    }

    /// The text of a payload; the same every time.
    pub(super) fn close(&self, payload: &[u8; N]) -> String {
        let mut bytes = payload.to_vec();
        bytes.extend_from_slice(&self.mac(payload).finalize().into_bytes());
        format!("v1.{}.{}", self.key_id, URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The payload of a text that was made here. Compared in constant time.
    pub(super) fn open(&self, text: &str) -> Option<[u8; N]> {
        let rest = text.strip_prefix("v1.")?.strip_prefix(&self.key_id)?.strip_prefix('.')?;
        let bytes = URL_SAFE_NO_PAD.decode(rest).ok()?;
        let (payload, mac) = bytes.split_first_chunk::<N>()?;
        // Not one that is cut short, whatever is compared then.
        let mac: &[u8; MAC_BYTES] = mac.try_into().ok()?;
        self.mac(payload).verify_slice(mac).ok()?;
        Some(*payload)
    }

    fn mac(&self, payload: &[u8; N]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes any key length");
        mac.update(payload);
        mac
    }
}
