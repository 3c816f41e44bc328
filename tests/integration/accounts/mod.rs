//! Who may do what: passwords, sessions, access keys, and the calls that carry them.

mod administration;
mod hooks;
mod http;
mod sessions;
mod signed;

use std::{net::IpAddr, sync::Arc};

use longshore::{
    accounts::{Accounts, ServerKey, SessionLimits},
    domain::clock::ManualClock,
};

use crate::support::databases::TestDb;

/// Fri, 20 Nov 2026 15:38:42 UTC.
pub(crate) const NOW_MS: i64 = 1_795_189_122_000;
pub(crate) const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

/// Accounts over records of their own, on a clock that stands still.
pub(crate) struct World {
    pub(crate) db: TestDb,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) accounts: Accounts,
}

impl World {
    pub(crate) async fn new(per_account_max: u64) -> Self {
        let db = TestDb::sqlite().await;
        let clock = Arc::new(ManualClock::at(NOW_MS));
        let limits = SessionLimits { lifetime_secs: 7200, per_account_max };
        let (key, zone) = (ServerKey::random().unwrap(), jiff::tz::TimeZone::UTC);
        let accounts = Accounts::new(db.db.clone(), clock.clone(), limits, zone, &key);
        Self { db, clock, accounts }
    }

    /// With the account `ann`, whose password is `password`.
    pub(crate) async fn with_ann(per_account_max: u64) -> Self {
        let world = Self::new(per_account_max).await;
        world.accounts.create_account("ann", "password", false).await.unwrap();
        world
    }
}

/// What clients send of a password.
pub(crate) fn sent(password: &str) -> String {
    use sha2::{Digest, Sha512};
    longshore::domain::tag::hex(&Sha512::digest(password))
}
