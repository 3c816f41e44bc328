//! What is said, to whom, and with which exit code.

use std::{fs, os::unix::fs::FileExt};

use crate::{
    MIB,
    run::{Running, sum_of},
    server::free_port,
    world::World,
};

#[test]
fn events_are_lines_of_json_and_no_output_has_escape_codes() {
    let world = World::direct();
    world.file("disk.raw", 5 * MIB);
    let ran = world.run(["upload", "--json", "disk.raw"]).ends(0);
    let names: Vec<_> =
        ran.events().iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect();
    for name in ["opened", "phase", "located", "progress", "ready"] {
        assert!(names.iter().any(|had| had == name), "{name}: {names:?}");
    }
    assert_eq!(names.last().map(String::as_str), Some("ready"));
    assert_eq!(ran.err, "", "with --json everything is an event");

    let lines = world.run(["upload", "--name", "lines", "disk.raw"]).ends(0);
    let bad = world.run(["upload", "none.raw"]).ends(2);
    for text in [&lines.out, &lines.err, &bad.out, &bad.err] {
        assert!(!text.contains('\u{1b}') && !text.contains('\r'), "{text:?}");
    }
    let quiet = world.run(["upload", "-q", "--name", "quiet", "disk.raw"]).ends(0);
    assert_eq!((quiet.out.as_str(), quiet.err.as_str()), ("", ""));
    let quiet = world.run(["upload", "--quiet", "none.raw"]).ends(2);
    assert_eq!(quiet.err.lines().count(), 1, "errors are said: {}", quiet.err);
    let event = world.run(["upload", "--json", "none.raw"]).ends(2).event("error");
    assert_eq!(event["exitCode"], 2);
}

#[test]
fn files_of_every_name_and_of_hardly_a_byte() {
    let world = World::direct();
    let names = ["one byte", "Abbild äöü 磁盘.raw", "-dash.raw", "it's $HOME `x`.raw", "a\nb.raw"];
    for (length, name) in (1..).zip(names) {
        let file = world.file(name, length);
        let ready = world.run(["upload", "--json", "--", name]).ends(0).event("ready");
        assert_eq!(ready["sha256"], sum_of("sha256sum", &file), "{name:?}");
        let image = ready["imageUuid"].as_str().unwrap();
        world.run(["images", "download", image, "-o", "copy", "--force"]).ends(0);
        assert_eq!(fs::read(&file).unwrap(), fs::read(world.path("copy")).unwrap(), "{name:?}");
    }
    let all = world.run([&["upload", "--"], &names[..]].concat()).ends(0);
    assert_eq!(all.out.matches("is ready").count(), names.len(), "{}", all.out);
}

#[test]
fn what_is_no_image_is_refused_in_words_and_the_other_files_are_sent() {
    let world = World::direct();
    world.file("empty.raw", 0);
    world.file("good.raw", 9);
    let ran = world.run(["upload", "empty.raw", "none.raw", ".", "good.raw"]).ends(2);
    assert!(ran.out.contains("good.raw: image "), "{}", ran.out);
    for words in [
        "longshore: empty.raw: the file is empty; there is nothing to upload\n",
        "longshore: none.raw: cannot open it: No such file or directory",
        "not a regular file; give an image file\n",
    ] {
        assert!(ran.err.contains(words), "no [{words}] in\n{}", ran.err);
    }
    world.run(["upload"]).ends(2).complains("<FILE>");
    world.run(["upload", "--name", "x", "good.raw", "empty.raw"]).ends(2).complains("--name");
    assert_eq!(world.json(["jobs", "list", "--json"])["total"], 1, "no job for what is refused");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let world = World::new();
    world.file("disk.raw", 100);
    let port = free_port();
    let nobody = World::address(port);
    let server = ["--server", nobody.as_str()];
    let upload = ["upload", "--give-up-after", "1s", "disk.raw"];
    let ran = world.run([&server[..], &upload[..]].concat()).ends(5);
    assert!(
        ran.err.contains(&format!("cannot reach the server at 127.0.0.1:{port}")),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("run the same command again"), "{}", ran.err);
    for bad in ["localhost:8080", "ftp://x", "nonsense"] {
        let ran = world.run(["--server", bad, "jobs", "list"]).ends(2);
        ran.complains("is not the address of a server");
    }
    let mut command = world.command("config", ["jobs", "list"]);
    command.env("LONGSHORE_SERVER", World::address(world.server.port));
    command.env("LONGSHORE_SESSION", "0123456789abcdef0123456789abcdef");
    Running::start(command, "").end().ends(3).complains("longshore login");
}

#[test]
fn a_file_that_changes_while_it_is_sent_is_told() {
    let world = World::slow(4 * MIB);
    let file = world.file("disk.raw", 12 * MIB);
    let upload = ["upload", "--slice-size", "1m", "disk.raw"];
    let begun = world.relay.up.passed();
    let mut running = world.start(upload);
    world.relay.up.wait_for(begun + 3 * MIB);
    fs::File::options().write(true).open(&file).unwrap().set_len(8 * MIB).unwrap();
    let ran = running.end().ends(2).complains("changed while it was being sent (its size)");
    let job = world.newest_job()["uuid"].as_str().unwrap().to_owned();
    assert!(ran.err.contains(&format!("longshore jobs cancel {job}")), "{}", ran.err);

    // The words are right: this and the same command lead to an image of the file as it is now.
    world.run(["jobs", "cancel", job.as_str()]).ends(0);
    world.relay.up.limit(0);
    let out = world.run(upload).ends(0).out;
    assert!(out.contains(&sum_of("sha256sum", &file)), "{out}");
}

#[test]
fn a_file_that_is_removed_while_it_is_sent_arrives_whole() {
    let world = World::slow(4 * MIB);
    let file = world.file("disk.raw", 8 * MIB);
    let sum = sum_of("sha256sum", &file);
    let begun = world.relay.up.passed();
    let mut running = world.start(["upload", "--slice-size", "1m", "disk.raw"]);
    world.relay.up.wait_for(begun + 2 * MIB);
    fs::remove_file(file).unwrap();
    world.relay.up.limit(0);
    let out = running.end().ends(0).out;
    assert!(out.contains(&sum), "an open file stays: {out}");
}

/// The name of a file is a sample of it, and so is what is asked of the server; a change between the samples that the file system does
/// not show either is found by the digests of the whole.
#[test]
fn a_change_that_the_name_does_not_show_is_found_at_the_end() {
    let world = World::slow(4 * MIB);
    let file = world.file("disk.raw", 12 * MIB);
    let upload = ["upload", "--json", "--slice-size", "1m", "disk.raw"];
    let mut running = world.start(upload);
    running.wait_stored(2 * MIB);
    running.interrupt();
    running.end().ends(130);
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    let open = fs::File::options().write(true).open(&file).unwrap();
    // In the first slice, and between the samples whatever number of slices is there.
    open.write_all_at(b"new", 100_000).unwrap();
    open.set_modified(modified).unwrap();
    drop(open);
    world.relay.up.limit(0);
    let error = world.run(upload).ends(6).event("error");
    let words = error["words"].as_str().unwrap();
    assert!(words.contains("the image is not the file"), "{words}");

    let delete = words.split('`').nth(1).expect("the next step in backticks").to_owned();
    world.run(delete.split(' ').skip(1)).ends(0);
    let ready = world.run(upload).ends(0).event("ready");
    assert_eq!(ready["sha256"], sum_of("sha256sum", &file));
}
