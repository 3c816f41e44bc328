//! The long job's state machine: one total function over (state, event).
//!
//! The arrows are ZStack's (zstack.md 2.2) with the suspend reasons of design.md 4. The database applies the result by
//! compare-and-swap on the job's generation; nothing else changes a state.

use std::fmt;

/// Why a job is suspended. The reason decides whether bytes may wake it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SuspendReason {
    /// No byte arrived for a while.
    Idle,
    /// Somebody asked for it: takes no bytes until it is resumed.
    User,
    /// The service was restarted.
    Restart,
    /// The storage was full.
    NoSpace,
    /// The storage failed.
    IoError,
}

/// State of a long job as ZStack names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Recorded, not begun.
    Waiting,
    /// Takes bytes, or works on them.
    Running,
    /// Keeps its bytes and waits.
    Suspended(SuspendReason),
    /// Being canceled: its bytes are being removed.
    Canceling,
    /// The image is Ready.
    Succeeded,
    /// It failed for good; the record says why.
    Failed,
    /// It was canceled.
    Canceled,
}

/// What can happen to a long job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobEvent {
    /// The work begins.
    Start,
    /// A request with bytes arrived.
    BytesArrived,
    /// No byte for `idle_suspend`.
    WentSilent,
    /// `suspendLongJob`.
    SuspendAsked,
    /// The storage is full.
    StorageFull,
    /// The storage failed.
    StorageFailed,
    /// The process that ran it is gone.
    NodeLost,
    /// `resumeLongJob`, or all bytes turned out to be there after a restart.
    Resume,
    /// `cancelLongJob`.
    CancelAsked,
    /// The bytes of a canceled job are removed.
    CleanedUp,
    /// The image is Ready.
    Succeed,
    /// It cannot succeed any more.
    Fail,
    /// `rerunLongJob`, or submitted again under its uuid: a new run with a new upload.
    RunAgain,
}

/// What an event does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Next {
    /// The job goes to another state.
    To(JobState),
    /// The event changes nothing here, and that is right.
    Stay,
}

/// The event makes no sense in this state; whoever sent it has to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a job that is {from} takes no {event:?}")]
pub struct IllegalTransition {
    /// State of the job.
    pub from: JobState,
    /// What was asked for.
    pub event: JobEvent,
}

impl SuspendReason {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Idle, Self::User, Self::Restart, Self::NoSpace, Self::IoError];

    /// Its name in rows, metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::User => "user",
            Self::Restart => "restart",
            Self::NoSpace => "no_space",
            Self::IoError => "io_error",
        }
    }

    /// Whether arriving bytes resume the job by themselves.
    pub const fn bytes_resume(self) -> bool {
        match self {
            Self::User => false,
            Self::Idle | Self::Restart | Self::NoSpace | Self::IoError => true,
        }
    }
}

impl JobState {
    /// All of them, every reason apart.
    pub const ALL: [Self; 11] = [
        Self::Waiting,
        Self::Running,
        Self::Suspended(SuspendReason::Idle),
        Self::Suspended(SuspendReason::User),
        Self::Suspended(SuspendReason::Restart),
        Self::Suspended(SuspendReason::NoSpace),
        Self::Suspended(SuspendReason::IoError),
        Self::Canceling,
        Self::Succeeded,
        Self::Failed,
        Self::Canceled,
    ];

