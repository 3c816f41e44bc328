//! Uploads that a person stops.

use std::process::Command;

use crate::{
    MIB,
    run::{Running, sum_of},
    world::World,
};

const LENGTH: u64 = 16 * MIB;

#[test]
fn ctrl_c_suspends_and_prints_the_line_that_goes_on() {
    let world = World::slow(4 * MIB);
    let file = world.file("my disk.raw", LENGTH);
    let begun = world.relay.up.passed();
    let mut running = world.start(["upload", "--slice-size", "1m", "my disk.raw"]);
    world.relay.up.wait_for(begun + 8 * MIB);
    running.interrupt();
    let ran = running.end().ends(130).complains("is suspended; what was sent is kept");
    let job = world.newest_job();
    assert_eq!(job["state"], "Suspended", "{job}");
    let shown = world.run(["jobs", "show", job["uuid"].as_str().unwrap()]).ends(0).out;
    assert!(shown.contains("suspended by"), "the reason in words: {shown}");

    // The line as it stands, by a shell.
    world.relay.up.limit(0);
    let line = ran.out.lines().last().expect("a line").to_owned();
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("exec {line}")]).env_clear().current_dir(world.folder.path());
    shell.env("LONGSHORE_CONFIG_DIR", world.path("config"));
    let again = Running::start(shell, "").end().ends(0);
    let (out, err) = (again.out, again.err);
    assert!(err.contains("going on: the server has the first"), "{err}");
    assert!(out.contains(&sum_of("sha256sum", &file)), "{out}");
    let after = world.newest_job();
    assert_eq!((&after["uuid"], &after["state"]), (&job["uuid"], &"Succeeded".into()));
    assert!(
        world.relay.up.passed() - begun < LENGTH + 5 * MIB,
        "what was stored is not sent again"
    );
}

#[test]
fn a_second_ctrl_c_leaves_at_once_while_the_server_is_away() {
    let mut world = World::slow(4 * MIB);
    world.file("disk.raw", LENGTH);
    let mut running = world.start(["upload", "--json", "--slice-size", "1m", "disk.raw"]);
    running.wait_stored(MIB);
    world.server.kill();
    running.wait_for(|event| event["event"] == "waiting");
    running.interrupt();
    std::thread::sleep(std::time::Duration::from_millis(300));
    running.interrupt();
    let begun = std::time::Instant::now();
    running.end().ends(130);
    assert!(begun.elapsed() < std::time::Duration::from_secs(5));
}

#[test]
fn a_job_that_somebody_suspends_stops_its_upload_until_it_is_resumed() {
    let world = World::slow(4 * MIB);
    let file = world.file("disk.raw", LENGTH);
    let upload = ["upload", "--slice-size", "1m", "disk.raw"];
    let begun = world.relay.up.passed();
    let mut running = world.start(upload);
    world.relay.up.wait_for(begun + 6 * MIB);
    let job = world.newest_job()["uuid"].as_str().unwrap().to_owned();
    world.run(["jobs", "suspend", job.as_str()]).ends(0);
    let stopped = running.end().ends(5).complains("suspended");
    assert!(stopped.err.contains(&format!("jobs resume {job}")), "{}", stopped.err);
    assert_eq!(world.newest_job()["state"], "Suspended");

    world.run(["jobs", "resume", job.as_str()]).ends(0);
    assert_eq!(world.newest_job()["state"], "Running");
    world.relay.up.limit(0);
    let out = world.run(upload).ends(0).out;
    assert!(out.contains(&sum_of("sha256sum", &file)), "{out}");
    assert_eq!(world.newest_job()["uuid"], job.as_str());
}
