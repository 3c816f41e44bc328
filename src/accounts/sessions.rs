//! Logging in, and what a session may.
//!
//! # Guarantees
//! * A login for an account that does not exist, or is disabled, takes as long as one with a wrong password and is told the same.
//! * An account has at most `per_account_max` sessions that have not ended, also when logins come at once.
//! * A session that has ended, or whose account was disabled, is refused at its next use; renewing does not bring it back.
//! * A login with a password that is replaced while it is checked opens nothing.
//! * At most ten wrong passwords a minute are tried for one account from one address.

use std::{net::IpAddr, sync::Arc, time::Duration};

use jiff::tz::TimeZone;

use sha2::{Digest, Sha256};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

use super::{
    AccountError, SdkSignedRequest, ServerKey, SignedRequest,
    access_keys::Seal,
    attempts::{Attempt, Attempts, NoPlace, Pair},
    password,
};
use crate::{
    db::Database,
    domain::{
        account::{Account, Caller, SessionRecord},
        clock::{Clock, EpochMs},
        ids::{AccountUuid, SessionUuid},
    },
};

/// Name of the account that sees everything.
pub(super) const ADMIN: &str = "admin";

/// Password hashes that are computed at once. A login costs tens of milliseconds of one core and 19 MiB; without a bound of its
/// own a burst of logins would starve uploads.
const PASSWORD_HASHES_MAX: usize = 2;

/// How long an attempt waits for others of the same account and address that are not over yet, and how often it looks.
const ATTEMPT_WAIT_MAX: Duration = Duration::from_secs(10);
const ATTEMPT_AGAIN: Duration = Duration::from_millis(20);

/// Bounds of sessions.
#[derive(Debug, Clone, Copy)]
pub struct SessionLimits {
    /// How long a session lasts.
    pub lifetime_secs: u64,
    /// Sessions of one account that have not ended.
    pub per_account_max: u64,
}

/// A session that has just been opened or looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenedSession {
    /// The token; known to the client alone.
    pub token: SessionUuid,
    /// Whose it is.
    pub caller: Caller,
    /// When it was opened.
    pub created_ms: EpochMs,
    /// When it ends.
    pub expires_ms: EpochMs,
}

/// How a request shows who makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// It names a session.
    Session(String),
    /// It is signed with an access key.
    Signature(SignedRequest),
    /// It is signed with an access key in the way of Huawei's SDKs.
    SdkSignature(SdkSignedRequest),
}

/// Who makes a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identified {
    /// The account.
    pub caller: Caller,
    /// The session; `None` for a signed request.
    pub session: Option<SessionUuid>,
}

/// Accounts, their sessions and access keys.
pub struct Accounts {
    pub(super) db: Arc<dyn Database>,
    pub(super) clock: Arc<dyn Clock>,
    limits: SessionLimits,
    pub(super) wire_time_zone: TimeZone,
    pub(super) seal: Seal,
    pub(super) attempts: Attempts,
    hashing: Arc<Semaphore>,
    /// Verified against when the account does not exist, so that the answer takes as long.
    decoy_hash: String,
}

impl Accounts {
    /// Over these records.
    pub fn new(
        db: Arc<dyn Database>,
        clock: Arc<dyn Clock>,
        limits: SessionLimits,
        wire_time_zone: TimeZone,
        server_key: &ServerKey,
    ) -> Self {
        let decoy_hash = password::hash("decoy").unwrap_or_default();
        Self {
            db,
            clock,
            limits,
            wire_time_zone,
            seal: Seal::new(server_key),
            attempts: Attempts::default(),
            hashing: Arc::new(Semaphore::new(PASSWORD_HASHES_MAX)),
            decoy_hash,
        }
    }

    /// Makes sure that there is an `admin`. With a given password that one is set; without, a password is made on first use and
    /// returned, to be shown once.
    pub async fn ensure_admin(&self, given: Option<&str>) -> Result<Option<String>, AccountError> {
        let existing = self.db.account_named(ADMIN).await?;
        let (plain, generated) = match (given, &existing) {
            (Some(given), _) => (given.to_owned(), None),
            (None, Some(_)) => return Ok(None),
            (None, None) => {
                let mut bytes = [0; 12];
                getrandom::fill(&mut bytes).map_err(|_| AccountError::NoRandomness)?;
                let made = crate::domain::tag::hex(&bytes);
                (made.clone(), Some(made))
            }
        };
        let sent = password::sha512_hex(&plain);
        if let Some(account) = existing {
            if !self.fits(sent.clone(), account.password_hash.clone()).await {
                self.set_password(account.uuid, sent, None).await?;
            }
            return Ok(None);
        }
        let password_hash = self.hashed(sent).await?;
        let now_ms = self.clock.now_ms();
        let account = Account {
            uuid: AccountUuid::random(),
            name: ADMIN.to_owned(),
            password_hash,
            admin: true,
            enabled: true,
            description: None,
            created_ms: now_ms,
            last_op_ms: now_ms,
        };
        let created = self.db.create_account(account).await?;
        Ok(generated.filter(|_| created))
    }

