//! What runs by itself, and when: jobs, the triggers that fire them, groups of jobs, and what each run has led to. Pure.
//!
//! A *binding* joins a trigger to a job or to a group. It alone knows when it fires next, and moves on by compare-and-swap: that is
//! what keeps two processes from running the same fire twice.
//!
//! | binding | due, job free | due, job at work | job disabled | trigger changed | job enabled |
//! |---|---|---|---|---|---|
//! | waits (`next_fire_ms`) | runs once, waits for the first fire after now | the fire waits | asleep | first fire after now | - |
//! | asleep (no `next_fire_ms`) | - | - | stays | stays, or waits if it has fires again | first fire after now |
//!
//! | run | ends | its process ends | its trigger or job is deleted |
//! |---|---|---|---|
//! | open (no `ended_ms`) | success or failure, with a result | failure, at the next start or when its lease is over | goes on, its row stays |
//! | ended | stays | stays | stays |

mod kind;
mod report;
mod timing;

pub use kind::{JobType, Parameters};
pub use report::ReportUnit;
pub use timing::{CronText, InvalidTiming, Timing, start_ms_of};

use super::{
    clock::EpochMs,
    ids::{
        AccountUuid, FireUuid, ImageUuid, JobGroupUuid, NodeUuid, ScheduledJobUuid, TriggerUuid,
    },
};

/// Jobs that there may be, and triggers.
pub const JOBS_MAX: u64 = 500;
/// Groups that there may be.
pub const GROUPS_MAX: u64 = 100;
/// Bindings that there may be, and places in groups.
pub const BINDINGS_MAX: u64 = 1000;

/// Something that runs now and then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledJob {
    /// Its identifier.
    pub uuid: ScheduledJobUuid,
    /// Whose it is; an admin's.
    pub account: AccountUuid,
    /// Name, at most 255 characters.
    pub name: String,
    /// Description, at most 2,048 characters.
    pub description: Option<String>,
    /// What it does.
    pub job_type: JobType,
    /// The image that it is about, where it is about one.
    pub target: Option<ImageUuid>,
    /// How it does it.
    pub parameters: Parameters,
    /// Whether its triggers run it.
    pub enabled: bool,
    /// When it was made.
    pub created_ms: EpochMs,
    /// When it was last changed.
    pub last_op_ms: EpochMs,
}

/// When something runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// Its identifier.
    pub uuid: TriggerUuid,
    /// Whose it is; an admin's.
    pub account: AccountUuid,
    /// Name, at most 255 characters.
    pub name: String,
    /// Description, at most 2,048 characters.
    pub description: Option<String>,
    /// When it fires.
    pub timing: Timing,
    /// When it was made.
    pub created_ms: EpochMs,
    /// When it was last changed.
    pub last_op_ms: EpochMs,
}

/// Jobs that run together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobGroup {
    /// Its identifier.
    pub uuid: JobGroupUuid,
    /// Whose it is; an admin's.
    pub account: AccountUuid,
    /// Name, at most 255 characters.
    pub name: String,
    /// Description, at most 2,048 characters.
    pub description: Option<String>,
    /// The type of all its jobs; any where none was given.
    pub job_type: Option<JobType>,
    /// Whether its triggers run it.
    pub enabled: bool,
    /// When it was made.
    pub created_ms: EpochMs,
    /// When it was last changed.
    pub last_op_ms: EpochMs,
}

/// What a trigger runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// One job.
    Job(ScheduledJobUuid),
    /// Every job of a group.
    Group(JobGroupUuid),
}

impl Target {
    /// Its identifier as text.
    pub fn uuid(self) -> String {
        match self {
            Self::Job(uuid) => uuid.to_string(),
            Self::Group(uuid) => uuid.to_string(),
        }
    }
}

/// A trigger joined to what it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// The trigger.
    pub trigger: TriggerUuid,
    /// What it runs.
    pub target: Target,
    /// Where its fires are counted from: the trigger's start, else when it was bound.
    pub anchor_ms: EpochMs,
    /// When it fires next; `None` while its target is disabled, and once there is no fire left.
    pub next_fire_ms: Option<EpochMs>,
    /// What the clock showed when it last moved: a clock that was set back is told by it.
    pub moved_ms: EpochMs,
    /// Grows with every move; the compare-and-swap key.
    pub generation: i64,
}

impl Binding {
    /// Newly bound at `now_ms`. `next_fire_ms` is the first fire, `None` if `enabled` is not. Fires of a simple trigger between its
    /// start and now are missed ones, which run once, now: a client's "now" is past when the binding comes, and a trigger that fires
    /// once would never fire.
    pub fn new(trigger: &Trigger, target: Target, enabled: bool, now_ms: EpochMs) -> Self {
        let anchor_ms = trigger.timing.start_ms().unwrap_or(now_ms);
        let has_missed = matches!(trigger.timing, Timing::Simple { .. }) && anchor_ms < now_ms;
        let next_fire_ms = if has_missed {
            Some(now_ms)
        } else {
            trigger.timing.next_after(anchor_ms, now_ms - 1)
        };
        Self {
            trigger: trigger.uuid,
            target,
            anchor_ms,
            next_fire_ms: next_fire_ms.filter(|_| enabled),
            moved_ms: now_ms,
            generation: 1,
        }
    }

