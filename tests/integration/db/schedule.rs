//! The scheduler's records, on both databases: a fire is taken once, and the history answers ZStack's queries.

use std::{collections::BTreeMap, sync::Arc};

use longshore::{
    db::{
        Database, DbError, DbOptions, FireTaken, RunEnd, Runner, ScheduleChange, ScheduleChanged,
        TakeFire, open,
    },
    domain::{
        account::Scope,
        ids::{AccountUuid, ImageUuid, NodeUuid, ScheduledJobUuid, TriggerUuid},
        query::{Condition, Query},
        schedule::{
            Binding, JobType, Parameters, RunRecord, ScheduledJob, Target, Timing, Trigger,
        },
    },
};
use rstest::rstest;

use super::records::NOW_MS;
use crate::support::databases::TestDb;

fn job(account: AccountUuid, job_type: JobType) -> ScheduledJob {
    ScheduledJob {
        uuid: ScheduledJobUuid::random(),
        account,
        name: format!("a {}", job_type.name()),
        description: Some("what it is for".to_owned()),
        job_type,
        target: (job_type == JobType::VerifyImage).then(ImageUuid::random),
        parameters: Parameters::default(),
        enabled: true,
        created_ms: NOW_MS,
        last_op_ms: NOW_MS + 1,
    }
}

fn trigger(account: AccountUuid, timing: Timing) -> Trigger {
    Trigger {
        uuid: TriggerUuid::random(),
        account,
        name: "now and then".to_owned(),
        description: None,
        timing,
        created_ms: NOW_MS,
        last_op_ms: NOW_MS + 1,
    }
}

async fn done(db: &dyn Database, change: ScheduleChange) {
    let changed = db.change_schedule(change).await.unwrap();
    assert_eq!(changed, ScheduleChanged::Done);
}

/// A job that is due every second.
async fn bound(db: &dyn Database) -> (ScheduledJob, Trigger) {
    let account = AccountUuid::random();
    let job = job(account, JobType::PruneRecords);
    let trigger = trigger(account, Timing::simple(None, 1, 0).unwrap());
    done(db, ScheduleChange::NewJob(job.clone())).await;
    done(db, ScheduleChange::NewTrigger(trigger.clone())).await;
    let binding = Binding::new(&trigger, Target::Job(job.uuid), true, NOW_MS);
    done(db, ScheduleChange::Bind(binding)).await;
    (job, trigger)
}

fn runner(node: NodeUuid, now_ms: i64) -> Runner {
    Runner { node, until_ms: now_ms + 60_000, now_ms }
}

