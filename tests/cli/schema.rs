//! The events of real runs beside the table of docs/cli.md: every event is there, with the fields it says, of the types it says.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{
    MIB,
    run::{Ran, Running},
    world::World,
};

const PAGE: &str = include_str!("../../docs/cli.md");

/// One row: what a field of an event has to be.
struct Field {
    kind: String,
    always: bool,
}

/// The table of the page.
struct Schema(BTreeMap<String, BTreeMap<String, Field>>);

impl Schema {
    fn of_page() -> Self {
        let (_, rest) = PAGE.split_once("| event | field | type | always | meaning |").unwrap();
        let mut events: BTreeMap<String, BTreeMap<String, Field>> = BTreeMap::new();
        for row in rest.lines().skip(2).take_while(|line| line.starts_with('|')) {
            let cells: Vec<_> = row
                .trim_matches('|')
                .split(" | ")
                .map(|cell| cell.trim().replace('`', ""))
                .collect();
            let field = Field { kind: cells[2].clone(), always: cells[3] == "yes" };
            events.entry(cells[0].clone()).or_default().insert(cells[1].clone(), field);
        }
        assert!(events.len() > 10, "{} events are in the table", events.len());
        Self(events)
    }

    /// What is wrong with an event, if anything.
    fn check(&self, event: &Value) -> Result<(), String> {
        let object = event.as_object().ok_or("it is no object")?;
        let name = object.get("event").and_then(Value::as_str).ok_or("it has no name")?;
        let fields = self.0.get(name).ok_or_else(|| format!("{name} is not on the page"))?;
        for (field, value) in object.iter().filter(|(field, _)| *field != "event") {
            let known = fields.get(field).ok_or_else(|| format!("{name}.{field} is not there"))?;
            if !fits(&known.kind, value) {
                return Err(format!("{name}.{field} is {value}, not {}", known.kind));
            }
        }
        match fields.iter().find(|(field, known)| known.always && !object.contains_key(*field)) {
            Some((field, _)) => Err(format!("{name} has no {field}")),
            None => Ok(()),
        }
    }
}

fn fits(kind: &str, value: &Value) -> bool {
    if let Some(kind) = kind.strip_suffix(" or null") {
        return value.is_null() || fits(kind, value);
    }
    match kind {
        "text" => value.is_string(),
        "bytes" | "milliseconds" | "number" => value.is_u64(),
        "0 to 100" => value.as_u64().is_some_and(|percent| percent <= 100),
        "true or false" => value.is_boolean(),
        "hex" => value
            .as_str()
            .is_some_and(|text| text.len() >= 32 && text.bytes().all(|b| b.is_ascii_hexdigit())),
        other => panic!("the page has a type that this test does not know: {other}"),
    }
}

/// Checks every line of a run and remembers which events came.
#[track_caller]
fn check(schema: &Schema, seen: &mut BTreeSet<String>, ran: &Ran) {
    for event in ran.events() {
        if let Err(why) = schema.check(&event) {
            panic!("{why}: {event}");
        }
        seen.insert(event["event"].as_str().unwrap().to_owned());
    }
}