    /// After its trigger was changed or its target enabled or disabled: the first fire after now.
    #[must_use]
    pub fn moved(self, timing: &Timing, enabled: bool, now_ms: EpochMs) -> Self {
        // Bound to no start of the trigger it goes on from where it was, unless that is still to come.
        let anchor_ms = timing.start_ms().unwrap_or(self.anchor_ms.min(now_ms));
        let next_fire_ms = timing.next_after(anchor_ms, now_ms).filter(|_| enabled);
        Self { anchor_ms, next_fire_ms, moved_ms: now_ms, ..self }
    }

    /// After the timing of its trigger was changed: the first fire after now. Where the new grid, counted from the old beginning, is
    /// over, it is counted from now, as if it were newly bound: whoever changes a trigger wants it to fire.
    #[must_use]
    pub fn retimed(self, trigger: &Trigger, enabled: bool, now_ms: EpochMs) -> Self {
        let moved = self.moved(&trigger.timing, true, now_ms);
        let moved = if moved.next_fire_ms.is_none() {
            let anew = Self::new(trigger, self.target, true, now_ms);
            Self { generation: self.generation, ..anew }
        } else {
            moved
        };
        Self { next_fire_ms: moved.next_fire_ms.filter(|_| enabled), ..moved }
    }

    /// Whether the clock was set back so far since it last moved that it would sleep for long, or for ever: a clock that was ahead
    /// for a minute takes fires of years to come. Ten minutes are none: processes need not agree to the second.
    pub const fn is_ahead_of(&self, now_ms: EpochMs) -> bool {
        self.moved_ms.saturating_sub(now_ms) > CLOCK_SLACK_MS
    }
}

/// As far as clocks of two processes, or one before and after it was set, may be apart.
pub const CLOCK_SLACK_MS: i64 = 600_000;

/// One run of a job: a row of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    /// Grows with every run.
    pub id: i64,
    /// Whose job it was.
    pub account: AccountUuid,
    /// What fired it; `None` where somebody ran the job by itself.
    pub trigger: Option<TriggerUuid>,
    /// The job.
    pub job: ScheduledJobUuid,
    /// The group as part of which it ran.
    pub group: Option<JobGroupUuid>,
    /// What the job does.
    pub job_type: JobType,
    /// The image that it was about.
    pub target: Option<ImageUuid>,
    /// The moment that it was due.
    pub fire_ms: EpochMs,
    /// This one run.
    pub fire: FireUuid,
    /// What was asked, as JSON.
    pub request: String,
    /// What it led to, as JSON; `None` while it runs.
    pub result: Option<String>,
    /// Whether it did what it was to do; `None` while it runs.
    pub success: Option<bool>,
    /// The process that runs it.
    pub node: NodeUuid,
    /// When it began.
    pub started_ms: EpochMs,
    /// When it ended.
    pub ended_ms: Option<EpochMs>,
}

impl RunRecord {
    /// Whole seconds that it took; `None` while it runs.
    pub fn execute_secs(&self) -> Option<i64> {
        self.ended_ms.map(|ended| (ended.saturating_sub(self.started_ms) / 1000).max(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: EpochMs = 1_795_222_923_456;

    fn trigger(start_ms: Option<EpochMs>, secs: i64, repeats: i64) -> Trigger {
        Trigger {
            uuid: TriggerUuid::random(),
            account: AccountUuid::random(),
            name: "t".to_owned(),
            description: None,
            timing: Timing::simple(start_ms, secs, repeats).unwrap(),
            created_ms: NOW_MS,
            last_op_ms: NOW_MS,
        }
    }

    fn target() -> Target {
        Target::Job(ScheduledJobUuid::random())
    }

    #[test]
    fn a_start_that_has_just_passed_fires_once_and_then_on_its_grid() {
        for (repeats, then) in [(0, Some(NOW_MS + 59_000)), (1, None), (3, Some(NOW_MS + 59_000))] {
            let trigger = trigger(Some(NOW_MS - 1000), 60, repeats);
            let bound = Binding::new(&trigger, target(), true, NOW_MS);
            assert_eq!(bound.next_fire_ms, Some(NOW_MS), "repeatCount {repeats}");
            let after = bound.moved(&trigger.timing, true, NOW_MS);
            assert_eq!(after.next_fire_ms, then, "repeatCount {repeats}");
            assert_eq!(Binding::new(&trigger, target(), false, NOW_MS).next_fire_ms, None);
        }
        let later = trigger(Some(NOW_MS + 5), 60, 1);
        assert_eq!(Binding::new(&later, target(), true, NOW_MS).next_fire_ms, Some(NOW_MS + 5));
    }

    #[test]
    fn a_changed_timing_whose_grid_is_over_counts_from_now() {
        let hourly = trigger(None, 3600, 10);
        let bound = Binding::new(&hourly, target(), true, NOW_MS - 3_600_000);
        let minutely = trigger(None, 60, 10);
        let changed = bound.retimed(&minutely, true, NOW_MS);
        assert_eq!((changed.next_fire_ms, changed.anchor_ms), (Some(NOW_MS), NOW_MS));
        assert_eq!(changed.generation, bound.generation);
        // Asleep it keeps its new beginning, and has fires when it is enabled.
        let asleep = bound.retimed(&minutely, false, NOW_MS);
        assert_eq!((asleep.next_fire_ms, asleep.anchor_ms), (None, NOW_MS));
        // A grid that is not over is gone on with.
        let half = bound.retimed(&trigger(None, 1800, 10), true, NOW_MS);
        assert_eq!(half.next_fire_ms, Some(NOW_MS + 1_800_000));
    }
}
