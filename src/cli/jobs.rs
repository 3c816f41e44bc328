//! `longshore jobs`.

use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Connection, exit, out, said::Said};
use crate::{
    client::{
        api::{Api, JobAction, segment},
        error::ClientError,
        events::{Sink, silent},
        records::JobView,
        retry::{Policy, patiently},
    },
    wire::native::StateName,
};

/// Between two looks of `jobs watch`.
const WATCH_PAUSE: Duration = Duration::from_secs(1);

/// Upload jobs: list, show, watch, suspend, resume, rerun, cancel, delete
#[derive(Debug, Args)]
pub struct Jobs {
    #[command(subcommand)]
    command: JobsCommand,
}

#[derive(Debug, Subcommand)]
enum JobsCommand {
    /// List jobs, the newest first
    List(List),
    /// Show one job
    Show(One),
    /// Follow a job until it has ended
    Watch(One),
    /// Keep a job's bytes and take no more until it is resumed
    Suspend(Act),
    /// Let a suspended job go on
    Resume(Act),
    /// Begin anew with a job that failed or was canceled; its bytes have to be sent again
    Rerun(Act),
    /// Give a job up and remove its bytes
    Cancel(Act),
    /// Delete the record of a job that has ended; its image stays
    Delete(Act),
}

/// Which records are listed.
#[derive(Debug, Args)]
pub struct List {
    /// At most so many
    #[arg(long, default_value_t = 20)]
    pub limit: u32,
    /// Leave out so many
    #[arg(long, default_value_t = 0)]
    pub start: u32,
    /// A condition as ZStack has it, for example state=Running or name~=debian%; all given ones must hold
    #[arg(short, long = "query", value_name = "CONDITION")]
    pub conditions: Vec<String>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

impl List {
    /// The query string, sorted by `sort` with `-` for descending: records have different fields that show which is the newest.
    pub fn query(&self, sort: &str) -> String {
        let mut query =
            format!("limit={}&start={}&sort={sort}&replyWithCount=true", self.limit, self.start);
        for condition in &self.conditions {
            query.push_str("&q=");
            query.push_str(&segment(condition));
        }
        query
    }

    /// Says that there is more than was shown.
    pub fn say_more(&self, shown: usize, total: Option<u64>) {
        let until = u64::from(self.start) + shown as u64;
        if let Some(total) = total.filter(|&total| total > until) {
            out::complain(&format!("{until} of {total}; the rest with --start {until}"));
        }
    }
}

/// One record.
#[derive(Debug, Args)]
pub struct One {
    /// Its uuid
    pub uuid: String,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Records to act on.
#[derive(Debug, Args)]
pub struct Act {
    /// Their uuids
    #[arg(required = true, value_name = "UUID")]
    pub uuids: Vec<String>,
}

struct Caller {
    api: Api,
    policy: Policy,
    events: Sink,
}

impl Jobs {
    /// Runs it.
    pub async fn run(self, connection: &Connection) -> Result<u8> {
        let api = connection.api()?;
        let caller = Caller { api, policy: connection.short_policy(), events: silent() };
        match self.command {
            JobsCommand::List(list) => caller.list(&list).await,
            JobsCommand::Show(one) => caller.show(&one).await,
            JobsCommand::Watch(one) => caller.watch(&one).await,
            JobsCommand::Suspend(act) => caller.act(&act, JobAction::Suspend, "suspended").await,
            JobsCommand::Resume(act) => caller.act(&act, JobAction::Resume, "resumed").await,
            JobsCommand::Rerun(act) => {
                let code = caller.act(&act, JobAction::Rerun, "waits for its bytes:").await?;
                out::complain("send them with `longshore upload` and the same file");
                Ok(code)
            }
            JobsCommand::Cancel(act) => caller.act(&act, JobAction::Cancel, "canceled").await,
            JobsCommand::Delete(act) => {
                for uuid in &act.uuids {
                    patiently(&caller.policy, &caller.events, || caller.api.delete_job(uuid))
                        .await?;
                    out::say(&format!("deleted {uuid}"));
                }
                Ok(exit::OK)
            }
        }
    }
}

impl Caller {
    async fn list(&self, list: &List) -> Result<u8> {
        let query = list.query("-createDate");
        let page = patiently(&self.policy, &self.events, || self.api.query_jobs(&query)).await?;
        if list.json {
            out::say_json(&json!({"inventories": page.inventories, "total": page.total}));
            return Ok(exit::OK);
        }
        let heading = ["UUID", "STATE", "CREATED", "NAME"].map(str::to_owned).to_vec();
        let rows = page.inventories.iter().map(|job| {
            vec![
                job.uuid.clone(),
                format!("{:?}", job.state),
                job.create_date.clone(),
                job.name.clone(),
            ]
        });
        out::table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>());
        list.say_more(page.inventories.len(), page.total);
        Ok(exit::OK)
    }