#[test]
fn every_event_of_real_runs_is_as_the_page_says() {
    let (schema, mut seen) = (Schema::of_page(), BTreeSet::new());
    let mut world = World::slow(4 * MIB);
    world.file("disk.raw", 8 * MIB);
    world.file("small.raw", 100);
    let upload = ["upload", "--json", "--slice-size", "1m", "disk.raw"];
    let mut running = world.start(upload);
    running.wait_stored(2 * MIB);
    let job = world.newest_job()["uuid"].as_str().unwrap().to_owned();
    running.interrupt();
    check(&schema, &mut seen, &running.end().ends(130));

    let mut watched = world.start(["jobs", "watch", "--json", &job]);
    watched.wait_for(|event| event["state"] == "Suspended");
    world.server.kill();
    let mut running = world.start(upload);
    running.wait_for(|event| event["event"] == "waiting");
    world.server.restart();
    world.relay.up.limit(0);
    let ready = running.end().ends(0);
    check(&schema, &mut seen, &ready);
    check(&schema, &mut seen, &watched.end().ends(0));

    // Is there already, is there, is not there.
    let three = ["upload", "--json", "disk.raw", "small.raw", "none.raw"];
    check(&schema, &mut seen, &world.run(three).ends(2));
    let image = ready.event("ready")["imageUuid"].as_str().unwrap().to_owned();
    let download = ["images", "download", "--json", &image, "-o", "copy.raw"];
    check(&schema, &mut seen, &world.run(download).ends(0));
    let mut nobody = world.command("nobody", ["upload", "--json", "disk.raw"]);
    nobody.env("LONGSHORE_SERVER", World::address(world.server.port));
    check(&schema, &mut seen, &Running::start(nobody, "").end().ends(3));

    let all: BTreeSet<String> = schema.0.keys().cloned().collect();
    assert_eq!(seen, all, "every event of the page was met");
}

/// The control: a field that is renamed, has another type, is gone or is new does not pass.
#[test]
fn an_event_with_a_changed_field_is_noticed() {
    let schema = Schema::of_page();
    let good = json!({"event": "ready", "jobUuid": "j", "imageUuid": "i", "md5": "0".repeat(32),
        "sha256": "a".repeat(64), "verified": true, "sentBytes": 5});
    assert_eq!(schema.check(&good), Ok(()));
    let with = |field: &str, value: Value| {
        let mut event = good.clone();
        event[field] = value;
        event
    };
    let without = |field: &str| {
        let mut event = good.clone();
        event.as_object_mut().unwrap().remove(field);
        event
    };
    assert_eq!(schema.check(&without("md5")), Ok(()), "absent where nothing is known");
    for (bad, why) in [
        (with("event", json!("done")), "done is not on the page"),
        (with("sentBytes", json!("5")), "ready.sentBytes is"),
        (with("sentBytes", json!(-1)), "ready.sentBytes is"),
        (with("verified", Value::Null), "ready.verified is"),
        (with("sha256", json!("no digest")), "ready.sha256 is"),
        (with("bytesSent", json!(5)), "ready.bytesSent is not there"),
        (without("imageUuid"), "ready has no imageUuid"),
        (without("event"), "it has no name"),
    ] {
        let said = schema.check(&bad).expect_err(&bad.to_string());
        assert!(said.contains(why), "{said}");
    }
}

/// The objects that `--json` of the other commands is: the keys that the page promises.
#[test]
fn the_objects_of_lists_and_records_have_the_keys_of_the_page() {
    let world = World::direct();
    world.file("disk.raw", 100);
    let ready = world.run(["upload", "--json", "disk.raw"]).ends(0).event("ready");
    let uuid = |field: &str| ready[field].as_str().unwrap().to_owned();
    let (job, image) = (uuid("jobUuid"), uuid("imageUuid"));
    for (command, keys) in promised() {
        let line =
            command.replace("JOB", &job).replace("IMAGE", &image).replace("FILE", "disk.raw");
        let said = world.json(line.split(' ').chain(["--json"]));
        for key in keys {
            let found = key.split('.').try_fold(&said, |value, part| match value {
                Value::Array(list) => list.first()?.get(part),
                other => other.get(part),
            });
            assert!(found.is_some(), "{line} --json has no {key}: {said}");
        }
    }
}

/// The rows of the table: a command and the keys of its object.
fn promised() -> Vec<(String, Vec<String>)> {
    let (_, rest) = PAGE.split_once("| command with `--json` | keys |").unwrap();
    let rows = rest.lines().skip(2).take_while(|line| line.starts_with('|'));
    let rows: Vec<_> = rows
        .map(|row| {
            let (command, keys) = row.trim_matches('|').split_once(" | ").unwrap();
            let ticked = |text: &str| {
                text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()
            };
            (ticked(command).remove(0), ticked(keys))
        })
        .collect();
    assert!(rows.len() >= 8, "{} commands are in the table", rows.len());
    rows
}