fn end(now_ms: i64) -> RunEnd {
    RunEnd { success: true, result: r#"{"success":true}"#.to_owned(), now_ms }
}

/// One process: takes what is due and ends what it has taken.
async fn process(db: Arc<dyn Database>, node: NodeUuid, now_ms: i64) -> Vec<i64> {
    let mut taken = Vec::new();
    for due in db.due_fires(now_ms, 10).await.unwrap().fires {
        tokio::task::yield_now().await;
        let then = due.binding.moved(&due.trigger.timing, true, now_ms);
        let take = TakeFire { binding: due.binding, then, by: runner(node, now_ms) };
        if let FireTaken::Runs(runs) = db.take_fire(take).await.unwrap() {
            taken.push(due.binding.next_fire_ms.unwrap());
            for run in runs {
                assert!(db.end_run(run.id, end(now_ms)).await.unwrap());
            }
        }
    }
    taken
}

async fn history(db: &dyn Database) -> Vec<RunRecord> {
    db.runs(&Query::default(), Scope::All).await.unwrap().rows
}

/// Fires that were run more than once.
fn twice(runs: &[RunRecord]) -> Vec<i64> {
    let mut times = BTreeMap::<i64, usize>::new();
    for run in runs {
        *times.entry(run.fire_ms).or_default() += 1;
    }
    times.into_iter().filter(|(_, times)| *times > 1).map(|(fire_ms, _)| fire_ms).collect()
}

const ROUNDS: i64 = 60;

/// Two processes: each with connections of its own to the same records.
#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_never_run_a_fire_twice(#[case] db: TestDb) {
    let other = open(&db.url, &DbOptions::default()).await.unwrap();
    let nodes = [NodeUuid::random(), NodeUuid::random()];
    bound(&*db.db).await;
    let mut won = [0, 0];
    for round in 0..ROUNDS {
        let now_ms = NOW_MS + round * 1000;
        let one = tokio::spawn(process(Arc::clone(&db.db), nodes[0], now_ms));
        let two = tokio::spawn(process(Arc::clone(&other), nodes[1], now_ms));
        let (one, two) = (one.await.unwrap(), two.await.unwrap());
        assert_eq!(one.len() + two.len(), 1, "round {round}: {one:?} {two:?}");
        won[0] += one.len();
        won[1] += two.len();
    }
    let runs = history(&*db.db).await;
    assert_eq!((runs.len(), twice(&runs)), (60, Vec::new()));
    assert!(runs.iter().all(|run| nodes.contains(&run.node)));
    let ids: Vec<_> = runs.iter().map(|run| run.id).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");

    // Negative control: with the lease taken away behind their backs the same fire is run twice, and the check finds it.
    let now_ms = NOW_MS + ROUNDS * 1000;
    let before = db.db.bindings().await.unwrap().remove(0);
    assert_eq!(process(Arc::clone(&db.db), nodes[0], now_ms).await.len(), 1);
    let next_ms = before.next_fire_ms.unwrap();
    db.sabotage(&format!("UPDATE scheduler_binding SET next_fire_ms = {next_ms}")).await;
    assert_eq!(process(other, nodes[1], now_ms).await, [next_ms]);
    assert_eq!(twice(&history(&*db.db).await), [next_ms]);
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn what_is_scheduled_is_read_as_it_was_written(#[case] db: TestDb) {
    let (db, account) = (&*db.db, AccountUuid::random());
    let jobs: Vec<_> = JobType::ALL.iter().map(|kind| job(account, *kind)).collect();
    for job in &jobs {
        done(db, ScheduleChange::NewJob(job.clone())).await;
    }
    let cron = Timing::Cron { start_ms: Some(5000), cron: "0 0 2 * * ?".parse().unwrap() };
    let simple = Timing::simple(Some(7000), 60, 3).unwrap();
    let triggers = [trigger(account, cron), trigger(account, simple)];
    for trigger in &triggers {
        done(db, ScheduleChange::NewTrigger(trigger.clone())).await;
        let again = db.change_schedule(ScheduleChange::NewTrigger(trigger.clone())).await.unwrap();
        assert_eq!(again, ScheduleChanged::Taken);
    }
    let mut read = db.scheduled_jobs(&Query::default(), Scope::All).await.unwrap().rows;
    let mut written = jobs.clone();
    read.sort_by_key(|job| job.uuid);
    written.sort_by_key(|job| job.uuid);
    assert_eq!(read, written);
    let mut read = db.triggers(&Query::default(), Scope::All).await.unwrap().rows;
    let mut written = triggers.to_vec();
    read.sort_by_key(|trigger| trigger.uuid);
    written.sort_by_key(|trigger| trigger.uuid);
    assert_eq!(read, written);
    let strangers = Scope::Account(AccountUuid::random());
    assert!(db.triggers(&Query::default(), strangers).await.unwrap().rows.is_empty());

    let bind = |trigger: &Trigger, target| Binding::new(trigger, target, true, NOW_MS);
    let binding = bind(&triggers[0], Target::Job(jobs[0].uuid));
    done(db, ScheduleChange::Bind(binding)).await;
    assert_eq!(db.bindings().await.unwrap(), [binding]);
    for (binding, told) in [
        (binding, ScheduleChanged::Taken),
        (bind(&triggers[0], Target::Job(ScheduledJobUuid::random())), ScheduleChanged::Missing),
        (
            bind(&trigger(account, triggers[0].timing.clone()), Target::Job(jobs[0].uuid)),
            ScheduleChanged::Missing,
        ),
    ] {
        let changed = db.change_schedule(ScheduleChange::Bind(binding)).await.unwrap();
        assert_eq!(changed, told);
    }
    done(db, ScheduleChange::DeleteTrigger(triggers[0].uuid)).await;
    assert_eq!(db.bindings().await.unwrap(), []);
    let gone = db.change_schedule(ScheduleChange::DeleteTrigger(triggers[0].uuid)).await.unwrap();
    assert_eq!(gone, ScheduleChanged::Missing);
}

/// Five runs: of two jobs and two accounts, one of them at work.
///
/// | id | type | by a trigger | began | took | success |
/// |---|---|---|---|---|---|
/// | 1 | pruneRecords | yes | +0 s | 0 s | true |
/// | 2 | pruneRecords | yes | +10 s | 5 s | false |
/// | 3 | verifyImage | no | +20 s | 900 s | true |
/// | 4 | pruneRecords of another account | no | +30 s | 1 s | true |
/// | 5 | verifyImage | no | +40 s | at work | |
async fn five(db: &TestDb) -> (ScheduledJob, Trigger, ScheduledJob) {
    let records = &*db.db;
    let (prune, trigger) = bound(records).await;
    let verify = job(prune.account, JobType::VerifyImage);
    let other = job(AccountUuid::random(), JobType::PruneRecords);
    for job in [&verify, &other] {
        done(records, ScheduleChange::NewJob(job.clone())).await;
    }
    let fired = Some(trigger.uuid);
    let node = NodeUuid::random();
    for (job, trigger, at, took) in [
        (&prune, fired, 0, Some((0, true))),
        (&prune, fired, 10, Some((5, false))),
        (&verify, None, 20, Some((900, true))),
        (&other, None, 30, Some((1, true))),
        (&verify, None, 40, None),
    ] {
        let now_ms = NOW_MS + at * 1000;
        let run =
            records.begin_run_now(job.uuid, trigger, None, runner(node, now_ms)).await.unwrap();
        if let Some((secs, success)) = took {
            let now_ms = now_ms + secs * 1000;
            let result = format!(r#"{{"success":{success}}}"#);
            let end = RunEnd { success, result, now_ms };
            assert!(records.end_run(run.unwrap().id, end).await.unwrap());
        }
    }
    (prune, trigger, verify)
}

#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn the_history_answers_the_whole_grammar(#[case] db: TestDb) {
    let (prune, trigger, verify) = five(&db).await;
    let (job, by) =
        (format!("schedulerJobUuid={}", prune.uuid), format!("triggerUuid={}", trigger.uuid));
    let image = format!("targetResourceUuid={}", verify.target.unwrap());
    let (later, exactly) = (
        format!("startTime>{}", NOW_MS + 10_000),
        // Wire times show whole seconds.
        "startTime=Nov 21, 2026 1:02:13 AM".to_owned(),
    );
    for (conditions, ids) in [
        (vec![], vec![1, 2, 3, 4, 5]),
        (vec!["id=2"], vec![2]),
        (vec!["id!=2"], vec![1, 3, 4, 5]),
        (vec!["id>=4"], vec![4, 5]),
        (vec!["id<2"], vec![1]),
        (vec!["id?=1,5"], vec![1, 5]),
        (vec!["id!?=1,5"], vec![2, 3, 4]),
        (vec![job.as_str()], vec![1, 2]),
        (vec![by.as_str()], vec![1, 2]),
        (vec!["triggerUuid is null"], vec![3, 4, 5]),
        (vec!["triggerUuid not null"], vec![1, 2]),
        (vec!["jobType=verifyImage"], vec![3, 5]),
        (vec!["jobType~=PRUNE%"], vec![1, 2, 4]),
        (vec!["jobType!~=prune%"], vec![3, 5]),
        (vec![image.as_str()], vec![3, 5]),
        (vec!["success=true"], vec![1, 3, 4]),
        (vec!["success=false"], vec![2]),
        (vec!["success is null"], vec![5]),
        (vec!["executeTime=900"], vec![3]),
        (vec!["executeTime>0"], vec![2, 3, 4]),
        (vec!["executeTime is null"], vec![5]),
        (vec![later.as_str()], vec![3, 4, 5]),
        (vec![exactly.as_str()], vec![2]),
        (vec!["resultDump~=%false%"], vec![2]),
        (vec!["requestDump~=%verifyImage%"], vec![3, 5]),
        (vec!["schedulerJob.name=a verifyImage"], vec![3, 5]),
        (vec!["trigger.name~=now%", "success=true"], vec![1]),
        (vec!["schedulerJobGroupUuid is null", "id>3"], vec![4, 5]),
        (vec!["fireInstanceId=x"], vec![]),
        (vec!["jobType=x' OR '1'='1"], vec![]),
    ] {
        let query = Query {
            conditions: conditions.iter().map(|text| Condition::parse(text).unwrap()).collect(),
            reply_with_count: true,
            ..Query::default()
        };
        let page = db.db.runs(&query, Scope::All).await.unwrap();
        let found: Vec<_> = page.rows.iter().map(|run| run.id).collect();
        assert_eq!(found, ids, "{conditions:?}");
        assert_eq!(page.total, Some(ids.len() as u64), "{conditions:?}");
    }
    for (sort, ids) in [
        (("id", true), [5, 4]),
        (("startTime", true), [5, 4]),
        (("executeTime", true), [3, 2]),
        (("success", false), [2, 1]),
        (("jobType", true), [3, 5]),
    ] {
        let query = Query { limit: 2, sort: Some((sort.0.to_owned(), sort.1)), ..Query::default() };
        let page = db.db.runs(&query, Scope::All).await.unwrap();
        let found: Vec<_> = page.rows.iter().map(|run| run.id).collect();
        assert_eq!(found, ids, "{sort:?}");
    }
    let mine = db.db.runs(&Query::default(), Scope::Account(prune.account)).await.unwrap();
    assert_eq!(mine.rows.iter().map(|run| run.id).collect::<Vec<_>>(), [1, 2, 3, 5]);
    for bad in ["nope=1", "id=one", "success=perhaps", "executeTime=1.5", "startTime=yesterday"] {
        let conditions = vec![Condition::parse(bad).unwrap()];
        let query = Query { conditions, ..Query::default() };
        let error = db.db.runs(&query, Scope::All).await.unwrap_err();
        let is_told = matches!(error, DbError::UnknownField { .. } | DbError::BadValue { .. });
        assert!(is_told, "{bad}: {error:?}");
    }
}

/// A row that this version cannot read is an error that names it, not a guess.
#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn rows_that_cannot_be_read_are_told(#[case] db: TestDb) {
    bound(&*db.db).await;
    db.sabotage("UPDATE scheduler_job SET parameters = '{\"later\":1}'").await;
    let error = db.db.scheduled_jobs(&Query::default(), Scope::All).await.unwrap_err();
    assert!(matches!(error, DbError::CorruptRow { column: "parameters", .. }), "{error:?}");
    // One that fires must not keep all others.
    let (_, broken) = bound(&*db.db).await;
    let uuid = broken.uuid;
    db.sabotage(&format!("UPDATE scheduler_trigger SET interval_secs = 0 WHERE uuid = '{uuid}'"))
        .await;
    let due = db.db.due_fires(NOW_MS, 10).await.unwrap();
    assert_eq!(due.fires.len(), 1);
    let [(key, error)] = &due.unreadable[..] else { panic!("{:?}", due.unreadable) };
    assert_eq!(*key, uuid.to_string());
    assert!(matches!(error, DbError::CorruptRow { table: "scheduler_trigger", .. }), "{error:?}");
}

