//! Fires that are taken, and runs from their beginning to their end.

use serde_json::json;

use super::{
    BegunRun, FireTaken, OpenRun, RunEnd, Runner, TakeFire, changes::move_binding, rows,
    texts as st,
};
use crate::{
    db::{
        DbError, Result,
        dialect::{Dialect, Fields, Link, SqlText},
        values::{rows_max, values},
        write::Write,
    },
    domain::{
        clock::EpochMs,
        ids::{FireUuid, ImageUuid, JobGroupUuid, NodeUuid, ScheduledJobUuid, TriggerUuid},
        schedule::{ScheduledJob, Target},
    },
};

/// What a run belongs to.
struct Cause {
    trigger: Option<TriggerUuid>,
    group: Option<JobGroupUuid>,
    fire_ms: EpochMs,
    /// Whether a job that is disabled is run as well.
    also_disabled: bool,
}

impl Write for TakeFire {
    type Answer = FireTaken;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<FireTaken> {
        let Some(fire_ms) = self.binding.next_fire_ms else { return Ok(FireTaken::Lost) };
        if !move_binding(link, &self.then).await? {
            return Ok(FireTaken::Lost);
        }
        let (jobs, group) = match self.binding.target {
            Target::Job(uuid) => {
                (link.all(SqlText::Fixed(st::JOB_BY_UUID), values![uuid]).await?, None)
            }
            Target::Group(uuid) => {
                (link.all(SqlText::Fixed(st::JOBS_OF_GROUP), values![uuid]).await?, Some(uuid))
            }
        };
        let jobs = jobs.iter().map(rows::job).collect::<Result<Vec<_>>>()?;
        let trigger = Some(self.binding.trigger);
        let cause = Cause { trigger, group, fire_ms, also_disabled: false };
        let mut begun = Vec::new();
        for job in &jobs {
            begun.extend(begin(link, job, &cause, self.by).await?);
        }
        if begun.is_empty() && jobs.iter().any(|job| job.enabled) {
            return Ok(FireTaken::Busy);
        }
        Ok(FireTaken::Runs(begun))
    }

    fn keeps(answer: &FireTaken) -> bool {
        matches!(answer, FireTaken::Runs(_))
    }
}

async fn begin<D: Dialect>(
    link: &mut Link<'_, D>,
    job: &ScheduledJob,
    cause: &Cause,
    by: Runner,
) -> Result<Option<BegunRun>> {
    let row = link.one(st::NEXT_ID, Vec::new()).await?;
    let id = row.and_then(|row| row.int("last").ok().flatten());
    let id = id.ok_or_else(|| DbError::Refused {
        message: "the numbers of runs have come to an end".to_owned(),
    })?;
    let free = values![job.uuid, id, cause.also_disabled];
    if link.execute(st::JOB_BEGIN, free).await? == 0 {
        return Ok(None);
    }
    let fire = FireUuid::random();
    let parameters: serde_json::Value =
        serde_json::from_str(&job.parameters.to_json()).unwrap_or_default();
    let request = json!({"type": job.job_type.name(), "name": job.name, "parameters": parameters});
    let values = values![
        id,
        job.account,
        cause.trigger,
        job.uuid,
        cause.group,
        job.job_type.name(),
        job.target,
        cause.fire_ms,
        fire,
        request.to_string(),
        by.node,
        by.until_ms,
        by.now_ms,
    ];
    link.execute(st::HISTORY_INSERT, values).await?;
    Ok(Some(BegunRun { id, fire, job: job.clone() }))
}

pub(super) struct RunNow {
    pub(super) job: ScheduledJobUuid,
    pub(super) trigger: Option<TriggerUuid>,
    pub(super) group: Option<JobGroupUuid>,
    pub(super) by: Runner,
}

