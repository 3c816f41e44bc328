//! `longshore schedule`.

use std::{collections::HashMap, time::Duration};

use anyhow::{Result, anyhow, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use super::{Connection, exit, jobs::List, out};
use crate::client::{
    api::Api,
    error::ClientError,
    events::silent,
    retry::{Policy, patiently},
    schedule::{RunView, ScheduledJobView},
};

/// Between two looks at a run that is waited for.
const LOOK_PAUSE: Duration = Duration::from_millis(300);

pub(super) const HELP: &str = "Examples:
  longshore schedule list
  longshore schedule run scrubImages
  longshore schedule history --query success=false --query 'jobType=expireUploads'

Needs the session of an admin. Exit codes: 0 done, 2 usage, 3 not logged in or no admin, 7 the run failed or found something wrong.";

/// What runs by itself: list it, run it now, and see what runs have led to
#[derive(Debug, Args)]
pub struct Schedule {
    #[command(subcommand)]
    command: ScheduleCommand,
}

#[derive(Debug, Subcommand)]
enum ScheduleCommand {
    /// List jobs with what fires them
    List(Shown),
    /// Run a job now and wait for its end, whatever fires it and whether it is enabled
    Run(Run),
    /// List runs, the newest first
    History(List),
}

#[derive(Debug, Args)]
struct Shown {
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Run {
    /// Its uuid, its name, or its type if there is one job of that type
    job: String,
    /// Do not wait for its end
    #[arg(long)]
    no_wait: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Schedule {
    /// Runs it.
    pub async fn run(self, connection: &Connection) -> Result<u8> {
        let (api, policy) = (connection.api()?, connection.short_policy());
        match self.command {
            ScheduleCommand::List(shown) => list(&api, &policy, &shown).await,
            ScheduleCommand::Run(command) => command.run(&api, &policy).await,
            ScheduleCommand::History(list) => history(&api, &policy, &list).await,
        }
    }
}

async fn list(api: &Api, policy: &Policy, shown: &Shown) -> Result<u8> {
    let jobs = patiently(policy, &silent(), || api.scheduled_jobs()).await?.inventories;
    let triggers = patiently(policy, &silent(), || api.triggers()).await?.inventories;
    if shown.json {
        out::say_json(&json!({"jobs": jobs, "triggers": triggers}));
        return Ok(exit::OK);
    }
    let when: HashMap<_, _> =
        triggers.iter().map(|trigger| (trigger.uuid.as_str(), trigger.when())).collect();
    let heading = ["UUID", "TYPE", "STATE", "WHEN", "NAME"].map(str::to_owned).to_vec();
    let rows = jobs.iter().map(|job| {
        let fired = job.triggers_uuid.iter().filter_map(|uuid| when.get(uuid.as_str()).cloned());
        let fired = fired.collect::<Vec<_>>().join("; ");
        vec![
            job.uuid.clone(),
            job.job_class_name.clone(),
            job.state.clone(),
            if fired.is_empty() { "-".to_owned() } else { fired },
            job.name.clone(),
        ]
    });
    out::table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>());
    Ok(exit::OK)
}

async fn history(api: &Api, policy: &Policy, list: &List) -> Result<u8> {
    // Runs have no creation date; their numbers grow.
    let query = list.query("-id");
    let page = patiently(policy, &silent(), || api.runs(&query)).await?;
    if list.json {
        out::say_json(&json!({"inventories": page.inventories, "total": page.total}));
        return Ok(exit::OK);
    }
    let heading = ["ID", "BEGAN", "SECONDS", "RESULT", "TYPE", "WORDS"].map(str::to_owned).to_vec();
    let rows = page.inventories.iter().map(|run| {
        vec![
            run.id.to_string(),
            run.start_time.clone(),
            run.execute_time.map_or_else(|| "-".to_owned(), |secs| secs.to_string()),
            result(run).to_owned(),
            run.job_type.clone(),
            run.words(),
        ]
    });
    out::table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>());
    list.say_more(page.inventories.len(), page.total);
    Ok(exit::OK)
}

const fn result(run: &RunView) -> &'static str {
    match run.success {
        None => "runs",
        Some(true) => "ok",
        Some(false) => "failed",
    }
}

impl Run {
    async fn run(self, api: &Api, policy: &Policy) -> Result<u8> {
        let jobs = patiently(policy, &silent(), || api.scheduled_jobs()).await?.inventories;
        let uuid = chosen(&jobs, &self.job)?;
        // Once: a run that was begun is not begun again because an answer was lost.
        let id = api.run_scheduled_job(&uuid).await?;
        if self.no_wait {
            if self.json {
                out::say_json(&json!({"id": id, "schedulerJobUuid": uuid}));
            } else {
                out::say(&format!(
                    "run {id} of {uuid} has begun; `longshore schedule history` tells its end"
                ));
            }
            return Ok(exit::OK);
        }
        let run = ended(api, policy, id).await?;
        if self.json {
            out::say_json(&run);
        } else {
            out::say(&format!("run {id} {}: {}", result(&run), run.words()));
        }
        Ok(if run.success == Some(true) { exit::OK } else { exit::SERVER })
    }
}

/// The run, when it has ended.
pub(super) async fn ended(api: &Api, policy: &Policy, id: i64) -> Result<RunView> {
    let query = format!("q=id%3D{id}");
    loop {
        let page = patiently(policy, &silent(), || api.runs(&query)).await?;
        let run = page.inventories.into_iter().next().ok_or_else(|| {
            anyhow!(ClientError::Protocol { words: format!("run {id} is not in the history") })
        })?;
        if run.success.is_some() {
            return Ok(run);
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

/// The job that a person means.
fn chosen(jobs: &[ScheduledJobView], named: &str) -> Result<String> {
    let by = |means: fn(&ScheduledJobView) -> &str| {
        let found: Vec<_> = jobs.iter().filter(|job| means(job) == named).collect();
        found
    };
    for found in [by(|job| &job.uuid), by(|job| &job.name), by(|job| &job.job_class_name)] {
        match found.as_slice() {
            [] => {}
            [one] => return Ok(one.uuid.clone()),
            [_, _, ..] => bail!(
                "several jobs are called {named}; name one by its uuid, which `longshore schedule list` shows"
            ),
        }
    }
    bail!("there is no job {named}; `longshore schedule list` shows those that there are")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_found_by_uuid_name_and_type_and_never_by_chance() {
        let job = |uuid: &str, name: &str, kind: &str| -> ScheduledJobView {
            let job = json!({"uuid": uuid, "name": name, "jobClassName": kind});
            serde_json::from_value(job).unwrap()
        };
        let jobs = [job("1", "a", "x"), job("2", "b", "y"), job("3", "c", "y")];
        for (named, found) in [("1", "1"), ("b", "2"), ("x", "1")] {
            assert_eq!(chosen(&jobs, named).unwrap(), found);
        }
        assert!(chosen(&jobs, "y").unwrap_err().to_string().contains("several"));
        assert!(chosen(&jobs, "z").unwrap_err().to_string().contains("no job z"));
    }
}
