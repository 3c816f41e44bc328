//! The states that jobs have been in. Triggers write them (migration 0008); here they are read.

use crate::domain::{
    account::Scope, clock::EpochMs, history::StateChange, ids::JobUuid, job_state::JobState,
};

use super::{
    Result,
    dialect::{Dialect, Fields, SqlText},
    rows::RowOf,
    sql::SqlDatabase,
    statements as st,
    values::values,
};

/// With what the history of a job begins of which an earlier version recorded the rest.
const BEGAN: &str = "submitted";
/// Instead of a cause that an earlier version did not record.
const NOT_RECORDED: &str = "what led to this was not recorded: it was done by an earlier version";

/// A row of the history, or what a job says of itself.
struct Noted {
    at_ms: EpochMs,
    state: JobState,
    /// `None`: an earlier version did it.
    cause: Option<String>,
}

impl<D: Dialect> SqlDatabase<D> {
    pub(super) async fn history_of(
        &self,
        uuid: JobUuid,
        scope: Scope,
    ) -> Result<Option<Vec<StateChange>>> {
        // First the job: what happens between the two reads is in the rows, and they then say all.
        let job = |row: &D::Row| {
            let created_ms = RowOf::new(row, "long_job", "job_uuid").int("created_ms")?;
            Ok((created_ms, noted(row)?))
        };
        let found = self.read_one(st::JOB_STATE, values![uuid, scope], job).await?;
        let Some((created_ms, now)) = found else { return Ok(None) };
        let rows = SqlText::Fixed(st::JOB_HISTORY);
        let rows = self.read_all(rows, values![uuid], noted::<D::Row>).await?;
        Ok(Some(told(created_ms, if rows.is_empty() { vec![now] } else { rows })))
    }
}

fn noted<F: Fields>(row: &F) -> Result<Noted> {
    let row = RowOf::new(row, "job_history", "job_uuid");
    let (state, reason) = (row.text("state")?, row.text_or_null("suspend_reason")?);
    let state = JobState::from_names(&state, reason.as_deref());
    Ok(Noted {
        at_ms: row.int("at_ms")?,
        state: state.ok_or_else(|| row.corrupt("state"))?,
        cause: row.text_or_null("cause")?,
    })
}

/// What is known, from the job's creation on.
fn told(created_ms: EpochMs, noted: Vec<Noted>) -> Vec<StateChange> {
    let is_cut =
        noted.first().is_some_and(|first| first.cause.is_none() && first.at_ms > created_ms);
    // All but those that were recorded at their end began so, and an end is not later than such a creation.
    let began = is_cut.then(|| StateChange {
        at_ms: created_ms,
        state: JobState::Running,
        cause: BEGAN.to_owned(),
    });
    let changes = noted.into_iter().map(|noted| StateChange {
        at_ms: noted.at_ms,
        state: noted.state,
        cause: noted.cause.unwrap_or_else(|| NOT_RECORDED.to_owned()),
    });
    began.into_iter().chain(changes).collect()
}
