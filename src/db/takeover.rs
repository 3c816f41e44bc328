//! What a process that starts takes over, a range of jobs at once: with a statement or two for each of 10,000 jobs the service
//! would not listen for seconds.

use crate::domain::{
    ids::JobUuid,
    job_state::{JobState, SuspendReason},
};

use super::{
    Result, TakeOver, TakenOver,
    dialect::{Dialect, Link, SqlText},
    rows::RowOf,
    statements as st,
    values::values,
    write::Write,
};

impl Write for TakeOver {
    type Answer = TakenOver;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<TakenOver> {
        let mut taken = TakenOver::default();
        let leases = values![self.node, self.now_ms, self.until_ms, &self.after, &self.through];
        for row in link.all(SqlText::Fixed(st::LEASES_TAKE), leases).await? {
            let row = RowOf::new(&row, "upload", "uuid");
            taken.uploads.push((row.parsed("uuid")?, row.big("owner_epoch")?));
        }
        for (from, to) in &self.moves {
            let reason = |state: &JobState| state.suspend_reason().map(SuspendReason::name);
            let change = values![
                self.node,
                self.until_ms,
                &self.after,
                &self.through,
                from.name(),
                reason(from),
                to.name(),
                reason(to),
                &self.waits_for,
                &self.detail,
                JobUuid::NIL,
                &self.cause,
                self.now_ms,
            ];
            for row in link.all(SqlText::Fixed(st::JOBS_TAKE), change).await? {
                taken.moved.push((RowOf::new(&row, "long_job", "uuid").parsed("uuid")?, *to));
            }
        }
        Ok(taken)
    }
}
