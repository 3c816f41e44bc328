//! Password hashing: Argon2id over what clients send, which is the lower-hex SHA-512 of the password (zstack.md 1.5).

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use sha2::{Digest, Sha512};

use crate::domain::tag::hex;

/// The form in which a password travels and is hashed.
pub(super) fn sha512_hex(password: &str) -> String {
    hex(&Sha512::digest(password.as_bytes()))
}

/// 19 MiB, two passes, one lane: the OWASP minimum for Argon2id.
fn params() -> Params {
    Params::new(19 * 1024, 2, 1, None).expect("constant parameters are valid")
}

/// Room that is asked for, in KiB; only what is used of it is ever resident. glibc gives what is larger than 32 MiB back to the
/// system as soon as it is freed. Freeing less teaches it to keep blocks of that size in the arena of every thread that hashes:
/// the process grew by 19 MiB with each of the first logins.
const ROOM_BLOCKS: usize = 33 * 1024;

fn output(params: Params, sent: &str, salt: &[u8]) -> Option<Output> {
    let blocks = params.block_count();
    let mut memory = Vec::with_capacity(blocks.max(ROOM_BLOCKS));
    memory.resize(blocks, Block::default());
    let mut out = [0; Params::DEFAULT_OUTPUT_LEN];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into_with_memory(sent.as_bytes(), salt, &mut out, &mut memory).ok()?;
    Output::new(&out).ok()
}

/// Hashes with a fresh salt. Takes tens of milliseconds: never on an async worker thread.
pub(super) fn hash(sha512_hex: &str) -> Option<String> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).ok()?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params()).ok()?,
        salt: Some(Salt::new(&salt).ok()?),
        hash: Some(output(params(), sha512_hex, &salt)?),
    };
    Some(hash.to_string())
}

/// Whether the password fits the hash. Takes tens of milliseconds: never on an async worker thread.
pub(super) fn verify(sha512_hex: &str, stored: &str) -> bool {
    let Ok(stored) = PasswordHash::new(stored) else { return false };
    let ours = stored.algorithm == Algorithm::Argon2id.ident()
        && stored.version == Some(Version::V0x13.into());
    let (true, Ok(params), Some(salt), Some(expected)) =
        (ours, Params::try_from(&stored), &stored.salt, &stored.hash)
    else {
        return false;
    };
    // Outputs compare in constant time.
    output(params, sha512_hex, salt).is_some_and(|actual| actual == *expected)
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

    #[test]
    fn hashes_are_those_of_the_standard_implementation() {
        use argon2::password_hash::{PasswordHasher, PasswordVerifier};
        let standard = Argon2::new(Algorithm::Argon2id, Version::V0x13, params());
        let ours = hash("sent").unwrap();
        assert!(standard.verify_password(b"sent", &PasswordHash::new(&ours).unwrap()).is_ok());
        let theirs = standard.hash_password_with_salt(b"sent", b"0123456789abcdef").unwrap();
        assert!(verify("sent", &theirs.to_string()));
        assert!(!verify("tens", &theirs.to_string()));
    }
}