/// Two processes: one renames what the other has just disabled.
#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn a_rename_neither_enables_nor_retimes(#[case] db: TestDb) {
    let db = &*db.db;
    let (job, trigger) = bound(db).await;
    let off = ScheduledJob { enabled: false, ..job.clone() };
    done(db, ScheduleChange::JobState(off, Vec::new())).await;
    done(db, ScheduleChange::Job(ScheduledJob { name: "n".to_owned(), ..job })).await;
    let read = db.scheduled_jobs(&Query::default(), Scope::All).await.unwrap().rows.remove(0);
    assert_eq!((read.name.as_str(), read.enabled), ("n", false));
    let timing = Timing::simple(None, 7, 7).unwrap();
    let changed = Trigger { timing: timing.clone(), ..trigger.clone() };
    done(db, ScheduleChange::TriggerTiming(changed, Vec::new())).await;
    done(db, ScheduleChange::Trigger(Trigger { name: "n".to_owned(), ..trigger })).await;
    let read = db.triggers(&Query::default(), Scope::All).await.unwrap().rows.remove(0);
    assert_eq!((read.name.as_str(), read.timing), ("n", timing));
}

/// So many that one transaction would hold up everybody who writes.
#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn old_runs_go_in_portions_and_a_clock_that_was_set_back_took_no_time(#[case] db: TestDb) {
    let (job, _) = bound(&*db.db).await;
    let node = NodeUuid::random();
    // Begun by a clock that was ahead, and ended by the right one.
    let run = db.db.begin_run_now(job.uuid, None, None, runner(node, NOW_MS + 10_000)).await;
    let end = RunEnd { success: true, result: "{}".to_owned(), now_ms: NOW_MS };
    assert!(db.db.end_run(run.unwrap().unwrap().id, end).await.unwrap());
    let query =
        Query { conditions: vec![Condition::parse("executeTime=0").unwrap()], ..Query::default() };
    let page = db.db.runs(&query, Scope::All).await.unwrap();
    assert_eq!((page.rows.len(), page.rows[0].execute_secs()), (1, Some(0)));
    let many = format!(
        "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 1302) \
         INSERT INTO scheduler_history (id, account_uuid, job_uuid, job_type, fire_ms, fire_uuid, request, \
         result, success, node_uuid, lease_until_ms, started_ms, ended_ms) \
         SELECT i, '{}', '{}', 'pruneRecords', 1, CAST(i AS TEXT), '{{}}', '{{}}', TRUE, '{node}', 1, i, 2 FROM n",
        job.account, job.uuid
    );
    db.sabotage(&many).await;
    let commits = db.counters.commits();
    assert_eq!(db.db.prune_runs(1302).await.unwrap(), 1202, "the last one is too young");
    assert!(db.counters.commits() - commits >= 3, "all of them in one transaction");
    let left = Query { count: true, ..Query::default() };
    assert_eq!(db.db.runs(&left, Scope::All).await.unwrap().total, Some(2));
}

