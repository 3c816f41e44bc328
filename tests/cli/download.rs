//! Downloads that are cut off.

use crate::{
    MIB,
    run::{Running, sum_of},
    world::World,
};

const LENGTH: u64 = 24 * MIB;
/// Headers, control calls, and what the relay had taken from the server but could not hand on any more.
const SLACK: u64 = 8 * MIB;

fn part_bytes(world: &World) -> u64 {
    let entries = std::fs::read_dir(world.folder.path()).unwrap().map(Result::unwrap);
    let parts = entries.filter(|entry| entry.path().extension().is_some_and(|e| e == "part"));
    parts.map(|entry| entry.metadata().unwrap().len()).sum()
}

#[test]
fn a_download_goes_on_after_its_client_and_its_server_were_killed() {
    let mut world = World::slow(0);
    let file = world.file("disk.raw", LENGTH);
    let ready = world.run(["upload", "--json", "disk.raw"]).ends(0).event("ready");
    let image = ready["imageUuid"].as_str().unwrap().to_owned();
    let download = ["images", "download", "--json", &image, "-o", "copy.raw"];
    let before = world.relay.down.passed();
    world.relay.down.limit(8 * MIB);

    let mut running = world.start(download);
    running.wait_stored(2 * MIB);
    running.kill();
    let kept = part_bytes(&world);
    assert!(kept > 0 && kept < LENGTH && !world.path("copy.raw").exists(), "{kept}");

    let mut running: Running = world.start(download);
    // Its first report: what the part held is not fetched again.
    running.wait_stored(kept);
    running.wait_stored(kept + 2 * MIB);
    world.server.kill();
    running.wait_for(|event| event["event"] == "waiting");
    world.relay.down.limit(0);
    world.server.restart();
    let ran = running.end().ends(0);
    assert_eq!(ran.event("downloaded")["verified"], true);
    assert_eq!(sum_of("sha256sum", &file), sum_of("sha256sum", &world.path("copy.raw")));
    assert_eq!(part_bytes(&world), 0, "no part is left");
    let fetched = world.relay.down.passed() - before;
    assert!(fetched < LENGTH + SLACK, "{fetched} bytes came for {LENGTH}");
}

#[test]
fn a_download_that_ctrl_c_ends_says_where_its_bytes_are() {
    let world = World::slow(0);
    let file = world.file("disk.raw", LENGTH);
    let ready = world.run(["upload", "--json", "disk.raw"]).ends(0).event("ready");
    let image = ready["imageUuid"].as_str().unwrap().to_owned();
    world.relay.down.limit(8 * MIB);
    let begun = world.relay.down.passed();
    let mut running = world.start(["images", "download", &image, "-o", "copy.raw"]);
    world.relay.down.wait_for(begun + 6 * MIB);
    running.interrupt();
    running.end().ends(130).complains(".part; the same command goes on");
    let kept = part_bytes(&world);
    assert!(kept > 0, "nothing was kept");
    world.relay.down.limit(0);
    let begun = world.relay.down.passed();
    world.run(["images", "download", &image, "-o", "copy.raw"]).ends(0);
    assert!(world.relay.down.passed() - begun < LENGTH - kept + MIB, "the part was fetched again");
    assert_eq!(sum_of("sha256sum", &file), sum_of("sha256sum", &world.path("copy.raw")));
}
