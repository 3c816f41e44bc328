//! Uploads whose client or server dies in the middle.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use serde_json::Value;

use crate::{
    MIB,
    run::{Ran, Running, sum_of},
    world::World,
};

const LENGTH: u64 = 24 * MIB;
const RATE: u64 = 8 * MIB;
const UPLOAD: [&str; 5] = ["upload", "--json", "--slice-size", "1m", "disk.raw"];
/// Four slices may be on the wire when a connection ends.
const IN_FLIGHT: u64 = 4 * MIB;
/// Headers and control calls of one run.
const TALK: u64 = 256 << 10;

/// The most that the server had confirmed to this run.
fn confirmed(ran: &Ran) -> u64 {
    let events = ran.events();
    let progress = events.iter().filter(|event| event["event"] == "progress");
    progress.filter_map(|event| event["storedBytes"].as_u64()).max().unwrap_or(0)
}

fn sent(ready: &Value) -> u64 {
    ready["sentBytes"].as_u64().unwrap()
}

/// A number below `bound` that differs from run to run; printed, so that a failure can be told.
fn any_below(bound: u64) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let any = u64::from(now.subsec_nanos()).wrapping_mul(2_654_435_761) % bound;
    println!("a moment: {any} of {bound}");
    any
}

#[test]
fn a_killed_client_goes_on_without_sending_again_what_was_stored() {
    let world = World::slow(RATE);
    let file = world.file("disk.raw", LENGTH);
    let begun = world.relay.up.passed();
    let kills = 4;
    let (mut stored, mut image_id) = (0, Value::Null);
    for kill in 1..=kills {
        let mut running = world.start(UPLOAD);
        let moment = world.relay.up.passed() + MIB + any_below(4 * MIB);
        world.relay.up.wait_for(moment);
        if kill == kills {
            // Moments that were all early would show nothing.
            running.wait_stored(MIB);
        }
        let ran = running.kill();
        assert_eq!(ran.code, None, "it was killed in the middle: {}", ran.out);
        let located = ran.event("located");
        assert!(image_id.is_null() || image_id == located["jobUuid"], "one job for all runs");
        image_id = located["jobUuid"].clone();
        stored = confirmed(&ran).max(stored);
    }
    assert!(stored > 0, "nothing was stored before the last kill");
    world.relay.up.limit(0);
    let ran = world.run(UPLOAD).ends(0);
    let ready = ran.event("ready");
    assert_eq!(ready["sha256"], sum_of("sha256sum", &file));
    assert_eq!(ready["verified"], true);
    assert_eq!(ran.event("located")["resumed"], true);
    assert!(sent(&ready) <= LENGTH - stored, "{} were sent, {stored} stored", sent(&ready));
    let passed = world.relay.up.passed() - begun;
    let most = LENGTH + kills * (IN_FLIGHT + TALK) + TALK;
    assert!(passed >= LENGTH && passed < most, "{passed} bytes for {LENGTH}, at most {most}");
}

/// The controls of the test above: without resuming, the counters show it.
#[test]
fn the_counters_notice_bytes_that_are_sent_twice() {
    let world = World::slow(RATE);
    world.file("disk.raw", LENGTH);
    let begun = world.relay.up.passed();
    let running = world.start(UPLOAD);
    world.relay.up.wait_for(begun + 12 * MIB);
    let ran = running.kill();
    let job = ran.event("located")["jobUuid"].as_str().unwrap().to_owned();
    world.run(["jobs", "cancel", job.as_str()]).ends(0);
    world.relay.up.limit(0);
    let ready = world.run(UPLOAD).ends(0).event("ready");
    assert!(sent(&ready) > LENGTH - confirmed(&ran), "sent {}", sent(&ready));
    let passed = world.relay.up.passed() - begun;
    assert!(passed > LENGTH + IN_FLIGHT + 2 * TALK, "{passed}");
}

#[test]
fn a_killed_server_is_only_a_pause() {
    let mut world = World::slow(RATE);
    let file = world.file("disk.raw", LENGTH);
    let mut running = world.start(UPLOAD);
    for at in [3 * MIB, 11 * MIB] {
        running.wait_stored(at);
        world.server.kill();
        std::thread::sleep(Duration::from_millis(200 + any_below(500)));
        world.server.restart();
    }
    world.relay.up.limit(0);
    let ran = running.end().ends(0);
    assert!(ran.events().iter().any(|event| event["event"] == "waiting"), "{}", ran.out);
    assert_eq!(ran.event("ready")["sha256"], sum_of("sha256sum", &file));
    assert_eq!(ran.event("ready")["verified"], true);
    let marks = ran.events().into_iter().filter(|event| event["event"] == "progress");
    let marks: Vec<u64> = marks.map(|event| event["storedBytes"].as_u64().unwrap()).collect();
    assert!(marks.is_sorted(), "what was confirmed never falls: {marks:?}");
}