/// Made by hand, or by a defect: nobody is at work on what the job says it is at work on.
#[rstest]
#[case::sqlite(TestDb::sqlite().await)]
#[ignore = "needs PostgreSQL"]
#[case::postgres(TestDb::postgres().await)]
#[tokio::test]
async fn a_job_whose_run_is_not_there_is_free_after_a_start_and_one_at_work_is_not(
    #[case] db: TestDb,
) {
    let (orphan, _) = bound(&*db.db).await;
    let (busy, _) = bound(&*db.db).await;
    let (here, there) = (NodeUuid::random(), NodeUuid::random());
    db.db.begin_run_now(busy.uuid, None, None, runner(there, NOW_MS)).await.unwrap().unwrap();
    let sql = format!("UPDATE scheduler_job SET running_id = 4711 WHERE uuid = '{}'", orphan.uuid);
    db.sabotage(&sql).await;
    let begin = async |job: &ScheduledJob| {
        db.db.begin_run_now(job.uuid, None, None, runner(here, NOW_MS)).await.unwrap().is_some()
    };
    assert!(!begin(&orphan).await, "the control");
    let end = RunEnd { success: false, result: "{}".to_owned(), now_ms: NOW_MS };
    assert_eq!(db.db.close_runs_of(here, end.clone()).await.unwrap(), 0);
    assert!(begin(&orphan).await && !begin(&busy).await);

    // One that was renewed since it was read is at work; the other is not, and frees its job.
    let read = db.db.open_runs().await.unwrap();
    assert_eq!(read.len(), 2);
    let later = runner(there, NOW_MS + 15_000);
    assert_eq!(db.db.renew_runs(later, read.iter().map(|run| run.id).collect()).await.unwrap(), 1);
    assert_eq!(db.db.close_silent_runs(read.clone(), end.clone()).await.unwrap(), 1);
    assert!(begin(&orphan).await && !begin(&busy).await);
    assert_eq!(db.db.close_silent_runs(read, end).await.unwrap(), 0, "they are not those");
}
