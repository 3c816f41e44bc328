//! The commands one after the other, as a first user runs them.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use crate::{
    MIB,
    run::{Running, sum_of},
    server::PASSWORD,
    world::World,
};

fn log_in(world: &World, variable: Option<&str>, input: &str) -> crate::run::Ran {
    let mut command = world.command("config", ["login"]);
    command.env("LONGSHORE_SERVER", World::address(world.server.port));
    if let Some(password) = variable {
        command.env("LONGSHORE_PASSWORD", password);
    }
    Running::start(command, input).end()
}

#[test]
fn a_session_is_kept_by_login_and_ended_by_logout() {
    let world = World::new();
    let server = World::address(world.server.port);
    let before = world.run(["--server", server.as_str(), "jobs", "list"]);
    before.ends(3).complains("longshore login");

    log_in(&world, Some("wrong"), "").ends(3).complains("check the name of the account");
    log_in(&world, None, "wrong\n").ends(3).complains("wrong account name or password");
    log_in(&world, None, "").ends(2).complains("LONGSHORE_PASSWORD");
    assert!(!world.path("config/session.json").exists(), "a failed login keeps nothing");

    let said = log_in(&world, None, &format!("{PASSWORD}\n")).ends(0).out;
    assert!(said.contains(&format!("logged in to {server} as admin until ")), "{said}");
    let kept = fs::metadata(world.path("config/session.json")).unwrap();
    assert_eq!(kept.permissions().mode() & 0o777, 0o600);
    log_in(&world, Some(PASSWORD), "").ends(0);
    world.run(["jobs", "list"]).ends(0);

    world.run(["logout"]).ends(0);
    let after = world.run(["--server", server.as_str(), "jobs", "list"]);
    after.ends(3).complains("longshore login");
}

#[test]
fn a_file_becomes_an_image_and_comes_back() {
    let world = World::direct();
    let file = world.file("disk.raw", 40 * MIB);
    let (md5, sha256) = (sum_of("md5sum", &file), sum_of("sha256sum", &file));

    let first = world.run(["upload", "disk.raw"]).ends(0);
    assert!(first.out.contains("is ready (verified)"), "{}", first.out);
    assert!(first.out.contains(&md5) && first.out.contains(&sha256), "{}", first.out);
    let again = world.run(["upload", "--json", "disk.raw"]).ends(0).event("ready");
    assert_eq!((&again["sentBytes"], &again["sha256"]), (&0.into(), &sha256.as_str().into()));
    let image = again["imageUuid"].as_str().unwrap();
    assert!(first.out.contains(image), "the same image: {}", first.out);

    let job = world.newest_job()["uuid"].as_str().unwrap().to_owned();
    let listed = world.run(["jobs", "list"]).ends(0).out;
    assert!(listed.contains(&job) && listed.contains("Succeeded"), "{listed}");
    assert_eq!(world.json(["jobs", "show", "--json", job.as_str()])["state"], "Succeeded");
    let shown = world.run(["jobs", "show", job.as_str()]).ends(0).out;
    assert!(shown.contains(image) && shown.contains("upload disk"), "{shown}");
    let told: Vec<_> = shown.lines().filter(|line| line.starts_with("history ")).collect();
    let (first, last) = (told[0], told[told.len() - 1]);
    assert!(first.ends_with("Z Running: submitted"), "{shown}");
    assert!(last.ends_with("Z Succeeded: the image is Ready"), "{shown}");
    let states = &world.json(["jobs", "show", "--json", job.as_str()])["history"];
    assert_eq!(states.as_array().unwrap().len(), told.len(), "{states}");
    assert_eq!(world.run(["jobs", "watch", job.as_str()]).ends(0).out, "Succeeded\n");

    let listed = world.run(["images", "list"]).ends(0).out;
    assert!(listed.contains(image) && listed.contains("40.00 MiB"), "{listed}");
    let shown = world.run(["images", "show", image]).ends(0).out;
    assert!(shown.contains(&md5) && shown.contains(&sha256), "{shown}");
    assert!(shown.contains(&format!("inspected   raw, {} bytes", 40 * MIB)), "{shown}");
    let found = &world.json(["images", "show", "--json", image])["inspection"];
    assert_eq!((&found["inspected"], &found["format"]), (&true.into(), &"raw".into()));
    world.run(["images", "download", image]).ends(2).complains("disk.raw exists; give --force");
    world.run(["images", "download", image, "-o", "copy.raw"]).ends(0);
    assert!(fs::read(file).unwrap() == fs::read(world.path("copy.raw")).unwrap(), "other bytes");

    world.run(["images", "delete", image]).ends(0);
    world.run(["jobs", "delete", job.as_str()]).ends(0);
    assert!(!world.run(["images", "list"]).ends(0).out.contains(image));
    assert!(world.run(["images", "list", "--all"]).ends(0).out.contains("Deleted"));
    world.run(["images", "download", image]).ends(7).complains("is Deleted, not Ready");
    world.run(["jobs", "show", job.as_str()]).ends(7).complains("`longshore jobs list`");

    // Its image is deleted: the same bytes are sent anew instead of a dead image being praised.
    let anew = world.run(["upload", "--json", "disk.raw"]).ends(0).event("ready");
    assert_eq!(anew["sentBytes"], 40 * MIB);
    assert_ne!(anew["imageUuid"], image);
}

#[test]
fn a_canceled_job_ends_its_upload_and_the_same_command_starts_a_new_one() {
    let world = World::slow(4 * MIB);
    world.file("disk.raw", 12 * MIB);
    let upload = ["upload", "--json", "--slice-size", "1m", "disk.raw"];
    let mut running = world.start(upload);
    running.wait_stored(2 * MIB);
    let job = world.newest_job()["uuid"].as_str().unwrap().to_owned();
    world.run(["jobs", "delete", job.as_str()]).ends(7);
    world.run(["jobs", "cancel", job.as_str()]).ends(0);
    let error = running.end().ends(7).event("error");
    assert!(error["words"].as_str().unwrap().contains("Canceled"), "{error}");
    let watched = world.run(["jobs", "watch", job.as_str()]).ends(7).out;
    assert!(watched.starts_with("Canceled") && watched.lines().count() == 1, "{watched}");
    world.relay.up.limit(0);
    let ready = world.run(upload).ends(0).event("ready");
    assert_eq!(ready["sentBytes"], 12 * MIB, "nothing of a canceled upload is left");
    assert_ne!(ready["jobUuid"], job.as_str());
}

#[test]
#[ignore = "needs qemu-img"]
fn a_qcow2_is_seen_as_one() {
    let world = World::direct();
    let made = Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-o", "preallocation=full"])
        .args([world.path("golden.img").as_os_str(), "48M".as_ref()])
        .status();
    assert!(made.expect("qemu-img is installed").success());
    let file = world.path("golden.img");
    let ready = world.run(["upload", "--json", "golden.img"]).ends(0).event("ready");
    assert_eq!(ready["sha256"], sum_of("sha256sum", &file));
    let image = ready["imageUuid"].as_str().unwrap();
    let shown = world.json(["images", "show", "--json", image]);
    assert_eq!((&shown["format"], &shown["size"]), (&"qcow2".into(), &(48 * MIB).into()));
    world.run(["images", "download", image]).ends(0);
    assert_eq!(sum_of("sha256sum", &world.path("golden.qcow2")), ready["sha256"]);
}
