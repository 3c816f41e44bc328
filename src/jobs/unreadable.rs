//! Unfinished jobs and partial uploads whose rows cannot be read: nobody leads them on, so somebody has to be told.

use super::{Jobs, locked};
use crate::db::DbError;

/// Rows that are named; all are counted.
const NAMED_MAX: usize = 8;

/// What one look at all unfinished jobs and all partial uploads could not read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unreadable {
    /// How many.
    pub rows: u64,
    /// The first of them, in words.
    pub first: Vec<String>,
}

impl Unreadable {
    pub(super) fn add<'e>(&mut self, rows: impl IntoIterator<Item = &'e DbError>) {
        for error in rows {
            self.rows += 1;
            if self.first.len() < NAMED_MAX {
                self.first.push(error.to_string());
            }
        }
    }
}

impl Jobs {
    /// Unfinished jobs and partial uploads that could not be read when all were last looked at. They wait, with their bytes, until
    /// their rows are mended.
    pub fn unreadable(&self) -> Unreadable {
        locked(&self.unreadable).clone()
    }

    /// Tells what is new.
    pub(super) fn set_unreadable(&self, now: Unreadable) {
        let mut known = locked(&self.unreadable);
        if *known == now {
            return;
        }
        for words in &now.first {
            tracing::error!("{words}: it is left as it is with its bytes; mend the row");
        }
        if now.rows > 0 {
            tracing::error!(rows = now.rows, "unfinished uploads cannot be read");
        }
        *known = now;
    }
}
