//! `longshore doctor`: everything that an upload needs, looked at one by one, each with the next step.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::{Connection, exit, out};
use crate::client::{
    api::Api,
    error::ClientError,
    events::silent,
    is_loopback, probe,
    retry::{Policy, patiently},
};

/// Examples and what the exit code says.
pub const HELP: &str = "Examples:
  longshore doctor
  longshore --server https://images.example.org doctor --json

Ends with 0 if nothing has failed, warnings or not; else with the exit code of the first thing that failed.";

/// A clock that is further off is told. Signed requests are refused from 15 minutes on.
const SKEW_SECS_MAX: u64 = 30;
/// With less room a warning.
const ROOM_BYTES_MIN: u64 = 10 << 30;
/// With less speed a warning: 1 TiB takes more than three days.
const SPEED_MIN: u64 = 4 << 20;
/// A server that takes longer for its smallest answer is told.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// Check address, TLS, clock, login, space and speed, and say what to do about each
#[derive(Debug, Args)]
pub struct Doctor {
    /// Leave out the probe of the speed, which sends 8 MiB and removes them
    #[arg(long)]
    no_speed: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Warn,
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    words: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// What was found, as it is found.
struct Findings {
    json: bool,
    checks: Vec<Check>,
    code: u8,
}

impl Findings {
    fn add(&mut self, name: &'static str, status: Status, words: String, next: Option<&str>) {
        let check = Check { name, status, words, next: next.map(str::to_owned) };
        if !self.json {
            let word = match check.status {
                Status::Ok => "ok  ",
                Status::Warn => "warn",
                Status::Fail => "FAIL",
            };
            out::say(&format!("{word}  {:<8}{}", check.name, check.words));
            if let Some(next) = &check.next {
                out::say(&format!("              next: {next}"));
            }
        }
        self.checks.push(check);
    }

    fn ok(&mut self, name: &'static str, words: String) {
        self.add(name, Status::Ok, words, None);
    }

    fn warn(&mut self, name: &'static str, words: String, next: &str) {
        self.add(name, Status::Warn, words, Some(next));
    }

    fn fail(&mut self, name: &'static str, error: &ClientError, next: &str) {
        if self.code == exit::OK {
            self.code = exit::of_kind(error.kind());
        }
        self.add(name, Status::Fail, error.to_string(), Some(next));
    }
}

impl Doctor {
    /// Runs it.
    pub async fn run(self, connection: &Connection) -> Result<u8> {
        let mut found = Findings { json: self.json, checks: Vec::new(), code: exit::OK };
        match connection.api() {
            Ok(api) => self.look(&api, &mut found).await,
            Err(error) => {
                found.code = exit::of(&error);
                let next =
                    "give --server http://HOST:PORT or https://HOST, or set LONGSHORE_SERVER";
                found.add("address", Status::Fail, format!("{error:#}"), Some(next));
            }
        }
        let failed = found.checks.iter().filter(|check| check.status == Status::Fail).count();
        if self.json {
            out::say_json(&json!({"ok": failed == 0, "checks": found.checks}));
        } else if failed == 0 {
            out::say("nothing stands in the way of an upload");
        } else {
            out::say("an upload would fail; mend what is marked FAIL from the top");
        }
        Ok(found.code)
    }

