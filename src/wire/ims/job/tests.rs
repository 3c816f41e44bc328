//! Every state of a job as IMS shows it.

use crate::domain::{
    ids::{AccountUuid, ApiId, ImageUuid, JobUuid, UploadUuid},
    job::ADD_IMAGE_JOB,
    job_state::SuspendReason,
};

use super::*;

const BEGAN_MS: i64 = 1_730_873_983_195; // 2024-11-06T06:19:43.195Z
const BEGAN: &str = "2024-11-06T06:19:43.195Z";

fn long_job(state: JobState, at: Stage) -> LongJob {
    LongJob {
        uuid: JobUuid::NIL,
        account: AccountUuid::NIL,
        name: "job".to_owned(),
        description: None,
        api_id: ApiId::NIL,
        job_name: ADD_IMAGE_JOB.to_owned(),
        job_data: "{}".to_owned(),
        state,
        generation: 1,
        stage: at,
        stage_percent: 0,
        waits_for: Some("the first bytes".to_owned()),
        result: match state {
            JobState::Failed | JobState::Canceled => Some(JobResult::Error {
                detail: "what happened".to_owned(),
                cause: "why".to_owned(),
                reason: Reason::NotTheFile,
            }),
            JobState::Waiting
            | JobState::Running
            | JobState::Suspended(_)
            | JobState::Canceling
            | JobState::Succeeded => Some(JobResult::Event),
        },
        image: ImageUuid::NIL,
        upload: UploadUuid::NIL,
        node: None,
        created_ms: BEGAN_MS,
        last_op_ms: BEGAN_MS,
        finished_ms: state.is_final().then_some(BEGAN_MS + 5000),
    }
}

fn received(offset: u64, length: Option<u64>) -> Received {
    let last_byte_ms = Some(BEGAN_MS + 2000);
    let (offset, stored_bytes) = (Some(offset), Some(offset));
    Received { offset, stored_bytes, length, began_ms: BEGAN_MS + 1000, last_byte_ms }
}

fn shown(job: &LongJob, received: Option<Received>) -> Shown<'_> {
    Shown {
        job,
        image: None,
        asked_name: Some("debian"),
        media: MediaType::RootVolumeTemplate,
        received,
        upload_url: Some("http://a/secret"),
    }
}

#[test]
fn every_state_has_its_row() {
    use JobState as S;
    use SuspendReason as R;
    let half = Some(0.5);
    for (state, status, task, percent) in [
        (S::Waiting, "INIT", "Waiting", half),
        (S::Running, "RUNNING", "Receiving", half),
        (S::Suspended(R::Idle), "RUNNING", "Suspended(idle)", half),
        (S::Suspended(R::User), "RUNNING", "Suspended(user)", half),
        (S::Suspended(R::Restart), "RUNNING", "Suspended(restart)", half),
        (S::Suspended(R::NoSpace), "RUNNING", "Suspended(no_space)", half),
        (S::Suspended(R::IoError), "RUNNING", "Suspended(io_error)", half),
        (S::Canceling, "RUNNING", "Canceling", half),
        (S::Succeeded, "SUCCESS", "Succeeded", Some(1.0)),
        (S::Failed, "FAIL", "Failed", None),
        (S::Canceled, "FAIL", "Canceled", None),
    ] {
        let long = long_job(state, Stage::Receiving);
        let job = job(shown(&long, Some(received(50, Some(100)))));
        assert_eq!(job.status.name(), status, "{state}");
        assert_eq!(job.entities.current_task, format!("UploadImageTask:{task}"));
        assert_eq!(job.entities.process_percent, percent, "{state}");
        let failed = status == "FAIL";
        assert_eq!(job.fail_reason.is_some(), failed, "{state}");
        assert_eq!(job.error_code.is_some(), failed, "{state}");
        assert_eq!(job.end_time.is_some(), state.is_final(), "{state}");
        assert_eq!(job.entities.upload_url.is_some(), !state.is_final(), "{state}");
        assert_eq!(job.begin_time, time(BEGAN_MS + 1000), "that of its run");
    }
}

#[test]
fn a_filter_finds_what_is_shown_as_it() {
    let mut all = Vec::new();
    for status in Status::ALL {
        assert_eq!(Status::from_name(&status.name().to_ascii_lowercase()), Some(status));
        all.extend(status.states());
    }
    assert_eq!(
        all,
        ["Waiting", "Running", "Suspended", "Canceling", "Succeeded", "Failed", "Canceled"]
    );
    assert_eq!(Status::from_name("DONE"), None);
}