    async fn job(&self, uuid: &str) -> Result<JobView> {
        let job = patiently(&self.policy, &self.events, || self.api.job(uuid)).await?;
        job.ok_or_else(|| {
            anyhow!(ClientError::Refused {
                status: 404,
                code: "not_found".to_owned(),
                words: format!(
                    "there is no job {uuid}; `longshore jobs list` shows those you have"
                ),
            })
        })
    }

    async fn show(&self, one: &One) -> Result<u8> {
        let mut job = self.job(&one.uuid).await?;
        // An older server has none.
        let history = self.api.history(&one.uuid).await.ok();
        if one.json {
            job.more.extend(history.map(|history| ("history".to_owned(), json!(history.states))));
            out::say_json(&job);
            return Ok(exit::OK);
        }
        let text = |key: &str| match job.more.get(key) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Null) | None => None,
            Some(other) => Some(other.to_string()),
        };
        for (name, value) in [
            ("uuid", Some(job.uuid.clone())),
            ("name", Some(job.name.clone())),
            ("description", text("description")),
            ("state", Some(format!("{:?}", job.state))),
            ("progress", self.progress(&job).await),
            ("image", job.target_resource_uuid.clone()),
            ("created", Some(job.create_date.clone())),
            ("last change", text("lastOpDate")),
            ("seconds", text("executeTime")),
            ("detail", job.detail()),
        ] {
            if let Some(value) = value {
                out::say(&format!("{name:<12}{value}"));
            }
        }
        for told in history.into_iter().flat_map(|history| history.states) {
            out::say(&format!("{:<12}{} {:?}: {}", "history", told.at, told.state, told.cause));
        }
        Ok(exit::OK)
    }

    /// Stage and percent in words, while the job runs.
    async fn progress(&self, job: &JobView) -> Option<String> {
        if job.state.is_final() {
            return None;
        }
        let progress = self.api.progress(job.api_id.as_deref()?).await.ok()??;
        Some(format!("{} {} %", progress.task_name, progress.content))
    }

    async fn watch(&self, one: &One) -> Result<u8> {
        let mut last = String::new();
        loop {
            let job = self.job(&one.uuid).await?;
            let progress = self.progress(&job).await;
            let detail = job.detail().filter(|_| job.state != StateName::Running);
            let parts = [Some(format!("{:?}", job.state)), progress.clone(), detail.clone()];
            let line = parts.into_iter().flatten().collect::<Vec<_>>().join(": ");
            if line != last {
                if one.json {
                    let (uuid, state) = (job.uuid.clone(), job.state);
                    out::say_json(&Said::Job { uuid, state, progress, detail });
                } else {
                    out::say(&line);
                }
                last = line;
            }
            match job.state {
                StateName::Succeeded => return Ok(exit::OK),
                StateName::Failed | StateName::Canceled => return Ok(exit::SERVER),
                StateName::Waiting
                | StateName::Running
                | StateName::Suspended
                | StateName::Canceling => tokio::time::sleep(WATCH_PAUSE).await,
            }
        }
    }

    async fn act(&self, act: &Act, action: JobAction, done: &str) -> Result<u8> {
        for uuid in &act.uuids {
            patiently(&self.policy, &self.events, || self.api.act(uuid, action)).await?;
            out::say(&format!("{done} {uuid}"));
        }
        Ok(exit::OK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_sorted_by_what_its_records_have() {
        let conditions = vec!["state=Running".to_owned()];
        let list = List { limit: 2, start: 3, conditions, json: false };
        for sort in ["-createDate", "-id"] {
            let query = list.query(sort);
            let sorts = query.split('&').filter(|pair| pair.starts_with("sort="));
            assert_eq!(sorts.collect::<Vec<_>>(), [format!("sort={sort}")], "{query}");
            assert!(query.ends_with("&q=state%3DRunning"), "{query}");
        }
    }
}
