//! `longshore schedule` beside a running server, `longshore store check` without one.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    MIB,
    run::{Ran, Running},
    world::World,
};

fn check(world: &World, args: &[&str]) -> Ran {
    let mut command = world.command("config", ["store", "check"]);
    command.args(args).arg("--data-dir").arg(world.data());
    Running::start(command, "").end()
}

#[test]
fn an_admin_lists_runs_and_sees_what_came_of_it() {
    let world = World::direct();
    let listed = world.run(["schedule", "list"]).ends(0).out;
    for words in ["scrubImages", "cron 0 0 2 * * ?", "every 60 s", "Enabled"] {
        assert!(listed.contains(words), "{listed}");
    }
    assert_eq!(world.json(["schedule", "list", "--json"])["jobs"].as_array().unwrap().len(), 5);
    let ran = world.run(["schedule", "run", "reconcileStore"]).ends(0).out;
    assert!(ran.contains("ok: 0 uploads and 0 image files"), "{ran}");
    let ran = world.json(["schedule", "run", "--json", "scrub images"]);
    assert_eq!((&ran["success"], &ran["jobType"]), (&json!(true), &json!("scrubImages")));
    let begun = world.run(["schedule", "run", "--no-wait", "pruneRecords"]);
    assert!(begun.code == Some(0) || begun.err.contains("is at work"), "{}", begun.err);
    let history = world.json(["schedule", "history", "--json", "--query", "jobType=scrubImages"]);
    assert_eq!(
        (history["total"].as_u64(), &history["inventories"][0]["id"]),
        (Some(1), &ran["id"])
    );
    let table = world.run(["schedule", "history"]).ends(0).out;
    assert!(
        table.contains("reconcileStore") && table.contains("compared with the records"),
        "{table}"
    );
    world.run(["schedule", "run", "paint the house"]).ends(2).complains("there is no job");
    world.run(["schedule", "history", "--query", "nope=1"]).ends(7).complains("no such field");
}

#[test]
fn a_store_is_checked_and_mended_while_nobody_uses_it() {
    let mut world = World::direct();
    world.file("disk.raw", 3 * MIB);
    let ready = world.run(["upload", "--json", "disk.raw"]).ends(0).event("ready");
    let image = ready["imageUuid"].as_str().unwrap().to_owned();
    check(&world, &[]).ends(2).complains("longshore schedule run reconcileStore");
    world.server.kill();

    let said = check(&world, &["--digests"]).ends(0).out;
    assert!(said.contains("files and records agree"), "{said}");
    // A stray of nobody.
    let stray = "ab0123456789400080000123456789ab";
    let staging = world.data().join("uploads").join("ab").join(format!("{stray}.data"));
    fs::write(&staging, "x").unwrap();
    check(&world, &[]).ends(9);
    assert!(staging.exists(), "it was only told");
    let mended = check(&world, &["--repair"]).ends(0).out;
    assert!(mended.contains("1 staging entries without a record: moved to lost+found"), "{mended}");
    assert!(!staging.exists());
    check(&world, &[]).ends(0);
    // Bit rot is seen by who reads, and a missing file by everybody.
    let file = world.data().join("images").join(&image[30..]).join(&image);
    let mut bytes = fs::read(&file).unwrap();
    bytes[1_000_000] ^= 1;
    fs::write(&file, &bytes).unwrap();
    check(&world, &[]).ends(0);
    let said = check(&world, &["--digests"]).ends(6).out;
    assert!(said.contains(&image) && said.contains("another MD5 and SHA-256"), "{said}");
    fs::rename(&file, world.data().join("aside")).unwrap();
    let told = check(&world, &["--json"]).ends(6);
    let told: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!((&told["missingImages"], &told["agrees"]), (&json!([image]), &json!(false)));
    // What cannot be read is named, with the reason.
    std::os::unix::fs::symlink(&file, &file).unwrap();
    let said = check(&world, &[]).ends(9);
    assert!(said.out.contains("1 could not be looked at"), "{}", said.out);
    assert!(said.err.contains(&image) && said.err.contains("symbolic link"), "{}", said.err);
    // A mistyped path makes nothing.
    let nowhere = world.path("nowhere");
    let mut command = world.command("config", ["store", "check", "--repair", "--data-dir"]);
    command.arg(&nowhere);
    Running::start(command, "").end().ends(2).complains("there is no store in");
    assert!(!nowhere.exists());
}

#[test]
fn an_image_is_verified_by_its_name_and_told_as_damaged_when_it_is() {
    let world = World::direct();
    world.file("disk.raw", 3 * MIB);
    let ready = world.run(["upload", "--json", "disk.raw"]).ends(0).event("ready");
    let image = ready["imageUuid"].as_str().unwrap().to_owned();
    let name = world.json(["images", "show", "--json", &image])["name"].clone();
    let name = name.as_str().unwrap().to_owned();
    let said = world.run(["images", "verify", &name]).ends(0).out;
    assert!(said.contains(&image) && said.contains("is what it was"), "{said}");
    let file = world.data().join("images").join(&image[30..]).join(&image);
    let mut bytes = fs::read(&file).unwrap();
    bytes[2_000_000] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let said = world.run(["images", "verify", &image]).ends(6).out;
    assert!(said.contains("is damaged"), "{said}");
    let run = world.run(["images", "verify", "--json", &name]).ends(6).out;
    let run: serde_json::Value = serde_json::from_str(&run).unwrap();
    assert_eq!(run["targetResourceUuid"], json!(image));
    world.run(["images", "verify", "no such image"]).ends(2).complains("there is no Ready image");
    // Nothing is left of it but its history.
    let jobs = world.json(["schedule", "list", "--json"])["jobs"].clone();
    assert_eq!(jobs.as_array().unwrap().len(), 5, "{jobs}");
    let history = world.json(["schedule", "history", "--json", "--query", "jobType=verifyImage"]);
    assert_eq!(history["total"], 3);
}

#[test]
fn a_run_that_was_killed_with_its_service_is_told_as_failed_and_runs_again() {
    let mut world = World::direct();
    // Read at 64 MiB/s: a second and a half.
    world.file("disk.raw", 96 * MIB);
    world.run(["upload", "--json", "disk.raw"]).ends(0);
    world.run(["schedule", "run", "--no-wait", "scrubImages"]).ends(0);
    world.server.kill();
    world.server.restart();
    let query = ["schedule", "history", "--json", "--query", "jobType=scrubImages"];
    let begun = Instant::now();
    let run = loop {
        let run = world.json(query)["inventories"][0].clone();
        if !run["success"].is_null() {
            break run;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "it was never ended: {run}");
    };
    assert_eq!(run["success"], json!(false), "{run}");
    let dump = run["resultDump"].as_str().unwrap();
    assert!(dump.contains("the process that ran it ended before the run did"), "{dump}");
    let again = world.json(["schedule", "run", "--json", "scrubImages"]);
    assert_eq!(again["success"], json!(true), "{again}");
    assert!(again["resultDump"].as_str().unwrap().contains("\"sound\":1"), "{again}");
}