#[test]
fn a_server_that_is_stopped_drains_and_its_successor_gets_the_rest() {
    let mut world = World::slow(RATE);
    let file = world.file("disk.raw", LENGTH);
    let mut running = world.start(UPLOAD);
    running.wait_stored(4 * MIB);
    let (status, took) = world.server.terminate();
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(30), "{took:?}");
    running.wait_for(|event| event["event"] == "waiting");
    world.server.restart();
    world.relay.up.limit(0);
    let ready = running.end().ends(0).event("ready");
    assert_eq!(ready["sha256"], sum_of("sha256sum", &file));
}

/// No relay: the port itself refuses while the server is away.
#[test]
fn a_server_that_is_away_is_waited_for() {
    let mut world = World::direct();
    let file = world.file("disk.raw", 3 * MIB);
    world.server.kill();
    let mut running = world.start(UPLOAD);
    let waiting = running.wait_for(|event| event["event"] == "waiting");
    let words = waiting["why"].as_str().unwrap();
    assert!(words.contains(&format!("127.0.0.1:{}", world.server.port)), "{words}");
    world.server.restart();
    let ready = running.end().ends(0).event("ready");
    assert_eq!(ready["sha256"], sum_of("sha256sum", &file));
}

#[test]
fn another_machine_goes_on_where_the_first_stopped() {
    let world = World::slow(RATE);
    let file = world.file("disk.raw", LENGTH);
    let mut running = world.start(UPLOAD);
    running.wait_stored(6 * MIB);
    let first = running.kill();
    let stored = confirmed(&first);

    fs::create_dir(world.path("elsewhere")).unwrap();
    let copy = world.path("elsewhere/kopie.img");
    fs::copy(&file, &copy).unwrap();
    let years_ago = SystemTime::now() - Duration::from_hours(20_000);
    fs::File::options().write(true).open(&copy).unwrap().set_modified(years_ago).unwrap();
    fs::remove_file(file).unwrap();
    world.log_in(world.relay.port, "other");
    world.relay.up.limit(0);
    let command = world.command("other", ["upload", "--json", "elsewhere/kopie.img"]);
    let second = Running::start(command, "").end().ends(0);
    assert_eq!(second.event("located")["jobUuid"], first.event("located")["jobUuid"]);
    assert!(sent(&second.event("ready")) <= LENGTH - stored);
    assert_eq!(second.event("ready")["sha256"], sum_of("sha256sum", &copy));
}

/// The server has more than this client knows of: another one has gone on, and after that has finished.
#[test]
fn a_client_goes_on_from_where_another_has_brought_it() {
    let world = World::slow(RATE);
    let file = world.file("disk.raw", LENGTH);
    let mut running = world.start(UPLOAD);
    running.wait_stored(3 * MIB);
    let first = running.kill();

    fs::create_dir(world.path("elsewhere")).unwrap();
    fs::copy(&file, world.path("elsewhere/disk.raw")).unwrap();
    world.log_in(world.relay.port, "other");
    let theirs = || world.command("other", UPLOAD.map(|arg| arg.replace("disk", "elsewhere/disk")));
    let mut running = Running::start(theirs(), "");
    running.wait_stored(12 * MIB);
    let second = running.kill();
    let moved = confirmed(&second);
    assert!(moved >= 12 * MIB && moved > confirmed(&first), "the server has moved on");

    let mut running = world.start(UPLOAD);
    running.wait_for(|event| {
        event["event"] == "progress" && event["storedBytes"].as_u64().unwrap() > moved
    });
    let third = running.kill();
    assert_eq!(third.event("located")["jobUuid"], first.event("located")["jobUuid"]);
    let shown = third.events().into_iter().find(|event| event["event"] == "progress").unwrap();
    assert!(shown["storedBytes"].as_u64().unwrap() >= moved, "it begins there: {shown}");

    world.relay.up.limit(0);
    let fourth = Running::start(theirs(), "").end().ends(0).event("ready");
    assert!(sent(&fourth) <= LENGTH - confirmed(&third), "{fourth}");
    let before = world.relay.up.passed();
    let last = world.run(UPLOAD).ends(0).event("ready");
    assert_eq!((sent(&last), &last["imageUuid"]), (0, &fourth["imageUuid"]));
    assert_eq!(last["sha256"], sum_of("sha256sum", &file));
    assert!(world.relay.up.passed() - before < TALK, "the image was there already");
}

#[test]
fn another_folder_is_the_same_file() {
    let world = World::slow(RATE);
    let file = world.file("disk.raw", LENGTH);
    let mut running = world.start(UPLOAD);
    running.wait_stored(6 * MIB);
    let first = running.kill();
    fs::create_dir_all(world.path("deep/er")).unwrap();
    std::os::unix::fs::symlink(&file, world.path("deep/er/link.raw")).unwrap();
    world.relay.up.limit(0);
    let mut command = world.command("config", ["upload", "--json", "er/../er/link.raw"]);
    command.current_dir(world.path("deep"));
    let second = Running::start(command, "").end().ends(0);
    assert_eq!(second.event("located")["jobUuid"], first.event("located")["jobUuid"]);
    assert!(sent(&second.event("ready")) <= LENGTH - confirmed(&first));
}
