//! Password hashing: Argon2id over what clients send, which is the lower-hex SHA-512 of the password (zstack.md 1.5).

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use sha2::{Digest, Sha512};

use crate::domain::tag::hex;

/// The form in which a password travels and is hashed.
pub(super) fn sha512_hex(password: &str) -> String {
    hex(&Sha512::digest(password.as_bytes()))
}

/// 19 MiB, two passes, one lane: the OWASP minimum for Argon2id.
fn argon2() -> Argon2<'static> {
    Argon2::new(
        Algorithm::Argon2id,
        Version::V0x13,
        Params::new(19 * 1024, 2, 1, None).expect("constant parameters are valid"),
    )
}

/// Hashes with a fresh salt. Takes tens of milliseconds: never on an async worker thread.
pub(super) fn hash(sha512_hex: &str) -> Option<String> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).ok()?;
    let hash = argon2().hash_password_with_salt(sha512_hex.as_bytes(), &salt).ok()?;
    Some(hash.to_string())
}

/// Whether the password fits the hash. Takes tens of milliseconds: never on an async worker thread.
pub(super) fn verify(sha512_hex: &str, stored: &str) -> bool {
    PasswordHash::new(stored)
        .is_ok_and(|stored| argon2().verify_password(sha512_hex.as_bytes(), &stored).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_fits() {
        let sent = sha512_hex("password");
        assert!(sent.starts_with("b109f3bbbc244eb82441917ed06d618b"), "as the SDKs send it");
        let stored = hash(&sent).unwrap();
        assert!(stored.starts_with("$argon2id$"));
        assert!(verify(&sent, &stored));
        assert!(!verify(&sha512_hex("passwore"), &stored));
        assert_ne!(stored, hash(&sent).unwrap(), "salted");
        assert!(!verify(&sent, "not a hash"));
    }
}
