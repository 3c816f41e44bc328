//! Access keys: a public id and a secret with which SDKs sign requests instead of logging in.
//!
//! To check a signature the secret itself is needed, so that a digest of it would not do. It is kept sealed (ChaCha20-Poly1305) with a
//! key that is derived from the server key: who reads the database alone learns nothing, and a row that is moved to another account or
//! id does not open any more.

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::{AccountError, Accounts, SdkSignedRequest, ServerKey, SignedRequest};
use crate::domain::{
    account::{AccessKeyRecord, Caller, Scope},
    ids::{AccessKeyId, AccountUuid},
};

/// Access keys of one account.
const KEYS_MAX: u64 = 100;
/// Letters and digits of an id and of a secret: the lengths of ZStack's own.
const ID_CHARS: usize = 20;
const SECRET_CHARS: usize = 40;
/// Access keys that are read at once.
const PAGE: u64 = 500;

/// Seals and opens secrets.
pub(super) struct Seal(LessSafeKey);

impl Seal {
    pub(super) fn new(server_key: &ServerKey) -> Self {
        let key = server_key.derive("longshore access key secret v1");
        let key = UnboundKey::new(&CHACHA20_POLY1305, &key).expect("the key has 32 bytes");
        Self(LessSafeKey::new(key))
    }

    /// `base64(nonce, ciphertext, tag)`. Nonces are random: 2^32 of them are safe, and nobody makes so many keys.
    fn seal(&self, id: &AccessKeyId, account: AccountUuid, secret: &str) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).ok()?;
        let mut sealed = secret.as_bytes().to_vec();
        let number = Nonce::assume_unique_for_key(nonce);
        self.0.seal_in_place_append_tag(number, bound_to(id, account), &mut sealed).ok()?;
        Some(STANDARD.encode([&nonce[..], &sealed].concat()))
    }

    /// The secret, if this server sealed it for this id and account.
    fn open(&self, key: &AccessKeyRecord) -> Option<String> {
        let bytes = STANDARD.decode(&key.sealed_secret).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let bound = bound_to(&key.id, key.account);
        let secret = self.0.open_in_place(nonce, bound, &mut sealed).ok()?;
        String::from_utf8(secret.to_vec()).ok()
    }
}

fn bound_to(id: &AccessKeyId, account: AccountUuid) -> Aad<Vec<u8>> {
    Aad::from(format!("{id}:{account}").into_bytes())
}

/// A new access key. The secret is known to nobody else.
pub struct NewAccessKey {
    /// The public half.
    pub id: AccessKeyId,
    /// What requests are signed with. Shown once.
    pub secret: String,
}

