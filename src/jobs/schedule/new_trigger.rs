//! A trigger as a client gives it.

use super::ScheduleError;
use crate::domain::{
    clock::EpochMs,
    ids::TriggerUuid,
    schedule::{CronText, InvalidTiming, Timing, start_ms_of},
    text::shown,
};

/// A trigger to be made, or what an existing one is to be: what is `None` stays, or has its default.
#[derive(Debug, Clone, Default)]
pub struct NewTrigger {
    /// Its uuid, where the client chooses it.
    pub uuid: Option<TriggerUuid>,
    /// Its name.
    pub name: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// `simple` or `cron`.
    pub kind: Option<String>,
    /// Seconds between two fires.
    pub interval_secs: Option<i64>,
    /// Fires in all; 0 for ever.
    pub repeat_count: Option<i64>,
    /// ZStack's `startTime`.
    pub start_time: Option<i64>,
    /// The cron expression.
    pub cron: Option<String>,
}

impl NewTrigger {
    /// Whether anything of its timing was given.
    pub(super) const fn says_when(&self) -> bool {
        self.kind.is_some()
            || self.interval_secs.is_some()
            || self.repeat_count.is_some()
            || self.start_time.is_some()
            || self.cron.is_some()
    }

    /// When it fires, checked; what was not given is as it was `before`.
    pub(super) fn timing(
        &self,
        before: Option<&Timing>,
        now_ms: EpochMs,
    ) -> Result<Timing, ScheduleError> {
        let told = |error: InvalidTiming| ScheduleError::Invalid(error.to_string());
        let start_ms = match self.start_time {
            Some(start_time) => start_ms_of(start_time).map_err(told)?,
            None => before.and_then(Timing::start_ms),
        };
        let kind = match (self.kind.as_deref(), before) {
            (Some(kind), _) => kind,
            (None, _) if self.cron.is_some() => "cron",
            (None, Some(Timing::Cron { .. })) if self.interval_secs.is_none() => "cron",
            (None, _) => "simple",
        };
        match kind {
            "simple" => {
                let (mut secs, mut repeats) = (self.interval_secs, self.repeat_count);
                if let Some(Timing::Simple { interval_secs, repeat_count, .. }) = before {
                    secs = secs.or(Some(*interval_secs));
                    repeats = repeats.or(Some(*repeat_count));
                }
                // Once, where nothing says how often.
                let secs = match (secs, repeats) {
                    (None, Some(1)) => 1,
                    (None, _) => {
                        return Err(ScheduleError::Invalid(
                            "field[schedulerInterval] is mandatory for a simple trigger, can not be null: give seconds from 1 on".to_owned(),
                        ));
                    }
                    (Some(secs), _) => secs,
                };
                Timing::simple(start_ms, secs, repeats.unwrap_or(0)).map_err(told)
            }
            "cron" => {
                let cron: CronText = match (&self.cron, before) {
                    (Some(text), _) => text.parse().map_err(told)?,
                    (None, Some(Timing::Cron { cron, .. })) => cron.clone(),
                    (None, _) => {
                        return Err(ScheduleError::Invalid(
                            "field[cron] is mandatory for a trigger of type[cron], can not be null"
                                .to_owned(),
                        ));
                    }
                };
                let cron = cron.that_fires(start_ms.unwrap_or(now_ms).max(now_ms));
                Ok(Timing::Cron { start_ms, cron: cron.map_err(told)? })
            }
            other => Err(ScheduleError::Invalid(format!(
                "valid value for field[schedulerType] are [simple, cron], but {} found",
                shown(other)
            ))),
        }
    }
}
