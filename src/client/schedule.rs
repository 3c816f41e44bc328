//! The scheduler as a client uses it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    api::{Api, segment},
    error::ClientError,
    records::Page,
};

/// Type of the jobs that read one image again.
pub const VERIFY_IMAGE: &str = "verifyImage";

/// A job of the scheduler. Fields that are not known are kept, so that `--json` shows them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledJobView {
    /// Identifier.
    pub uuid: String,
    /// Name.
    #[serde(default)]
    pub name: String,
    /// Type.
    #[serde(default)]
    pub job_class_name: String,
    /// The image that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_resource_uuid: Option<String>,
    /// `Enabled` or `Disabled`.
    #[serde(default)]
    pub state: String,
    /// What fires it.
    #[serde(default)]
    pub triggers_uuid: Vec<String>,
    /// All other fields.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// When something runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TriggerView {
    /// Identifier.
    pub uuid: String,
    /// Seconds between two fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler_interval: Option<i64>,
    /// Fires in all; 0 for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_count: Option<i64>,
    /// The cron expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// All other fields.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl TriggerView {
    /// When it fires, in words.
    pub fn when(&self) -> String {
        match (&self.cron, self.scheduler_interval, self.repeat_count) {
            (Some(cron), _, _) => format!("cron {cron}"),
            (None, Some(secs), None | Some(0)) => format!("every {secs} s"),
            (None, Some(secs), Some(times)) => format!("every {secs} s, {times} times"),
            (None, None, _) => "?".to_owned(),
        }
    }
}

/// One run of a job.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunView {
    /// Number.
    pub id: i64,
    /// The job.
    #[serde(default)]
    pub scheduler_job_uuid: String,
    /// Its type.
    #[serde(default)]
    pub job_type: String,
    /// When it began, in the server's words.
    #[serde(default)]
    pub start_time: String,
    /// Seconds that it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execute_time: Option<i64>,
    /// Whether it did what it was to do; nothing while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<bool>,
    /// What it led to, JSON in a string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_dump: Option<String>,
    /// All other fields.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl RunView {
    /// What it led to, in words.
    pub fn words(&self) -> String {
        let result: Option<Value> =
            self.result_dump.as_deref().and_then(|dump| serde_json::from_str(dump).ok());
        let words = result.as_ref().and_then(|result| result["words"].as_str());
        words.unwrap_or_default().to_owned()
    }

    /// How many of a kind it has found, such as `damaged`.
    pub fn count(&self, name: &str) -> u64 {
        let result: Option<Value> =
            self.result_dump.as_deref().and_then(|dump| serde_json::from_str(dump).ok());
        result.and_then(|result| result["counts"][name].as_u64()).unwrap_or(0)
    }
}

/// What was made.
#[derive(Deserialize)]
struct Made<T> {
    inventory: T,
}

/// What a run was begun with.
#[derive(Deserialize)]
struct Begun {
    id: i64,
}

impl Api {
    /// QuerySchedulerJob: all of them.
    pub async fn scheduled_jobs(&self) -> Result<Page<ScheduledJobView>, ClientError> {
        self.get("scheduler/jobs?sort=createDate&replyWithCount=true").await
    }

    /// QuerySchedulerTrigger: all of them.
    pub async fn triggers(&self) -> Result<Page<TriggerView>, ClientError> {
        self.get("scheduler/triggers?replyWithCount=true").await
    }

    /// QuerySchedulerJobHistory with a query string.
    pub async fn runs(&self, query: &str) -> Result<Page<RunView>, ClientError> {
        self.get(&format!("scheduler/job/history?{query}")).await
    }

    /// CreateSchedulerJob: one that reads an image again, and that nothing fires.
    pub async fn create_verify_job(
        &self,
        name: &str,
        image: &str,
    ) -> Result<ScheduledJobView, ClientError> {
        let params = json!({"name": name, "type": VERIFY_IMAGE, "targetResourceUuid": image});
        let made: Made<_> = self.post("scheduler/jobs", &json!({ "params": params })).await?;
        Ok(made.inventory)
    }

    /// DeleteSchedulerJob; the history of its runs stays.
    pub async fn delete_scheduled_job(&self, uuid: &str) -> Result<(), ClientError> {
        self.delete(&format!("scheduler/jobs/{}", segment(uuid))).await
    }

    /// Runs a job now; answers the number of its run. Not idempotent.
    pub async fn run_scheduled_job(&self, uuid: &str) -> Result<i64, ClientError> {
        let path = format!("scheduler/jobs/{}/actions", segment(uuid));
        let begun: Begun = self.put(&path, &json!({"runSchedulerJob": {}})).await?;
        Ok(begun.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timing_and_result_are_told_in_words() {
        let trigger = |value: Value| serde_json::from_value::<TriggerView>(value).unwrap().when();
        assert_eq!(trigger(json!({"uuid": "t", "cron": "0 0 2 * * ?"})), "cron 0 0 2 * * ?");
        let every = json!({"uuid": "t", "schedulerInterval": 60, "repeatCount": 0});
        assert_eq!(trigger(every), "every 60 s");
        let thrice = json!({"uuid": "t", "schedulerInterval": 60, "repeatCount": 3});
        assert_eq!(trigger(thrice), "every 60 s, 3 times");
        let run = json!({"id": 7, "resultDump": "{\"words\":\"done\"}", "later": 1});
        let run: RunView = serde_json::from_value(run).unwrap();
        assert_eq!(
            (run.words(), serde_json::to_value(&run).unwrap()["later"].clone()),
            ("done".to_owned(), json!(1))
        );
    }
}