#[test]
fn what_is_not_whole_is_never_shown_as_one() {
    let percent = |offset, length| percent(JobState::Running, Some(received(offset, length)));
    assert_eq!(percent(0, Some(100)), Some(0.0));
    assert_eq!(percent(1, Some(3)), Some(0.3333));
    assert_eq!(percent(u64::MAX - 1, Some(u64::MAX)), Some(0.9999));
    assert_eq!(percent(100, Some(100)), Some(1.0));
    assert_eq!(percent(200, Some(100)), Some(1.0));
    assert_eq!(percent(5, None), None);
    assert_eq!(percent(0, Some(0)), None);
    assert_eq!(super::percent(JobState::Running, None), None);
}

fn stages(state: JobState, at: Stage) -> Vec<(&'static str, bool, bool)> {
    let long = long_job(state, at);
    let job = job(shown(&long, Some(received(100, Some(100)))));
    let stages = job.entities.sub_jobs_result.unwrap();
    let ids: Vec<_> = stages.iter().map(|stage| stage.job_id.clone()).collect();
    assert_eq!(job.entities.sub_jobs_list, Some(ids));
    let row = |stage: &SubJob| {
        (stage.status.name(), stage.begin_time.is_some(), stage.end_time.is_some())
    };
    stages.iter().map(row).collect()
}

/// What was not written down is null.
#[test]
fn stages_have_the_times_that_are_known() {
    let init = ("INIT", false, false);
    assert_eq!(
        stages(JobState::Running, Stage::Receiving),
        [("RUNNING", true, false), init, init, init]
    );
    assert_eq!(
        stages(JobState::Running, Stage::Inspecting),
        [("SUCCESS", true, true), ("SUCCESS", false, false), ("RUNNING", false, false), init]
    );
    let done = ("SUCCESS", false, false);
    assert_eq!(
        stages(JobState::Succeeded, Stage::Publishing),
        [("SUCCESS", true, true), done, done, ("SUCCESS", false, true)]
    );
    let never = ("FAIL", false, false);
    assert_eq!(
        stages(JobState::Failed, Stage::Verifying),
        [("SUCCESS", true, true), ("FAIL", false, true), never, never]
    );
    assert_eq!(
        stages(JobState::Canceled, Stage::Receiving),
        [("FAIL", true, true), never, never, never]
    );
}

fn failed_by(at: Stage, reason: Reason) -> LongJob {
    // The words decide nothing, whatever they look like.
    let (detail, cause) = ("what happened".to_owned(), "why (unknown, rule 4)".to_owned());
    let result = Some(JobResult::Error { detail, cause, reason });
    LongJob { result, ..long_job(JobState::Failed, at) }
}

#[test]
fn why_a_job_failed_has_a_code() {
    for at in Stage::ALL {
        for (reason, code) in [
            (Reason::Content, "IMG.0057"),
            (Reason::Digests, "IMG.0057"),
            // The storage has lost the bytes, or they were kept for too long.
            (Reason::NotTheFile, "IMG.0061"),
        ] {
            let long = failed_by(at, reason);
            let job = job(shown(&long, None));
            assert_eq!(job.fail_reason.as_deref(), Some("what happened"));
            assert_eq!(job.error_code.as_deref(), Some(code), "{at:?} {reason:?}");
        }
    }
    let silent = LongJob { result: None, ..long_job(JobState::Failed, Stage::Receiving) };
    assert!(job(shown(&silent, None)).fail_reason.is_some());
}

/// The stage that the job came to nothing by has the reason, and no other has.
#[test]
fn a_stage_fails_by_its_own_fault() {
    let told = |at, reason| {
        let long = failed_by(at, reason);
        let stages = STAGES.map(|stage| sub_job(shown(&long, Some(received(9, None))), stage));
        stages.map(|stage| {
            let words = stage.fail_reason.unwrap_or_default();
            let words = words.split(':').next().unwrap_or_default().to_owned();
            (words, stage.error_code, stage.end_time.is_some())
        })
    };
    let done = |has_end| (String::new(), None, has_end);
    let fault = |code: &str| ("what happened".to_owned(), Some(code.to_owned()), true);
    let cut = ("it was cut short".to_owned(), Some("IMG.0061".to_owned()), true);
    let never = ("it was not begun".to_owned(), Some("IMG.0061".to_owned()), false);
    let early = [cut.clone(), never.clone(), fault("IMG.0057"), never.clone()];
    assert_eq!(told(Stage::Receiving, Reason::Content), early);
    let later = [done(true), cut, fault("IMG.0057"), never.clone()];
    assert_eq!(told(Stage::Verifying, Reason::Content), later);
    let inspected = [done(true), done(false), fault("IMG.0057"), never.clone()];
    assert_eq!(told(Stage::Inspecting, Reason::Content), inspected);
    let digests = [done(true), fault("IMG.0057"), never.clone(), never.clone()];
    assert_eq!(told(Stage::Verifying, Reason::Digests), digests);
    let lost = [fault("IMG.0061"), never.clone(), never.clone(), never];
    assert_eq!(told(Stage::Receiving, Reason::NotTheFile), lost);
}

