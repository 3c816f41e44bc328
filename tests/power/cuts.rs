//! Power cuts of a real file system under a working server, and what is left of the promise when syncs are a lie.

use std::{ops::Range, path::PathBuf, process::Command, time::Duration};

use crate::{
    client::{Sizes, Worker},
    disk::{Disk, can_mount},
    ledger::{Counts, Ledger},
    shared::{
        client::Session,
        from_environment,
        random::Random,
        runtime,
        server::{Server, Told},
    },
    verify,
};

/// Cycles on one file system: their images stay on it, and its journal is replayed again and again.
const CYCLES_PER_DISK: u64 = 5;
const DISK_MIB: u64 = 1024;
const SIZES: Sizes = Sizes { large: 24 << 20, small: 512 << 10 };

/// What one cut left.
struct Cut {
    ledger: Ledger,
    session: Session,
}

/// Lets the client work for a while, cuts the power, kills the server a moment later, and brings the power back.
async fn cut(
    disk: &mut Disk,
    environment: &[(&str, &str)],
    prefix: &str,
    work_ms: Range<u64>,
    random: &mut Random,
) -> Cut {
    let server = Server::try_spawn(&disk.data(), environment, Told::Panics).unwrap();
    let session = Session::open(&server.base).await;
    let (ledger, switch) = (Ledger::default(), disk.switch());
    let after = work_ms.start + random.below(work_ms.end - work_ms.start);
    let dying = random.below(40);
    let mut choices = Random(random.next());
    let cutting = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_millis(after));
        switch.cut();
        // It fails every call now. Whatever it still acknowledges is held against it too.
        std::thread::sleep(Duration::from_millis(dying));
        server.kill();
    });
    let worker = Worker { session: &session, ledger: &ledger, prefix, sizes: SIZES };
    worker.work(&mut choices).await;
    cutting.await.unwrap();
    disk.power_on();
    Cut { ledger, session }
}

/// One cycle on an honest disk: nothing is lost, and everything can be brought to its end.
async fn honest_cycle(
    disk: &mut Disk,
    environment: &[(&str, &str)],
    prefix: &str,
    random: &mut Random,
) -> Counts {
    let Cut { ledger, session } = cut(disk, environment, prefix, 0..900, random).await;
    let entries = ledger.entries();
    let broken = verify::broken_files(&disk.data(), &entries);
    assert!(broken.is_empty(), "{prefix}: {broken:#?}");
    let server = Server::try_spawn(&disk.data(), environment, Told::Panics);
    let server = server.unwrap_or_else(|why| panic!("{prefix}: {why}"));
    // The session was acknowledged as well.
    let session = session.at(&server.base);
    let broken = verify::broken_promises(&session, &entries).await;
    assert!(broken.is_empty(), "{prefix}: {broken:#?}");
    verify::settle(&session, &entries).await;
    verify::no_strays(&session, &disk.data()).await;
    ledger.counts()
}

#[test]
#[ignore = "needs root and loop devices: scripts/test power and scripts/soak powercut run it"]
fn power_cuts_lose_nothing() {
    if !can_mount() {
        return;
    }
    let cycles = from_environment("POWER_CYCLES").unwrap_or(20);
    let mut random = Random::seeded("POWER_SEED");
    let mut counts = Counts::default();
    runtime().block_on(async {
        let mut disk = Disk::new(DISK_MIB);
        for cycle in 0..cycles {
            if cycle > 0 && cycle.is_multiple_of(CYCLES_PER_DISK) {
                disk = Disk::new(DISK_MIB);
            }
            counts += honest_cycle(&mut disk, &[], &format!("cut-{cycle}"), &mut random).await;
        }
    });
    println!("{cycles} power cuts, {counts}; 0 lost, 0 stuck, 0 strays");
    assert!(counts.bytes > 0 && counts.finished > 0 && counts.discarded > 0, "too little was done");
}

/// The first start makes folders, keys, tables and the password of `admin`: a cut anywhere in it leaves something that starts.
#[test]
#[ignore = "needs root and loop devices: scripts/test power and scripts/soak powercut run it"]
fn a_cut_during_the_first_start_leaves_a_store_that_starts() {
    if !can_mount() {
        return;
    }
    let cycles = from_environment("POWER_CYCLES").unwrap_or(20).div_ceil(4);
    let mut random = Random::seeded("POWER_SEED");
    for cycle in 0..cycles {
        let mut disk = Disk::new(64);
        let (switch, data) = (disk.switch(), disk.data());
        let after = Duration::from_millis(random.below(500));
        let cutting = std::thread::spawn(move || {
            std::thread::sleep(after);
            switch.cut();
        });
        let first = Server::try_spawn(&data, &[], Told::Panics);
        cutting.join().unwrap();
        drop(first);
        disk.power_on();
        let server = Server::try_spawn(&disk.data(), &[], Told::Errors);
        let server = server.unwrap_or_else(|why| panic!("cut {cycle} after {after:?}: {why}"));
        runtime().block_on(Session::open(&server.base));
    }
}

/// Builds the library that lies about syncs.
pub(crate) fn no_sync_library(folder: &std::path::Path) -> PathBuf {
    let library = folder.join("no_sync.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/power/no_sync.c");
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source);
    assert!(compile.status().expect("a C compiler").success(), "the lying library was not built");
    library
}

/// Negative control: with every sync a lie (data, early write-back, checkpoints, SQLite) the same cut MUST lose something
/// that was acknowledged, or the oracle is blind. The store itself is made honestly before, so that it is acknowledged bytes and
/// images that are missing, not a store that is half made.
#[test]
#[ignore = "needs root and loop devices: scripts/test power and scripts/soak powercut run it"]
fn without_syncs_the_same_cuts_lose() {
    if !can_mount() {
        return;
    }
    let cycles = from_environment("POWER_CONTROLS").unwrap_or(10);
    let mut random = Random::seeded("POWER_SEED");
    let folder = tempfile::tempdir().unwrap();
    let library = no_sync_library(folder.path());
    let lie = [("LD_PRELOAD", library.to_str().unwrap()), ("NO_SYNC_OF", "everything")];
    let (mut losing, mut example) = (0, String::new());
    runtime().block_on(async {
        for cycle in 0..cycles {
            let mut disk = Disk::new(256);
            Server::try_spawn(&disk.data(), &[], Told::Panics).unwrap().kill();
            disk.power_on();
            let prefix = format!("control-{cycle}");
            // Some work, so that there is something to lose; the last of it is always less than a second old.
            let cut = cut(&mut disk, &lie, &prefix, 300..900, &mut random).await;
            let entries = cut.ledger.entries();
            let broken = match Server::try_spawn(&disk.data(), &[], Told::Panics) {
                Err(why) => vec![why],
                Ok(server) => match Session::try_open(&server.base).await {
                    Err(why) => vec![why.to_string()],
                    Ok(session) => verify::broken_promises(&session, &entries).await,
                },
            };
            losing += u64::from(!broken.is_empty());
            if let Some(first) = broken.into_iter().next() {
                example = first;
            }
        }
    });
    println!(
        "{losing} of {cycles} cycles without syncs lost what was acknowledged, such as: {example}"
    );
    assert!(losing > 0, "no cycle lost anything: the oracle is blind");
}
