//! A device that fails one write for real: the kernel learns of it while writing back, tells whoever syncs once, and then
//! believes that all is well.

use std::{fmt::Write, fs, path::Path};

use super::{Patient, check_words};
use crate::{
    disk::{Disk, can_mount, make_file_system},
    replay::recorder::Exported,
    shared::{
        client::Session,
        from_environment,
        random::Random,
        runtime,
        server::{Server, Told},
    },
};

/// What became of the server when a write failed under it.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The same process brought the upload to its end.
    WentOn,
    /// The file system has given up as well, as it does when its journal cannot be written.
    FileSystemGaveUp,
}

/// A graph whose first write after `flushes` flushes fails with EIO, once.
fn graph(image: &Path, flushes: u64) -> Vec<String> {
    let mut debug = "driver=blkdebug,node-name=debug,image=file".to_owned();
    for number in 0..flushes {
        let (state, next) = (number + 1, number + 2);
        let _ = write!(
            debug,
            ",set-state.{number}.event=flush_to_disk,set-state.{number}.state={state},set-state.{number}.new_state={next}"
        );
    }
    let failing = flushes + 1;
    let _ = write!(
        debug,
        ",inject-error.0.event=pwritev,inject-error.0.errno=5,inject-error.0.iotype=write,inject-error.0.once=on,inject-error.0.state={failing}"
    );
    let file = format!("driver=file,node-name=file,filename={}", image.display());
    // Events reach a driver from the one above it.
    vec![file, debug, "driver=raw,node-name=top,file=debug".to_owned()]
}

async fn one_bad_write(flushes: u64) -> Option<Outcome> {
    let folder = tempfile::Builder::new().prefix("ls-bad-").tempdir().unwrap();
    let image = folder.path().join("image");
    make_file_system(&image, 96);
    let database = format!("sqlite:{}", folder.path().join("records.db").display());
    let environment = [("LONGSHORE_DATABASE_URL", database.as_str()), crate::PAST_CACHE];
    {
        // Set up before, so that it is the upload that meets the bad write.
        let mount = tempfile::Builder::new().prefix("ls-power-").tempdir().unwrap();
        let mut disk = Disk::of(mount, image.clone());
        Server::try_spawn(&disk.data(), &environment, Told::Panics).unwrap().kill();
        disk.unmount();
    }
    let exported = Exported::new(folder.path(), &graph(&image, flushes), "top");
    let mount = tempfile::Builder::new().prefix("ls-power-").tempdir().unwrap();
    let mut disk = Disk::of(mount, exported.device());
    let server = Server::try_spawn(&disk.data(), &environment, Told::Panics).ok()?;
    let session = Session::open(&server.base).await;
    let mut patient = Patient::new(&session, "bad", 24 << 20).await;
    let mut refused = None;
    while patient.end < patient.length() && refused.is_none() {
        let (status, words) = patient.send(&session).await;
        if status != 200 {
            refused = Some((status, words));
        }
    }
    let (status, words) = refused?;
    assert!((500..600).contains(&status), "{status} {words}");
    check_words(&words, &server);
    println!("after {flushes} flushes: {status} {words}");
    // The next request opens it again from its checkpoint: the acknowledged offset stands.
    let outcome = if session.ready().await.0 == 200 {
        patient.state(&session).await;
        patient.finish(&session, "bad").await;
        Outcome::WentOn
    } else {
        // Nobody can write there, not only the server cannot.
        let written = fs::write(disk.path().join("probe"), b"probe");
        assert!(written.is_err(), "not ready, and the file system works");
        Outcome::FileSystemGaveUp
    };
    server.kill();
    disk.unmount();
    drop((disk, exported));

    println!("{outcome:?}");
    // The disk is well again, and the cache of the one that was not is gone.
    let mount = tempfile::Builder::new().prefix("ls-power-").tempdir().unwrap();
    let mut disk = Disk::of(mount, image);
    let server = Server::try_spawn(&disk.data(), &environment, Told::Errors).unwrap();
    let session = session.at(&server.base);
    patient.state(&session).await;
    patient.finish(&session, "bad").await;
    server.kill();
    disk.unmount();
    Some(outcome)
}

#[test]
#[ignore = "needs root, loop devices and FUSE: scripts/test power runs it"]
fn a_failed_write_back_is_told_and_never_acknowledged() {
    if !can_mount() {
        return;
    }
    let rounds = from_environment("POWER_BAD_WRITES").unwrap_or(4);
    let mut random = Random::seeded("POWER_SEED");
    let mut outcomes = Vec::new();
    runtime().block_on(async {
        // Where ext4 gives up under all of them, more devices are needed to show what the server does.
        let mut round = 0;
        while round < rounds || round < 4 * rounds && !outcomes.contains(&Outcome::WentOn) {
            println!("device {round}");
            outcomes.extend(one_bad_write(12 + random.below(24)).await);
            round += 1;
        }
    });
    println!("{outcomes:?}");
    assert!(outcomes.contains(&Outcome::WentOn), "no write of an upload failed: {outcomes:?}");
}
