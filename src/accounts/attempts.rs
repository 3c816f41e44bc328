//! How often a password may be guessed: a bound for each pair of account and peer address.
//!
//! Only wrong passwords count in the end: an attempt takes its place before anything is hashed, so that attempts side by side cannot
//! get past the bound, and gives it back when the password was right. An attempt whose client went away has been one.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::domain::clock::EpochMs;

/// Wrong passwords for one account from one address within the window.
pub const ATTEMPTS_MAX: usize = 10;
/// The window, in milliseconds.
pub const ATTEMPTS_WINDOW_MS: i64 = 60_000;
/// Pairs that are remembered; beyond it the one that was silent longest is forgotten. Whoever wants a pair forgotten has to try as
/// many others first, each of which costs a password hash.
const PAIRS_MAX: usize = 8192;

/// Who guesses whose password.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Pair {
    account: String,
    peer: IpAddr,
}

impl Pair {
    /// An IPv6 client owns its whole /64: single addresses of it are one peer.
    pub(super) fn new(account: &str, peer: IpAddr) -> Self {
        let peer = match peer.to_canonical() {
            IpAddr::V4(peer) => IpAddr::V4(peer),
            IpAddr::V6(peer) => {
                let [a, b, c, d, ..] = peer.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        };
        Self { account: account.to_owned(), peer }
    }
}

/// The attempts of the last minute.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<HashMap<Pair, VecDeque<EpochMs>>>);

impl Attempts {
    /// Takes a place for an attempt; in how many seconds there is one, if there is none.
    pub(super) fn take(&self, pair: &Pair, now_ms: EpochMs) -> Result<(), u64> {
        let mut pairs = self.pairs();
        if !pairs.contains_key(pair) && pairs.len() >= PAIRS_MAX {
            make_room(&mut pairs, now_ms);
        }
        let made = pairs.entry(pair.clone()).or_default();
        // A clock that was set back would keep attempts of the future for ever.
        made.retain(|at| (0..ATTEMPTS_WINDOW_MS).contains(&(now_ms - at)));
        match made.front() {
            Some(oldest) if made.len() >= ATTEMPTS_MAX => {
                let wait_ms = ATTEMPTS_WINDOW_MS - (now_ms - oldest);
                Err(u64::try_from(wait_ms).unwrap_or_default().div_ceil(1000).max(1))
            }
            Some(_) | None => {
                made.push_back(now_ms);
                Ok(())
            }
        }
    }

    /// Gives the place back: the password was right.
    pub(super) fn give_back(&self, pair: &Pair, taken_ms: EpochMs) {
        let mut pairs = self.pairs();
        let Some(made) = pairs.get_mut(pair) else { return };
        if let Some(at) = made.iter().position(|at| *at == taken_ms) {
            made.remove(at);
        }
        if made.is_empty() {
            pairs.remove(pair);
        }
    }

    fn pairs(&self) -> MutexGuard<'_, HashMap<Pair, VecDeque<EpochMs>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make_room(pairs: &mut HashMap<Pair, VecDeque<EpochMs>>, now_ms: EpochMs) {
    pairs.retain(|_, made| made.back().is_some_and(|at| now_ms - at < ATTEMPTS_WINDOW_MS));
    if pairs.len() >= PAIRS_MAX {
        let silent = pairs.iter().min_by_key(|(_, made)| made.back().copied());
        if let Some(pair) = silent.map(|(pair, _)| pair.clone()) {
            pairs.remove(&pair);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(account: &str, peer: &str) -> Pair {
        Pair::new(account, peer.parse().unwrap())
    }

    #[test]
    fn a_pair_has_ten_attempts_a_minute() {
        let attempts = Attempts::default();
        let ann = pair("ann", "192.0.2.1");
        for at in 0..10 {
            assert_eq!(attempts.take(&ann, at * 1000), Ok(()));
        }
        assert_eq!(attempts.take(&ann, 10_000), Err(50));
        assert_eq!(attempts.take(&ann, 59_999), Err(1));
        assert_eq!(attempts.take(&pair("ann", "192.0.2.2"), 10_000), Ok(()), "another address");
        assert_eq!(attempts.take(&pair("bob", "192.0.2.1"), 10_000), Ok(()), "another account");
        assert_eq!(attempts.take(&ann, 60_000), Ok(()), "the first has left the window");
        assert_eq!(attempts.take(&ann, 60_000), Err(1), "and no other");
        assert_eq!(attempts.take(&ann, 0), Ok(()), "a clock that is set back locks nobody out");
    }

    #[test]
    fn a_right_password_takes_no_place() {
        let attempts = Attempts::default();
        let ann = pair("ann", "192.0.2.1");
        for at in 0..100 {
            assert_eq!(attempts.take(&ann, at), Ok(()));
            attempts.give_back(&ann, at);
        }
        assert!(attempts.pairs().is_empty(), "nothing is left of it");
    }

    #[test]
    fn addresses_of_one_client_are_one_peer() {
        assert_eq!(pair("a", "2001:db8::1"), pair("a", "2001:db8::ffff:2"));
        assert_ne!(pair("a", "2001:db8::1"), pair("a", "2001:db8:0:1::1"));
        assert_eq!(pair("a", "::ffff:192.0.2.1"), pair("a", "192.0.2.1"));
        assert_ne!(pair("a", "192.0.2.1"), pair("a", "192.0.2.2"));
    }

    #[test]
    fn pairs_are_bounded_and_the_silent_one_goes_first() {
        let attempts = Attempts::default();
        for at in 0..PAIRS_MAX + 100 {
            let now_ms = EpochMs::try_from(at).unwrap();
            assert_eq!(attempts.take(&pair(&format!("a{at}"), "192.0.2.1"), now_ms), Ok(()));
        }
        let pairs = attempts.pairs();
        assert_eq!(pairs.len(), PAIRS_MAX);
        assert!(!pairs.contains_key(&pair("a0", "192.0.2.1")));
        assert!(pairs.contains_key(&pair("a8291", "192.0.2.1")));
    }
}
