//! Whether uploads can be taken at this moment, and why not.

use std::sync::atomic::Ordering;

use longshore_storage::Statistics;

use super::Uploads;

/// One thing that the service needs.
#[derive(Debug, Clone)]
pub struct Check {
    /// What: `database`, `store`, `space`, `serving`.
    pub name: &'static str,
    /// What is wrong with it, in words; `None` if nothing is.
    pub problem: Option<String>,
}

impl Uploads {
    /// Asks everything that an upload needs. Takes as long as the slowest of them, each of which has a bound of its own.
    pub async fn checks(&self) -> Vec<Check> {
        let (database, store, space) =
            futures::join!(self.db.ping(), self.store.probe(), self.store.space());
        let words = |problem: Option<String>, name| Check { name, problem };
        let low = match space {
            Ok(space) => {
                let kept = space.total_bytes / 100 * self.limits.free_bytes_min_percent;
                (space.free_bytes <= kept)
                    .then(|| format!("{} bytes are free, {kept} are kept back", space.free_bytes))
            }
            Err(error) => Some(error.to_string()),
        };
        let stopping = self.draining.is_cancelled().then(|| "the service is stopping".to_owned());
        vec![
            words(database.err().map(|error| error.to_string()), "database"),
            words(store.err().map(|error| error.to_string()), "store"),
            words(low, "space"),
            words(stopping, "serving"),
        ]
    }

    /// Bytes of bodies that were taken since the start; those of duplicates are not among them.
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes.load(Ordering::Relaxed)
    }

    /// What the store has done since the start.
    pub fn statistics(&self) -> Statistics {
        self.store.statistics()
    }

    /// Bytes that are promised to unfinished uploads and not written yet.
    pub fn promised_bytes(&self) -> u64 {
        self.space.promised_bytes()
    }
}
