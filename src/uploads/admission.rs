//! How many requests one account, or one address that names no account, may have at work: so that no single client can take
//! what all share.
//!
//! *Guarantees.* At most so many [`Admission`]s of one party exist at once. One that is refused leaves nothing behind; one that is
//! dropped makes room at once. What one party does never refuses another.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{UploadError, Uploads};
use crate::domain::{ids::AccountUuid, peer::counted_as};

/// For whom a request is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Party {
    /// The account that it works for.
    Account(AccountUuid),
    /// Where it comes from, while nobody knows for whom it works.
    Address(IpAddr),
    /// Where a body comes from that is refused and read away. Apart from the others: what is refused keeps nobody from asking.
    Refused(IpAddr),
}

/// Requests at work, by party. Holds as many entries as there are requests at most.
#[derive(Debug)]
pub(super) struct Admissions {
    per_account_max: u32,
    per_address_max: u32,
    running: Mutex<HashMap<Party, u32>>,
}

/// The right of one request to be at work; dropped when it is over.
#[derive(Debug)]
#[must_use = "the request is counted only as long as this lives"]
pub struct Admission {
    all: Arc<Admissions>,
    party: Party,
}

impl Admissions {
    pub(super) fn new(per_account_max: u32, per_address_max: u32) -> Self {
        Self { per_account_max, per_address_max, running: Mutex::default() }
    }

    fn enter(self: &Arc<Self>, party: Party) -> Result<Admission, UploadError> {
        let max = match party {
            Party::Account(_) => self.per_account_max,
            Party::Address(_) | Party::Refused(_) => self.per_address_max,
        };
        let party = match party {
            Party::Account(_) => party,
            Party::Address(address) => Party::Address(counted_as(address)),
            Party::Refused(address) => Party::Refused(counted_as(address)),
        };
        let mut running = self.running();
        let count = running.entry(party).or_insert(0);
        if *count >= max {
            return Err(UploadError::TooManyRequests { max });
        }
        *count += 1;
        Ok(Admission { all: Arc::clone(self), party })
    }

    fn running(&self) -> MutexGuard<'_, HashMap<Party, u32>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.all.running().entry(self.party) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl Uploads {
    /// Counts a request for its party, or refuses it with `TooManyRequests`.
    pub fn admit_request(&self, party: Party) -> Result<Admission, UploadError> {
        self.admissions.enter(party)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_has_its_own_bound_and_room_comes_back() {
        let all = Arc::new(Admissions::new(2, 1));
        let (ann, bob) =
            (Party::Account(AccountUuid::random()), Party::Account(AccountUuid::random()));
        let address = Party::Address(IpAddr::from([127, 0, 0, 1]));
        let first = all.enter(ann).unwrap();
        let second = all.enter(ann).unwrap();
        assert!(matches!(all.enter(ann), Err(UploadError::TooManyRequests { max: 2 })));
        let others = (all.enter(bob).unwrap(), all.enter(address).unwrap());
        assert!(matches!(all.enter(address), Err(UploadError::TooManyRequests { max: 1 })));
        let refused = all.enter(Party::Refused(IpAddr::from([127, 0, 0, 1]))).unwrap();
        drop(first);
        let third = all.enter(ann).unwrap();
        assert!(all.enter(ann).is_err());
        drop((second, third, others, refused));
        assert!(all.running().is_empty(), "whoever has gone takes no memory");
    }

    #[test]
    fn addresses_of_one_client_have_one_share() {
        let all = Arc::new(Admissions::new(1, 1));
        let at = |text: &str| Party::Address(text.parse().unwrap());
        let first = all.enter(at("2001:db8::1")).unwrap();
        assert!(all.enter(at("2001:db8::ffff:2")).is_err(), "its network is its own");
        let others = [all.enter(at("2001:db8:0:1::1")), all.enter(at("192.0.2.1"))];
        assert!(all.enter(at("::ffff:192.0.2.1")).is_err());
        drop((first, others));
        assert!(all.running().is_empty());
    }

    #[test]
    fn the_bound_holds_for_requests_that_race() {
        let all = Arc::new(Admissions::new(10, 1));
        let ann = Party::Account(AccountUuid::random());
        let admitted: usize = std::thread::scope(|scope| {
            let racing: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| (0..10).filter_map(|_| all.enter(ann).ok()).collect::<Vec<_>>())
                })
                .collect();
            // All are kept until all have come.
            let kept: Vec<_> = racing.into_iter().map(|thread| thread.join().unwrap()).collect();
            kept.iter().map(Vec::len).sum()
        });
        assert_eq!(admitted, 10);
        assert!(all.running().is_empty());
    }
}