    /// ZStack's name of it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "Waiting",
            Self::Running => "Running",
            Self::Suspended(_) => "Suspended",
            Self::Canceling => "Canceling",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Canceled => "Canceled",
        }
    }

    /// Why it is suspended, if it is.
    pub const fn suspend_reason(self) -> Option<SuspendReason> {
        match self {
            Self::Suspended(reason) => Some(reason),
            Self::Waiting
            | Self::Running
            | Self::Canceling
            | Self::Succeeded
            | Self::Failed
            | Self::Canceled => None,
        }
    }

    /// The state with this name and reason, as rows hold them.
    pub fn from_names(name: &str, reason: Option<&str>) -> Option<Self> {
        Self::ALL.into_iter().find(|state| {
            state.name() == name && state.suspend_reason().map(SuspendReason::name) == reason
        })
    }

    /// Whether nothing happens to it any more, unless it is run again.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Canceled => true,
            Self::Waiting | Self::Running | Self::Suspended(_) | Self::Canceling => false,
        }
    }

    /// What `event` does to a job in this state. Total and pure.
    pub fn on(self, event: JobEvent) -> Result<Next, IllegalTransition> {
        use JobEvent as E;
        use JobState as S;
        use SuspendReason as R;
        let next = match (self, event) {
            (S::Waiting, E::Start | E::BytesArrived)
            | (S::Suspended(_), E::Resume)
            | (
                S::Suspended(R::Idle | R::Restart | R::NoSpace | R::IoError),
                E::BytesArrived,
            )
            | (S::Succeeded | S::Failed | S::Canceled, E::RunAgain) => S::Running,

            (S::Running, E::WentSilent) => S::Suspended(R::Idle),
            (
                S::Waiting
                | S::Running
                | S::Suspended(R::Idle | R::Restart | R::NoSpace | R::IoError),
                E::SuspendAsked,
            ) => S::Suspended(R::User),
            (S::Waiting | S::Running, E::StorageFull) => S::Suspended(R::NoSpace),
            (S::Waiting | S::Running, E::StorageFailed) => S::Suspended(R::IoError),
            (S::Waiting | S::Running, E::NodeLost) => S::Suspended(R::Restart),

            (S::Running | S::Suspended(_), E::CancelAsked) => S::Canceling,
            (S::Waiting, E::CancelAsked)
            | (S::Waiting | S::Running | S::Suspended(_) | S::Canceling, E::CleanedUp)
            | (S::Canceling, E::Fail) => S::Canceled,

            // A job that finishes while it is being canceled has succeeded (zstack.md 2.2).
            (S::Running | S::Canceling, E::Succeed) => S::Succeeded,
            (S::Waiting | S::Running | S::Suspended(_), E::Fail) => S::Failed,

            (S::Running, E::BytesArrived)
            | (
                S::Suspended(_) | S::Canceling,
                E::WentSilent | E::StorageFull | E::StorageFailed | E::NodeLost,
            )
            | (S::Suspended(R::User), E::SuspendAsked)
            | (S::Canceling | S::Canceled, E::CancelAsked)
            // Late news about a job that has ended is ignored, as ZStack does.
            | (
                S::Succeeded | S::Failed | S::Canceled,
                E::WentSilent
                | E::StorageFull
                | E::StorageFailed
                | E::NodeLost
                | E::CleanedUp
                | E::Succeed
                | E::Fail,
            ) => return Ok(Next::Stay),

            (S::Waiting, E::WentSilent | E::Resume | E::Succeed)
            | (S::Running, E::Start | E::Resume)
            | (S::Suspended(R::User), E::BytesArrived)
            | (S::Suspended(_), E::Start | E::Succeed)
            | (S::Canceling, E::Start | E::BytesArrived | E::SuspendAsked | E::Resume)
            | (
                S::Succeeded | S::Failed | S::Canceled,
                E::Start | E::BytesArrived | E::SuspendAsked | E::Resume,
            )
            | (S::Succeeded | S::Failed, E::CancelAsked)
            | (S::Waiting | S::Running | S::Suspended(_) | S::Canceling, E::RunAgain) => {
                return Err(IllegalTransition { from: self, event });
            }
        };
        Ok(Next::To(next))
    }
}

impl JobEvent {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Start,
        Self::BytesArrived,
        Self::WentSilent,
        Self::SuspendAsked,
        Self::StorageFull,
        Self::StorageFailed,
        Self::NodeLost,
        Self::Resume,
        Self::CancelAsked,
        Self::CleanedUp,
        Self::Succeed,
        Self::Fail,
        Self::RunAgain,
    ];
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self.suspend_reason() {
            Some(reason) => write!(f, "({})", reason.name()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    #[test]
    fn the_whole_table() {
        let mut table = String::new();
        for state in JobState::ALL {
            for event in JobEvent::ALL {
                let cell = match state.on(event) {
                    Ok(Next::To(next)) => next.to_string(),
                    Ok(Next::Stay) => "=".to_owned(),
                    Err(_) => "illegal".to_owned(),
                };
                writeln!(table, "{:<20} {:<14} {cell}", state.to_string(), format!("{event:?}"))
                    .unwrap();
            }
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn final_states_are_left_by_another_run_alone() {
        for state in JobState::ALL {
            for event in JobEvent::ALL {
                let moved = matches!(state.on(event), Ok(Next::To(_)));
                if state.is_final() || event == JobEvent::RunAgain {
                    let both = state.is_final() && event == JobEvent::RunAgain;
                    assert_eq!(moved, both, "{state} {event:?}");
                }
            }
        }
    }

    #[test]
    fn every_state_has_a_way_out() {
        for state in JobState::ALL.into_iter().filter(|state| !state.is_final()) {
            let Ok(after) = state.on(JobEvent::CancelAsked) else {
                panic!("{state} cannot be canceled")
            };
            let canceling = match after {
                Next::To(next) => next,
                Next::Stay => state,
            };
            let end = match canceling {
                JobState::Canceled => Next::To(JobState::Canceled),
                _ => canceling.on(JobEvent::CleanedUp).unwrap(),
            };
            assert_eq!(end, Next::To(JobState::Canceled), "{state}");
        }
    }

    #[test]
    fn names_come_back() {
        for state in JobState::ALL {
            let reason = state.suspend_reason().map(SuspendReason::name);
            assert_eq!(JobState::from_names(state.name(), reason), Some(state));
        }
        assert_eq!(JobState::from_names("Suspended", None), None);
        assert_eq!(JobState::from_names("Running", Some("idle")), None);
    }
}
