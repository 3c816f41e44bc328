//! What runs without being asked: the housekeeping of the service, as jobs that an operator can look at, change and disable.

use super::{ScheduleError, Scheduler};
use crate::{
    db::ScheduleChange,
    domain::{
        clock::EpochMs,
        ids::{AccountUuid, ScheduledJobUuid, TriggerUuid},
        schedule::{Binding, JobType, Parameters, ScheduledJob, Target, Timing, Trigger},
    },
};

/// One job with a trigger of its own.
struct BuiltIn {
    job_type: JobType,
    name: &'static str,
    description: &'static str,
    when: When,
}

enum When {
    /// At once, and then every so many seconds.
    Every(i64),
    /// In so many seconds, and then every so many.
    Later(i64),
    /// As a cron expression says.
    Cron(&'static str),
}

const BUILT_IN: [BuiltIn; 5] = [
    BuiltIn {
        job_type: JobType::ExpireUploads,
        name: "expire uploads",
        description: "Gives up uploads whose last byte is too old, and leads on what nobody else would",
        when: When::Every(60),
    },
    BuiltIn {
        job_type: JobType::PurgeDeletedImages,
        name: "purge deleted images",
        description: "Removes images for good that were deleted long enough ago, and strays",
        when: When::Every(600),
    },
    BuiltIn {
        job_type: JobType::PruneRecords,
        name: "prune records",
        description: "Removes old results of calls, sessions that have ended, and old runs",
        when: When::Every(3600),
    },
    BuiltIn {
        job_type: JobType::ReconcileStore,
        name: "reconcile the store",
        description: "Compares the files of the store with the records, and repairs what is safe",
        when: When::Later(21_600),
    },
    BuiltIn {
        job_type: JobType::ScrubImages,
        name: "scrub images",
        description: "Reads images again and compares their digests, the one not looked at for longest first",
        when: When::Cron("0 0 2 * * ?"),
    },
];

/// Fixed, so that scripts can name them: version 4 by its form, as ZStack's clients want it.
const JOB_UUIDS: u128 = 0x5ced_01e0_0000_4000_8000_0000_0000_0001;
const TRIGGER_UUIDS: u128 = 0x5ced_01e0_0000_4000_8000_0000_0001_0001;

fn uuid(first: u128, place: usize) -> uuid::Uuid {
    uuid::Uuid::from_u128(first + place as u128)
}

impl Scheduler {
    /// Makes the default jobs, once in the life of the records: one that an operator has deleted stays deleted.
    pub async fn ensure_defaults(&self, account: AccountUuid) -> Result<(), ScheduleError> {
        let now_ms = self.jobs.parts.clock.now_ms();
        let (mut jobs, mut triggers, mut bindings) = (Vec::new(), Vec::new(), Vec::new());
        for (place, built_in) in BUILT_IN.iter().enumerate() {
            let job = job(built_in, place, account, now_ms);
            let trigger = trigger(built_in, place, account, now_ms)?;
            let binding = Binding::new(&trigger, Target::Job(job.uuid), true, now_ms);
            bindings.push(match built_in.when {
                When::Later(_) => binding.moved(&trigger.timing, true, now_ms),
                When::Every(_) | When::Cron(_) => binding,
            });
            jobs.push(job);
            triggers.push(trigger);
        }
        let defaults = ScheduleChange::Defaults { jobs, triggers, bindings };
        // `Taken`: they were made before.
        let _ = self.jobs.parts.db.change_schedule(defaults).await?;
        Ok(())
    }
}

fn job(built_in: &BuiltIn, place: usize, account: AccountUuid, now_ms: EpochMs) -> ScheduledJob {
    ScheduledJob {
        uuid: ScheduledJobUuid(uuid(JOB_UUIDS, place)),
        account,
        name: built_in.name.to_owned(),
        description: Some(built_in.description.to_owned()),
        job_type: built_in.job_type,
        target: None,
        parameters: Parameters::default(),
        enabled: true,
        created_ms: now_ms,
        last_op_ms: now_ms,
    }
}

fn trigger(
    built_in: &BuiltIn,
    place: usize,
    account: AccountUuid,
    now_ms: EpochMs,
) -> Result<Trigger, ScheduleError> {
    let timing = match built_in.when {
        When::Every(secs) | When::Later(secs) => Timing::simple(None, secs, 0),
        When::Cron(text) => text.parse().map(|cron| Timing::Cron { start_ms: None, cron }),
    };
    Ok(Trigger {
        uuid: TriggerUuid(uuid(TRIGGER_UUIDS, place)),
        account,
        name: format!("when to {}", built_in.name),
        description: None,
        timing: timing.map_err(|error| ScheduleError::Invalid(error.to_string()))?,
        created_ms: now_ms,
        last_op_ms: now_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::is_resource_uuid;

    #[test]
    fn every_default_is_sound_and_has_a_name_of_its_own() {
        let mut seen = std::collections::BTreeSet::new();
        for (place, built_in) in BUILT_IN.iter().enumerate() {
            let job = job(built_in, place, AccountUuid::NIL, 1);
            let trigger = trigger(built_in, place, AccountUuid::NIL, 1).unwrap();
            assert!(trigger.timing.next_after(1, 1).is_some());
            for uuid in [job.uuid.to_string(), trigger.uuid.to_string()] {
                assert!(is_resource_uuid(&uuid), "{uuid}");
                assert!(seen.insert(uuid));
            }
        }
    }
}
