//! How often a password may be guessed: a bound for each pair of account and peer address.
//!
//! Only wrong passwords count in the end: an attempt takes its place before anything is hashed, so that attempts side by side cannot
//! get past the bound, and gives it back when the password was right. An attempt whose client went away has been one. Where places
//! are taken by attempts that are not over yet, that is said: they may all be right.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::domain::{clock::EpochMs, peer::counted_as};

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
    pub(super) fn new(account: &str, peer: IpAddr) -> Self {
        Self { account: account.to_owned(), peer: counted_as(peer) }
    }
}

/// The attempts of one pair.
#[derive(Debug, Default)]
struct Made {
    at: VecDeque<EpochMs>,
    /// How many of them are not over yet.
    trying: usize,
}

/// There is no place for an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoPlace {
    /// In how many seconds there is one, if all attempts were wrong.
    pub(super) wait_secs: u64,
    /// Whether some are not over yet, and may give their place back.
    pub(super) some_are_trying: bool,
}

/// A place that an attempt has taken. Dropped, it has been a wrong one.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    of: &'a Attempts,
    pair: Pair,
    taken_ms: EpochMs,
    was_right: bool,
}

impl Attempt<'_> {
    /// Gives the place back: the password was right.
    pub(super) fn was_right(mut self) {
        self.was_right = true;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut pairs = self.of.pairs();
        // It may have been forgotten for lack of room.
        let Some(made) = pairs.get_mut(&self.pair) else { return };
        made.trying = made.trying.saturating_sub(1);
        let place = made.at.iter().position(|at| *at == self.taken_ms);
        if let Some(at) = place.filter(|_| self.was_right) {
            made.at.remove(at);
        }
        if made.at.is_empty() && made.trying == 0 {
            pairs.remove(&self.pair);
        }
    }
}

/// The attempts of the last minute.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<HashMap<Pair, Made>>);

impl Attempts {
    /// Takes a place for an attempt.
    pub(super) fn take(&self, pair: &Pair, now_ms: EpochMs) -> Result<Attempt<'_>, NoPlace> {
        let mut pairs = self.pairs();
        if !pairs.contains_key(pair) && pairs.len() >= PAIRS_MAX {
            make_room(&mut pairs, now_ms);
        }
        let made = pairs.entry(pair.clone()).or_default();
        // A clock that was set back would keep attempts of the future for ever.
        made.at.retain(|at| (0..ATTEMPTS_WINDOW_MS).contains(&(now_ms - at)));
        match made.at.front() {
            Some(oldest) if made.at.len() >= ATTEMPTS_MAX => {
                let wait_ms = ATTEMPTS_WINDOW_MS - (now_ms - oldest);
                let wait_secs = u64::try_from(wait_ms).unwrap_or_default().div_ceil(1000).max(1);
                Err(NoPlace { wait_secs, some_are_trying: made.trying > 0 })
            }
            Some(_) | None => {
                made.at.push_back(now_ms);
                made.trying += 1;
                Ok(Attempt { of: self, pair: pair.clone(), taken_ms: now_ms, was_right: false })
            }
        }
    }

    fn pairs(&self) -> MutexGuard<'_, HashMap<Pair, Made>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make_room(pairs: &mut HashMap<Pair, Made>, now_ms: EpochMs) {
    pairs.retain(|_, made| made.at.back().is_some_and(|at| now_ms - at < ATTEMPTS_WINDOW_MS));
    if pairs.len() >= PAIRS_MAX {
        let silent = pairs.iter().min_by_key(|(_, made)| made.at.back().copied());
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
        // Wrong ones, one after the other.
        let take = |pair: &Pair, at| attempts.take(pair, at).map(drop).map_err(|no| no.wait_secs);
        for at in 0..10 {
            assert_eq!(take(&ann, at * 1000), Ok(()));
        }
        assert_eq!(take(&ann, 10_000), Err(50));
        assert_eq!(take(&ann, 59_999), Err(1));
        assert_eq!(take(&pair("ann", "192.0.2.2"), 10_000), Ok(()), "another address");
        assert_eq!(take(&pair("bob", "192.0.2.1"), 10_000), Ok(()), "another account");
        assert_eq!(take(&ann, 60_000), Ok(()), "the first has left the window");
        assert_eq!(take(&ann, 60_000), Err(1), "and no other");
        assert_eq!(take(&ann, 0), Ok(()), "a clock that is set back locks nobody out");
    }

    #[test]
    fn a_right_password_takes_no_place() {
        let attempts = Attempts::default();
        let ann = pair("ann", "192.0.2.1");
        for at in 0..100 {
            attempts.take(&ann, at).unwrap().was_right();
        }
        assert!(attempts.pairs().is_empty(), "nothing is left of it");
    }

    #[test]
    fn it_is_said_whether_places_may_come_back() {
        let attempts = Attempts::default();
        let ann = pair("ann", "192.0.2.1");
        let mut trying: Vec<_> = (0..10).map(|_| attempts.take(&ann, 0).unwrap()).collect();
        assert!(attempts.take(&ann, 0).unwrap_err().some_are_trying);
        trying.pop().unwrap().was_right();
        drop(attempts.take(&ann, 0).expect("its place"));
        assert!(attempts.take(&ann, 0).unwrap_err().some_are_trying);
        drop(trying);
        assert!(!attempts.take(&ann, 0).unwrap_err().some_are_trying, "all were wrong");
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
            drop(attempts.take(&pair(&format!("a{at}"), "192.0.2.1"), now_ms).unwrap());
        }
        let pairs = attempts.pairs();
        assert_eq!(pairs.len(), PAIRS_MAX);
        assert!(!pairs.contains_key(&pair("a0", "192.0.2.1")));
        assert!(pairs.contains_key(&pair("a8291", "192.0.2.1")));
    }
}
