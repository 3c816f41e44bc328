//! What is seen to while the bytes of one body come: its length, its room, and what its content shows.

use longshore_storage::StoreError;

use super::{Live, UploadError, Uploads, Verdict, space::AHEAD_BYTES};

/// Bytes of one body after which the promise of room is told of them.
const PROMISE_STEP_BYTES: u64 = 1 << 20;
/// After so many bytes of a body of unknown length its room is promised anew: well before what was promised is used up.
const AHEAD_STEP_BYTES: u64 = AHEAD_BYTES / 2;

/// How far a body of unknown length has come, and up to where its room has been seen to.
pub(super) struct Ahead {
    end: u64,
    until: u64,
    /// The length of the whole, where one was announced.
    bound: Option<u64>,
}

impl Ahead {
    /// From its first byte on.
    pub(super) const fn new(start: u64, bound: Option<u64>) -> Self {
        Self { end: start, until: start.saturating_add(AHEAD_STEP_BYTES), bound }
    }
}

/// How far one body has come.
pub(super) struct Course {
    received: u64,
    /// Up to where the promise of room has been told.
    told: u64,
    /// Where what is stored is looked at next: a few looks in all, however long the body is.
    look_at: u64,
}

impl Default for Course {
    fn default() -> Self {
        Self { received: 0, told: 0, look_at: PROMISE_STEP_BYTES }
    }
}

impl Uploads {
    /// More bytes of a body have been handed to the store. Answers whether its image is refused by now.
    pub(super) async fn advance(
        &self,
        live: &Live,
        course: &mut Course,
        bytes: usize,
    ) -> Option<Verdict> {
        course.received += bytes as u64;
        if course.received - course.told >= PROMISE_STEP_BYTES {
            self.has_written(live, course.received - course.told);
            course.told = course.received;
        }
        if course.received < course.look_at {
            return None;
        }
        course.look_at = course.received.saturating_mul(2);
        self.is_refused_midway(live).await
    }

    /// Sees to the length and the room of a body that did not say how long it is, as its bytes come: what was checked before it
    /// began says nothing about its end.
    pub(super) async fn go_ahead(
        &self,
        live: &Live,
        ahead: &mut Ahead,
        bytes: u64,
    ) -> Result<(), UploadError> {
        ahead.end = ahead.end.saturating_add(bytes);
        self.check_length(ahead.end)?;
        if let Some(length) = ahead.bound.filter(|length| ahead.end > *length) {
            return Err(StoreError::BeyondLength { end: ahead.end, length }.into());
        }
        if ahead.end > ahead.until {
            self.promise_ahead(live).await?;
            ahead.until = ahead.end.saturating_add(AHEAD_STEP_BYTES);
        }
        Ok(())
    }
}
