//! Passwords, sessions and upload URLs are for the one who holds them: not in arguments, not in output, not in the log.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::{MIB, run::Running, server::PASSWORD, world::World};

#[test]
fn a_session_that_others_may_read_is_not_used() {
    let world = World::direct();
    let file = world.path("config/session.json");
    let mode = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    world.file("disk.raw", 100);
    world.run(["jobs", "list"]).ends(0);
    for open in [0o644, 0o640, 0o606] {
        mode(open);
        for command in [&["jobs", "list"][..], &["upload", "disk.raw"], &["logout"]] {
            let ran = world.run(command).ends(2).complains("can be read by others");
            assert!(ran.err.contains(&format!("chmod 600 {}", file.display())), "{}", ran.err);
            assert!(!ran.err.contains(&world.session("config")), "{}", ran.err);
        }
    }
    let mut login = world.command("config", ["login", &World::address(world.server.port)]);
    login.env("LONGSHORE_PASSWORD", PASSWORD);
    Running::start(login, "").end().ends(2).complains("chmod 600");
    // What the words say helps.
    mode(0o600);
    assert_eq!(world.json(["jobs", "list", "--json"])["total"], 0, "nothing was sent meanwhile");
}

/// Everything that another user of the machine, or whoever reads an output or a log, can see.
#[test]
fn no_secret_is_in_arguments_output_or_the_log_while_an_upload_runs() {
    let world = World::with_log("trace");
    world.log_in(world.relay.port, "config");
    let session = world.session("config");
    world.relay.up.limit(4 * MIB);
    world.file("disk.raw", 8 * MIB);
    let mut running = world.start(["upload", "--json", "--slice-size", "1m", "disk.raw"]);
    running.wait_stored(2 * MIB);
    let process = |what: &str| {
        let text = fs::read(format!("/proc/{}/{what}", running.pid())).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    };
    let arguments = process("cmdline");
    assert!(arguments.contains("disk.raw"), "a control: these are its arguments: {arguments}");
    let seen = [arguments, process("environ")];
    world.relay.up.limit(0);
    let uploaded = running.end().ends(0);

    let mut given = world.command("other", ["jobs", "list", "--json"]);
    given.env("LONGSHORE_SERVER", World::address(world.server.port));
    given.env("LONGSHORE_SESSION", &session);
    let listed = Running::start(given, "").end().ends(0);
    let job = world.newest_job()["uuid"].as_str().unwrap().to_owned();
    let shown = world.run(["jobs", "show", "--json", &job]).ends(0);
    let settings = world.run(["config", "show", "--origin"]).ends(0);
    let doctor = world.run(["doctor"]).ends(0);
    let mut all: Vec<String> = seen.into();
    for ran in [uploaded, listed, shown, settings, doctor] {
        all.extend([ran.out, ran.err]);
    }
    let log = world.server.log();
    assert!(log.len() > 50, "a control: at this level the log has every request");
    all.extend(log);
    for text in &all {
        assert!(!text.contains(&session), "the session is in: {text}");
        assert!(!text.contains(PASSWORD), "the password is in: {text}");
    }
}