impl Accounts {
    /// Makes an access key for an account.
    pub async fn create_access_key(&self, name: &str) -> Result<NewAccessKey, AccountError> {
        let account = self.named(name).await?;
        let id = random_text(ID_CHARS, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
        let id: AccessKeyId =
            id.and_then(|id| id.parse().ok()).ok_or(AccountError::NoRandomness)?;
        let secret = random_text(
            SECRET_CHARS,
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
        );
        let secret = secret.ok_or(AccountError::NoRandomness)?;
        let sealed_secret = self.seal.seal(&id, account.uuid, &secret);
        let record = AccessKeyRecord {
            id: id.clone(),
            account: account.uuid,
            sealed_secret: sealed_secret.ok_or(AccountError::NoRandomness)?,
            created_ms: self.clock.now_ms(),
        };
        if self.db.create_access_key(record, KEYS_MAX).await? {
            Ok(NewAccessKey { id, secret })
        } else {
            Err(AccountError::TooManyAccessKeys)
        }
    }

    /// Access keys of an account, or of all; pages of at most 500 in order of id, those after `after`.
    pub async fn access_keys(
        &self,
        name: Option<&str>,
        after: Option<&AccessKeyId>,
    ) -> Result<Vec<AccessKeyRecord>, AccountError> {
        let scope = match name {
            Some(name) => Scope::Account(self.named(name).await?.uuid),
            None => Scope::All,
        };
        Ok(self.db.access_keys(scope, after, PAGE).await?)
    }

    /// Forgets an access key: what is signed with it is refused from now on. Answers whether there was one.
    pub async fn delete_access_key(&self, id: &AccessKeyId) -> Result<bool, AccountError> {
        Ok(self.db.delete_access_key(id).await?)
    }

    /// Whose access key signed a request.
    pub(super) async fn signer(&self, request: &SignedRequest) -> Result<Caller, AccountError> {
        let is_now = request.is_of(self.clock.now_ms(), &self.wire_time_zone);
        self.signer_of(&request.id, is_now, |secret| request.fits(secret)).await
    }

    /// Whose access key signed a request in the way of Huawei's SDKs.
    pub(super) async fn sdk_signer(
        &self,
        request: &SdkSignedRequest,
    ) -> Result<Caller, AccountError> {
        let is_now = request.is_of(self.clock.now_ms());
        self.signer_of(&request.id, is_now, |secret| request.fits(secret)).await
    }

    async fn signer_of(
        &self,
        id: &AccessKeyId,
        is_now: bool,
        fits: impl Fn(&str) -> bool + Send,
    ) -> Result<Caller, AccountError> {
        // First, and without the records: an old request that is sent again must cost nothing.
        if !is_now {
            return Err(AccountError::TimeTooSkewed);
        }
        let (key, account) = self
            .db
            .access_key(id)
            .await?
            .ok_or_else(|| AccountError::UnknownAccessKey { id: id.clone() })?;
        let secret =
            self.seal.open(&key).ok_or_else(|| AccountError::SealedByAnother { id: id.clone() })?;
        if !fits(&secret) {
            return Err(AccountError::WrongSignature);
        }
        Ok(Caller { account: account.uuid, admin: account.admin })
    }
}

/// Characters of `alphabet`, each as likely as any other.
pub(super) fn random_text(chars: usize, alphabet: &[u8]) -> Option<String> {
    // Bytes from here on would make the first characters likelier.
    let fair = 256 - 256 % alphabet.len();
    let mut text = String::with_capacity(chars);
    let mut bytes = [0; 64];
    while text.len() < chars {
        getrandom::fill(&mut bytes).ok()?;
        let drawn = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < fair);
        let letters = drawn.map(|byte| char::from(alphabet[byte % alphabet.len()]));
        text.extend(letters.take(chars - text.len()));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_secret_opens_for_its_server_id_and_account_alone() {
        let seal = Seal::new(&ServerKey::random().unwrap());
        let (id, account): (AccessKeyId, _) = ("ABCDEFGH".parse().unwrap(), AccountUuid::random());
        let sealed_secret = seal.seal(&id, account, "secret").unwrap();
        assert!(!sealed_secret.contains("secret"));
        assert_ne!(sealed_secret, seal.seal(&id, account, "secret").unwrap(), "nonces differ");
        let key = AccessKeyRecord { id, account, sealed_secret, created_ms: 0 };
        assert_eq!(seal.open(&key).as_deref(), Some("secret"));

        let other_id = "ABCDEFGI".parse().unwrap();
        for moved in [
            AccessKeyRecord { id: other_id, ..key.clone() },
            AccessKeyRecord { account: AccountUuid::random(), ..key.clone() },
            AccessKeyRecord { sealed_secret: String::new(), ..key.clone() },
            AccessKeyRecord { sealed_secret: STANDARD.encode([7; 40]), ..key.clone() },
        ] {
            assert_eq!(seal.open(&moved), None, "{moved:?}");
        }
        let other = Seal::new(&ServerKey::random().unwrap());
        assert_eq!(other.open(&key), None);
    }

    #[test]
    fn random_texts_have_their_length_and_letters() {
        for chars in [0, 1, 20, 100] {
            let text = random_text(chars, b"abc").unwrap();
            assert_eq!(text.len(), chars);
            assert!(text.bytes().all(|byte| b"abc".contains(&byte)), "{text}");
        }
        assert_ne!(random_text(40, b"01").unwrap(), random_text(40, b"01").unwrap());
    }
}