    async fn look(&self, api: &Api, found: &mut Findings) {
        found.ok("address", api.server().to_owned());
        if !reach(api, found).await {
            return;
        }
        let policy = Policy::giving_up_after(super::SHORT_PATIENCE);
        if !login(api, &policy, found).await {
            return;
        }
        space(api, &policy, found).await;
        if !self.no_speed {
            speed(api, &policy, found).await;
        }
    }
}

/// Connection, TLS, readiness and clock. False: nothing else can be asked.
async fn reach(api: &Api, found: &mut Findings) -> bool {
    let health = match probe::health(api, SystemTime::now()).await {
        Ok(health) => health,
        Err(error @ ClientError::Refused { .. }) => {
            let next = "have the server's certificate signed by an authority that this machine trusts, or add that authority to \
                        the system's store (update-ca-certificates); is the clock right?";
            found.fail("tls", &error, next);
            return false;
        }
        Err(error) => {
            let next = "is the server running, the address right, a firewall or proxy in between?";
            found.fail("reach", &error, next);
            return false;
        }
    };
    let millis = health.took.as_millis();
    if health.took > ANSWER_MAX {
        let words = format!("the smallest answer took {millis} ms");
        found.warn(
            "reach",
            words,
            "a far or busy server; more --parallel slices help with distance",
        );
    } else {
        found.ok("reach", format!("answered after {millis} ms"));
    }
    if api.address().scheme() == "https" {
        found.ok("tls", "the connection is encrypted, the certificate trusted".to_owned());
    } else if is_loopback(api.address()) {
        found.ok("tls", "not encrypted, but on this machine".to_owned());
    } else {
        let words = "sessions and images travel unencrypted".to_owned();
        found.warn(
            "tls",
            words,
            "set tls_cert and tls_key on the server, or put a TLS proxy in front, and use https://",
        );
    }
    let problems = health.problems.join("; ");
    match (health.ready, problems.is_empty()) {
        (true, true) => found.ok("ready", "the server takes uploads".to_owned()),
        (true, false) => {
            found.warn("ready", problems, "tell the operator; uploads work all the same");
        }
        (false, _) => {
            let next = "tell the operator; uploads wait until it is mended";
            let words = if problems.is_empty() { "not ready".to_owned() } else { problems };
            found.fail(
                "ready",
                &ClientError::Refused { status: 503, code: String::new(), words },
                next,
            );
        }
    }
    clock(health.clock_ahead_secs, found);
    true
}

fn clock(ahead_secs: Option<i64>, found: &mut Findings) {
    let next = "set the clocks by NTP; access-key signatures fail when they are 15 minutes apart";
    match ahead_secs {
        None => found.warn("clock", "the server does not tell its time".to_owned(), next),
        Some(secs) if secs.unsigned_abs() > SKEW_SECS_MAX => {
            let side = if secs > 0 { "ahead of" } else { "behind" };
            let words = format!("this machine is {} s {side} the server", secs.unsigned_abs());
            found.warn("clock", words, next);
        }
        Some(secs) => found.ok("clock", format!("{} s from the server's", secs.unsigned_abs())),
    }
}

async fn login(api: &Api, policy: &Policy, found: &mut Findings) -> bool {
    match patiently(policy, &silent(), || api.query_jobs("limit=1")).await {
        Ok(_) => {
            found.ok("login", "the session is valid".to_owned());
            true
        }
        Err(error) => {
            let next = format!("longshore login {}", api.server());
            found.fail("login", &error, &next);
            false
        }
    }
}

async fn space(api: &Api, policy: &Policy, found: &mut Findings) {
    let next = "ask the operator for room, or delete images that nobody needs";
    let storage = match patiently(policy, &silent(), || api.storages()).await {
        Ok(page) => page.inventories.into_iter().max_by_key(|storage| storage.available_capacity),
        Err(error) => return found.fail("space", &error, next),
    };
    let Some(storage) = storage else {
        let words = "the server does not tell how much room it has".to_owned();
        return found.warn("space", words, next);
    };
    room(storage.available_capacity, storage.total_capacity, next, found);
}

fn room(available: u64, total: u64, next: &str, found: &mut Findings) {
    let words = format!("{} of {} are free", out::size(available), out::size(total));
    if available == 0 {
        found.fail("space", &ClientError::Space { words }, next);
    } else if available < ROOM_BYTES_MIN {
        found.warn("space", words, next);
    } else {
        found.ok("space", words);
    }
}

async fn speed(api: &Api, policy: &Policy, found: &mut Findings) {
    let name = format!("doctor-{}", uuid::Uuid::new_v4().simple());
    let Ok(name) = name.parse() else { return };
    match probe::speed(api, policy, name).await {
        Ok(speed) => {
            let rate = speed.bytes_per_sec();
            let words = format!(
                "{} arrived and were synced, {}/s over one connection",
                out::size(speed.bytes),
                out::size(rate)
            );
            if rate < SPEED_MIN {
                let next = "uploads resume, so slow is safe; --parallel 8 helps with distance";
                found.warn("speed", words, next);
            } else {
                found.ok("speed", words);
            }
        }
        Err(error) => {
            found.fail("speed", &error, "the words above tell what an upload would meet");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Findings {
        Findings { json: true, checks: Vec::new(), code: exit::OK }
    }

    #[test]
    fn clocks_that_differ_are_a_warning_with_the_next_step() {
        for (ahead, status, words) in [
            (Some(0), Status::Ok, "0 s"),
            (Some(-30), Status::Ok, "30 s"),
            (Some(31), Status::Warn, "31 s ahead of"),
            (Some(-4000), Status::Warn, "4000 s behind"),
            (None, Status::Warn, "does not tell"),
        ] {
            let mut found = findings();
            clock(ahead, &mut found);
            let check = &found.checks[0];
            assert_eq!((check.status, found.code), (status, exit::OK), "{ahead:?}");
            assert!(check.words.contains(words), "{check:?}");
            assert_eq!(check.next.is_some(), status != Status::Ok);
        }
    }

    #[test]
    fn a_full_server_is_a_failure_and_little_room_a_warning() {
        let gib = 1 << 30;
        for (available, status, code) in [
            (0, Status::Fail, 4),
            (1, Status::Warn, exit::OK),
            (10 * gib - 1, Status::Warn, exit::OK),
            (10 * gib, Status::Ok, exit::OK),
        ] {
            let mut found = findings();
            room(available, 100 * gib, "ask", &mut found);
            let check = &found.checks[0];
            assert_eq!((check.name, check.status, found.code), ("space", status, code));
            assert!(check.words.ends_with("of 100.00 GiB are free"), "{check:?}");
            assert_eq!(check.next.is_some(), status != Status::Ok);
        }
    }

    #[test]
    fn the_first_failure_gives_the_exit_code() {
        let mut found = findings();
        found.fail("login", &ClientError::Auth { words: "a".to_owned() }, "n");
        found.fail("space", &ClientError::Space { words: "b".to_owned() }, "n");
        assert_eq!(found.code, 3);
    }
}
