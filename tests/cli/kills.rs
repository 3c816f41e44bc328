//! kill -9 of the client at any moment, again and again: `KILLS=200` in scripts/soak cli, a few in an ordinary run.

use std::time::{Duration, SystemTime};

use crate::{MIB, run::sum_of, world::World};

const RATE: u64 = 12 * MIB;
const LENGTH: u64 = 16 * MIB;
const UPLOAD: [&str; 7] =
    ["upload", "--json", "--slice-size", "512k", "--parallel", "4", "disk.raw"];
/// One slice of each connection, and what else a run says: headers and control calls.
const LOST_MAX: u64 = 4 * (512 << 10) + (128 << 10);

fn kills() -> u64 {
    std::env::var("KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(5)
}

#[test]
fn a_client_that_is_killed_again_and_again_sends_nothing_stored_again() {
    let (wanted, mut killed, mut round) = (kills(), 0, 0);
    let mut state = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    println!("seed {state}");
    let world = World::slow(RATE);
    let (mut sent_again, mut bytes) = (0, 0);
    while killed < wanted {
        round += 1;
        // Every round another file: nothing of the one before is there already.
        let file = world.file("disk.raw", LENGTH + round);
        let length = LENGTH + round;
        let begun = world.relay.up.passed();
        let mut kills_of_round = 0;
        let ready = loop {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // From before the login is sent to after the last byte.
            let pause = u64::try_from((state >> 33) % 700).unwrap();
            let mut running = world.start(UPLOAD);
            if killed >= wanted {
                world.relay.up.limit(0);
                break running.end().ends(0).event("ready");
            }
            std::thread::sleep(Duration::from_millis(pause));
            let ran = running.kill();
            match ran.code {
                None => (killed, kills_of_round) = (killed + 1, kills_of_round + 1),
                // It was faster than the signal.
                Some(0) => break ran.event("ready"),
                Some(code) => panic!("{code}: {}\n{}", ran.out, ran.err),
            }
            // What was on its way to the server arrives or is lost, as the network has it; then the next one asks.
        };
        assert_eq!(ready["sha256"], sum_of("sha256sum", &file), "round {round}");
        let passed = world.relay.up.passed() - begun;
        let most = length + (kills_of_round + 1) * LOST_MAX;
        assert!(
            passed >= length && passed <= most,
            "round {round}: {passed} bytes for {length} with {kills_of_round} kills, at most {most}"
        );
        (sent_again, bytes) = (sent_again + passed - length, bytes + length);
    }
    println!(
        "{killed} kills in {round} uploads: {sent_again} bytes beside the {bytes} of the files"
    );
}
