//! `longshore images verify`.

use anyhow::{Result, bail};
use clap::Args;

use super::{exit, out, schedule::ended};
use crate::client::{
    api::{Api, segment},
    events::silent,
    records::ImageView,
    retry::{Policy, patiently},
    schedule::{RunView, VERIFY_IMAGE},
};

pub(super) const HELP: &str = "Examples:
  longshore images verify debian-12
  longshore images verify --json 5ced01e0000040008000000000000005

Needs the session of an admin. Exit codes: 0 it is what it was, 2 usage, 3 not logged in or no admin,
6 it is damaged (and has its mark), 7 it could not be looked at.";

/// Let the service read an image again from its disk and compare length and digests; waits for the result
#[derive(Debug, Args)]
pub struct Verify {
    /// Its uuid, or its name if one Ready image has it
    image: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    /// Runs it.
    pub async fn run(self, api: &Api, policy: &Policy) -> Result<u8> {
        let image = find(api, policy, &self.image).await?;
        let jobs = patiently(policy, &silent(), || api.scheduled_jobs()).await?.inventories;
        let reads = |target: &Option<String>| target.as_deref() == Some(image.uuid.as_str());
        let there = jobs
            .into_iter()
            .find(|job| job.job_class_name == VERIFY_IMAGE && reads(&job.target_resource_uuid));
        let (job, is_ours) = match there {
            Some(job) => (job, false),
            None => (api.create_verify_job("images verify", &image.uuid).await?, true),
        };
        let run = async {
            let id = api.run_scheduled_job(&job.uuid).await?;
            ended(api, policy, id).await
        };
        let run = run.await;
        if is_ours {
            // The history of its run stays. Left behind, it is used by the next verify of this image.
            let _ = api.delete_scheduled_job(&job.uuid).await;
        }
        let run = run?;
        if self.json {
            out::say_json(&run);
        } else {
            out::say(&format!("image {} {}: {}", image.uuid, told(&run), run.words()));
        }
        Ok(code(&run))
    }
}

fn told(run: &RunView) -> &'static str {
    match code(run) {
        exit::OK => "is what it was",
        exit::DAMAGED => "is damaged",
        _ => "could not be looked at",
    }
}

fn code(run: &RunView) -> u8 {
    if run.count("damaged") > 0 {
        exit::DAMAGED
    } else if run.success == Some(true) && run.count("sound") > 0 {
        exit::OK
    } else {
        exit::SERVER
    }
}

/// The image that a person means.
async fn find(api: &Api, policy: &Policy, named: &str) -> Result<ImageView> {
    let by = async |field: &str| {
        let query = format!("q={field}%3D{}&q=status%3DReady&limit=2", segment(named));
        patiently(policy, &silent(), || api.query_images(&query)).await
    };
    for field in ["uuid", "name"] {
        let mut found = by(field).await?.inventories;
        match (found.pop(), found.is_empty()) {
            (None, _) => {}
            (Some(image), true) => return Ok(image),
            (Some(_), false) => bail!(
                "several images are called {named}; name one by its uuid, which `longshore images list` shows"
            ),
        }
    }
    bail!("there is no Ready image {named}; `longshore images list` shows those that there are")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_an_image_that_was_read_and_is_sound_is_told_as_such() {
        for (success, counts, expected) in [
            (true, json!({"sound": 1, "damaged": 0}), exit::OK),
            (false, json!({"sound": 0, "damaged": 1}), exit::DAMAGED),
            (false, json!({"failed": 1}), exit::SERVER),
            // Deleted while it was read.
            (true, json!({"sound": 0}), exit::SERVER),
            (false, json!({}), exit::SERVER),
        ] {
            let dump = json!({"words": "w", "counts": counts}).to_string();
            let run = json!({"id": 1, "success": success, "resultDump": dump});
            let run: RunView = serde_json::from_value(run).unwrap();
            assert_eq!(code(&run), expected, "{counts}");
        }
    }
}