impl Write for RunNow {
    type Answer = Option<BegunRun>;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<Option<BegunRun>> {
        let Some(row) = link.one(st::JOB_BY_UUID, values![self.job]).await? else {
            return Ok(None);
        };
        let job = rows::job(&row)?;
        let cause = Cause {
            trigger: self.trigger,
            group: self.group,
            fire_ms: self.by.now_ms,
            also_disabled: true,
        };
        begin(link, &job, &cause, self.by).await
    }

    fn keeps(answer: &Option<BegunRun>) -> bool {
        answer.is_some()
    }
}

pub(super) struct RunBegins(pub(super) i64, pub(super) EpochMs);

impl Write for RunBegins {
    type Answer = ();

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<()> {
        link.execute(st::HISTORY_BEGINS, values![self.0, self.1]).await.map(drop)
    }
}

pub(super) struct EndRun {
    pub(super) id: i64,
    pub(super) end: RunEnd,
}

impl Write for EndRun {
    type Answer = bool;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<bool> {
        let RunEnd { success, result, now_ms } = &self.end;
        let values = values![self.id, *now_ms, *success, result];
        let ended = link.execute(st::HISTORY_END, values).await? > 0;
        link.execute(st::JOB_END, values![self.id]).await?;
        Ok(ended)
    }
}

pub(super) struct RenewRuns {
    pub(super) by: Runner,
    /// As many as jobs at the most: a job has one run at once.
    pub(super) runs: Vec<i64>,
}

impl Write for RenewRuns {
    type Answer = u64;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<u64> {
        let mut renewed = 0;
        for id in &self.runs {
            let values = values![*id, self.by.until_ms, self.by.node];
            renewed += link.execute(st::LEASES_RENEW, values).await?;
        }
        Ok(renewed)
    }
}

/// The runs that a process of this node has left behind.
pub(super) struct CloseOfNode {
    pub(super) node: NodeUuid,
    pub(super) end: RunEnd,
}

impl Write for CloseOfNode {
    type Answer = u64;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<u64> {
        let RunEnd { success, result, now_ms } = &self.end;
        let values = values![self.node, *now_ms, *success, result];
        let closed = link.all(SqlText::Fixed(st::HISTORY_CLOSE_OF_NODE), values).await?;
        let orphans = link.all(SqlText::Fixed(st::ORPHANS), Vec::new()).await?;
        // Each by its number: of a job that another process has begun anew meanwhile nothing is taken.
        for row in closed.iter().chain(&orphans) {
            link.execute(st::JOB_END, values![rows::run_id(row)?]).await?;
        }
        Ok(closed.len() as u64)
    }
}

pub(super) struct CloseSilent {
    pub(super) runs: Vec<OpenRun>,
    pub(super) end: RunEnd,
}

impl Write for CloseSilent {
    type Answer = u64;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<u64> {
        let RunEnd { success, result, now_ms } = &self.end;
        let mut ended = 0;
        for OpenRun { id, lease_until_ms } in &self.runs {
            let values = values![*id, *now_ms, *success, result, *lease_until_ms];
            if link.execute(st::HISTORY_CLOSE_SILENT, values).await? > 0 {
                link.execute(st::JOB_END, values![*id]).await?;
                ended += 1;
            }
        }
        Ok(ended)
    }
}

/// Some of them: the rest comes in the next transaction, as others wait for the one who writes.
pub(super) struct PruneRuns(pub(super) EpochMs, pub(super) u64);

impl Write for PruneRuns {
    type Answer = u64;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<u64> {
        link.execute(st::HISTORY_PRUNE, values![self.0, rows_max(self.1)]).await
    }
}

pub(super) struct ImageChecked(pub(super) ImageUuid, pub(super) EpochMs);

impl Write for ImageChecked {
    type Answer = ();

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<()> {
        link.execute(st::IMAGE_CHECKED, values![self.0, self.1]).await.map(drop)
    }
}

pub(super) struct ScrubNote(pub(super) String);

impl Write for ScrubNote {
    type Answer = ();

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<()> {
        link.execute(st::SCRUB_NOTE_KEEP, values![&self.0]).await.map(drop)
    }
}
