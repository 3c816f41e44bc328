//! Unfinished jobs whose rows cannot be read: nobody leads them on, so somebody has to be told.

use super::{Jobs, locked};
use crate::db::UnfinishedPage;

/// Rows that are named; all are counted.
const NAMED_MAX: usize = 8;

/// What one look at all unfinished jobs could not read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unreadable {
    /// How many.
    pub rows: u64,
    /// The first of them, in words.
    pub first: Vec<String>,
}

impl Unreadable {
    pub(super) fn add(&mut self, page: &UnfinishedPage) {
        for (_, error) in &page.unreadable {
            self.rows += 1;
            if self.first.len() < NAMED_MAX {
                self.first.push(error.to_string());
            }
        }
    }
}

impl Jobs {
    /// Unfinished jobs that could not be read when all were last looked at. They wait, with their bytes, until their rows are
    /// mended.
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
            tracing::error!("{words}: its job is left as it is, its bytes are kept; mend the row");
        }
        if now.rows > 0 {
            tracing::error!(rows = now.rows, "unfinished jobs cannot be read");
        }
        *known = now;
    }
}