    /// Opens a session. `sha512_hex` is what clients send: the lower-hex SHA-512 of the password; `peer` is where the client is.
    pub async fn log_in(
        &self,
        name: &str,
        sha512_hex: &str,
        peer: IpAddr,
    ) -> Result<OpenedSession, AccountError> {
        let attempt = self.attempt(&Pair::new(name, peer)).await?;
        let account = self.db.account_named(name).await?.filter(|account| account.enabled);
        let stored = account.as_ref().map_or(&self.decoy_hash, |account| &account.password_hash);
        let fits = self.fits(sha512_hex.to_ascii_lowercase(), stored.clone()).await;
        let Some(account) = account.filter(|_| fits) else {
            return Err(AccountError::WrongPassword);
        };
        attempt.was_right();
        self.open(&account).await
    }

    /// A place for an attempt. Those of the pair that are not over yet may all be right: they are waited for, for a while.
    pub(super) async fn attempt(&self, pair: &Pair) -> Result<Attempt<'_>, AccountError> {
        let until = Instant::now() + ATTEMPT_WAIT_MAX;
        loop {
            match self.attempts.take(pair, self.clock.now_ms()) {
                Ok(attempt) => return Ok(attempt),
                Err(full) if full.some_are_trying && Instant::now() < until => {
                    sleep(ATTEMPT_AGAIN).await;
                }
                Err(NoPlace { wait_secs, .. }) => {
                    return Err(AccountError::TooManyAttempts { wait_secs });
                }
            }
        }
    }

    /// Who makes a request.
    pub async fn identify(&self, proof: &Proof) -> Result<Identified, AccountError> {
        match proof {
            Proof::Session(token) => {
                let session = self.authenticate(token).await?;
                Ok(Identified { caller: session.caller, session: Some(session.token) })
            }
            Proof::Signature(request) => {
                Ok(Identified { caller: self.signer(request).await?, session: None })
            }
            Proof::SdkSignature(request) => {
                Ok(Identified { caller: self.sdk_signer(request).await?, session: None })
            }
        }
    }

    /// Who has this session. `SessionExpired` if nobody has.
    pub async fn authenticate(&self, token: &str) -> Result<OpenedSession, AccountError> {
        let token: SessionUuid = token.parse().map_err(|_| AccountError::SessionExpired)?;
        let found = self.db.session(token_sha256(token), self.clock.now_ms()).await?;
        let (session, account) = found.ok_or(AccountError::SessionExpired)?;
        Ok(opened(token, &session, &account))
    }

    /// Ends a session. Idempotent.
    pub async fn log_out(&self, token: &str) -> Result<(), AccountError> {
        if let Ok(token) = token.parse() {
            self.db.close_session(token_sha256(token), self.clock.now_ms()).await?;
        }
        Ok(())
    }

    /// Ends a session for a caller that may know of it: one of its own account, or an admin. Answers whether there was one.
    pub async fn log_out_of(&self, caller: Caller, token: &str) -> Result<bool, AccountError> {
        match self.authenticate(token).await {
            Ok(session) if caller.admin || session.caller.account == caller.account => {
                self.log_out(token).await?;
                Ok(true)
            }
            Ok(_) | Err(AccountError::SessionExpired) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Lets a session end `duration_secs` from now.
    pub async fn renew(
        &self,
        token: &str,
        duration_secs: u64,
    ) -> Result<OpenedSession, AccountError> {
        let mut session = self.authenticate(token).await?;
        let now_ms = self.clock.now_ms();
        session.expires_ms = now_ms + millis(duration_secs);
        let token = token_sha256(session.token);
        let renewed = self.db.renew_session(token, session.expires_ms, now_ms).await?;
        if renewed { Ok(session) } else { Err(AccountError::SessionExpired) }
    }

    async fn open(&self, account: &Account) -> Result<OpenedSession, AccountError> {
        let token = SessionUuid::random();
        let now_ms = self.clock.now_ms();
        let session = SessionRecord {
            token_sha256: token_sha256(token),
            account: account.uuid,
            created_ms: now_ms,
            expires_ms: now_ms + millis(self.limits.lifetime_secs),
        };
        if !self.db.open_session(session.clone(), self.limits.per_account_max).await? {
            return Err(AccountError::TooManySessions);
        }
        // The hash took its time: whoever set another password meanwhile, or shut the account, ended the sessions of before.
        let now = self.db.account(account.uuid).await?;
        if now.is_none_or(|now| !now.enabled || now.password_hash != account.password_hash) {
            self.db.close_session(session.token_sha256, now_ms).await?;
            return Err(AccountError::WrongPassword);
        }
        Ok(opened(token, &session, account))
    }

    pub(super) async fn fits(&self, sent: String, stored: String) -> bool {
        self.hashing_thread(move || password::verify(&sent, &stored)).await.unwrap_or(false)
    }

    pub(super) async fn hashed(&self, sent: String) -> Result<String, AccountError> {
        let hash = self.hashing_thread(move || password::hash(&sent)).await.flatten();
        hash.ok_or(AccountError::NoRandomness)
    }

    async fn hashing_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let permit = Arc::clone(&self.hashing).acquire_owned().await.ok()?;
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        done.await.ok()
    }
}

pub(super) fn token_sha256(token: SessionUuid) -> [u8; 32] {
    Sha256::digest(token.to_string().as_bytes()).into()
}

fn millis(secs: u64) -> i64 {
    i64::try_from(secs.saturating_mul(1000)).unwrap_or(i64::MAX / 4)
}

fn opened(token: SessionUuid, session: &SessionRecord, account: &Account) -> OpenedSession {
    OpenedSession {
        token,
        caller: Caller { account: account.uuid, admin: account.admin },
        created_ms: session.created_ms,
        expires_ms: session.expires_ms,
    }
}
