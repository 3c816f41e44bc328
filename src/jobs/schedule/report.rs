//! How many runs went well and how many did not, over time.

use super::{ScheduleError, Scheduler};
use crate::domain::{
    account::{Caller, Scope},
    clock::EpochMs,
    query::{Condition, Operator, Query},
    schedule::{JobType, ReportUnit},
};

/// Most pieces of a report: ZStack's.
const RANGE_MAX: u8 = 31;

/// What a report is to be about.
#[derive(Debug, Clone)]
pub struct ReportAsked {
    /// Where it begins.
    pub start_ms: EpochMs,
    /// What one piece is.
    pub unit: ReportUnit,
    /// Pieces, at most 31: more are refused, not cut.
    pub range: u64,
    /// Types of jobs; all if there are none.
    pub job_types: Vec<JobType>,
}

/// Runs by the piece of time in which they began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Runs that did what they were to do.
    pub succeeded: Vec<u64>,
    /// Runs that did not, or found something wrong.
    pub failed: Vec<u64>,
    /// Runs that are at work.
    pub running: Vec<u64>,
}

impl Scheduler {
    /// Counts the runs that the caller may see.
    pub async fn report(
        &self,
        caller: Caller,
        asked: &ReportAsked,
    ) -> Result<Report, ScheduleError> {
        let range = u8::try_from(asked.range).ok().filter(|range| *range <= RANGE_MAX);
        let range = range.ok_or_else(|| {
            let words =
                format!("field[range] has to be 0 to {RANGE_MAX}, but {} found", asked.range);
            ScheduleError::Invalid(words)
        })?;
        let bounds = asked.unit.bounds(asked.start_ms, range);
        let bounds = bounds.ok_or_else(|| {
            ScheduleError::Invalid("field[startTime] lies beyond the calendar".to_owned())
        })?;
        let mut report = Report::default();
        for piece in bounds.windows(2) {
            let count = |field, operator, value: &str| {
                let last =
                    Condition { field: String::from(field), operator, value: value.to_owned() };
                self.count_runs(caller.scope(), (piece[0], piece[1]), &asked.job_types, last)
            };
            report.succeeded.push(count("success", Operator::Equal, "true").await?);
            report.failed.push(count("success", Operator::Equal, "false").await?);
            report.running.push(count("success", Operator::IsNull, "").await?);
        }
        Ok(report)
    }

    async fn count_runs(
        &self,
        scope: Scope,
        (from_ms, until_ms): (EpochMs, EpochMs),
        job_types: &[JobType],
        last: Condition,
    ) -> Result<u64, ScheduleError> {
        let bound =
            |operator, value: String| Condition { field: "startTime".to_owned(), operator, value };
        let mut conditions = vec![
            bound(Operator::GreaterOrEqual, from_ms.to_string()),
            bound(Operator::Less, until_ms.to_string()),
            last,
        ];
        if !job_types.is_empty() {
            let names: Vec<_> = job_types.iter().map(|kind| kind.name()).collect();
            let (field, operator) = ("jobType".to_owned(), Operator::In);
            conditions.push(Condition { field, operator, value: names.join(",") });
        }
        let query = Query { conditions, count: true, ..Query::default() };
        Ok(self.jobs.parts.db.runs(&query, scope).await?.total.unwrap_or(0))
    }
}