/// What was written down of a running job is shown while it is known to hold.
#[test]
fn a_job_waits_for_the_first_bytes_while_there_are_none() {
    let long = long_job(JobState::Running, Stage::Receiving);
    let waits = |received| job(shown(&long, received)).entities.waits_for;
    assert_eq!(waits(Some(received(0, None))).as_deref(), Some("the first bytes"));
    assert_eq!(waits(Some(received(1, None))), None);
    let ahead = Received { stored_bytes: Some(1), ..received(0, None) };
    assert_eq!(waits(Some(ahead)), None, "the first slice is late, not the first bytes");
    let unknown = Received { offset: None, stored_bytes: None, ..received(0, None) };
    assert_eq!(waits(Some(unknown)), None);
    assert_eq!(waits(None), None);
}

/// Whoever watches by the words looks them up there.
#[test]
fn both_tables_name_the_task_of_every_stage() {
    let told = include_str!("../../../../docs/ims.md");
    let table: String =
        include_str!("../job.rs").lines().take_while(|l| l.starts_with("//!")).collect();
    for stage in Stage::ALL {
        let task = job(shown(&long_job(JobState::Running, stage), None)).entities.current_task;
        let word = task.strip_prefix("UploadImageTask:").unwrap();
        assert!(told.contains(&format!("`{word}`")), "docs/ims.md does not name {word}");
        assert!(
            table.contains(&format!(":{word}`")),
            "the table above the code does not name {word}"
        );
    }
}

#[test]
fn a_running_job_says_at_which_stage_it_is() {
    for (at, word) in Stage::ALL.into_iter().zip([
        "Receiving",
        "Joining",
        "Verifying",
        "Inspecting",
        "Publishing",
    ]) {
        let long = long_job(JobState::Running, at);
        assert_eq!(job(shown(&long, None)).entities.current_task, format!("{TASK}:{word}"));
    }
}

/// Each time is the one of its own event.
#[test]
fn times_are_those_that_were_written_down() {
    let at = |secs: i64| time(BEGAN_MS + secs * 1000);
    let times = |stage: SubJob| (stage.begin_time, stage.end_time);
    let long = long_job(JobState::Succeeded, Stage::Publishing);
    let there = Some(received(100, Some(100)));
    let whole = job(shown(&long, there));
    assert_eq!((whole.begin_time, whole.end_time), (at(1), at(5)));
    let forgotten = job(shown(&long, None));
    assert_eq!(forgotten.begin_time.as_deref(), Some(BEGAN), "its own, where no run is known");
    assert_eq!(times(sub_job(shown(&long, there), Stage::Receiving)), (at(1), at(2)));
    assert_eq!(times(sub_job(shown(&long, there), Stage::Publishing)), (None, at(5)));
    let failed = long_job(JobState::Failed, Stage::Verifying);
    assert_eq!(times(sub_job(shown(&failed, there), Stage::Verifying)), (None, at(5)));
}

#[test]
fn a_stage_is_found_by_its_id() {
    assert_eq!(split_job_id("0123-receive"), ("0123", Some(Stage::Receiving)));
    assert_eq!(split_job_id("0123-publish"), ("0123", Some(Stage::Publishing)));
    for id in ["0123", "", "receive", "0123-other", "0123receive"] {
        assert_eq!(split_job_id(id), (id, None), "{id}");
    }
}

/// The example of the vendor's page can be read, older forms and all.
#[test]
fn the_example_of_the_page_is_read() {
    let example = r#"{"status":"SUCCESS","entities":{"image_id":"e9e91bff-14b6-4a0b-8377-4ed0813e3360","image_name":"asdfasdfasdfas",
        "process_percent":0.20,"current_task":"CreateImageByInstanceTask","results":[{"image_id":"49e9447f-7dff-41e0-8036-f66fe5488c8b",
        "project_id":"089b2f9a3d80d3062f24c00ca4ed5cbd","status":"success"}]},"job_id":"ff8080814dbd65d7014dbe0d84db0013",
        "job_type":"createImageByInstance","begin_time":"04-Jun-2015 18:11:06:586","end_time":"","error_code":null,"fail_reason":null}"#;
    let job: Job = serde_json::from_str(example).unwrap();
    assert_eq!(job.status, Status::Success);
    assert_eq!(job.entities.process_percent, Some(0.2));
}
