//! Where bytes come from and how they are sent: standard input, patterns, rates, names and digests that a person gives.

use std::{
    fs::{self, File},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    MIB,
    run::{Running, sum_of},
    world::{World, bytes},
};

/// `longshore ARGS < FILE`, by a shell that gives way to it, so that a signal meets the right process.
fn from_stdin(world: &World, file: &str, args: &str) -> Running {
    let binary = env!("CARGO_BIN_EXE_longshore");
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("exec {binary} {args} < {file}")]).env_clear();
    shell.current_dir(world.folder.path()).env("LONGSHORE_CONFIG_DIR", world.path("config"));
    Running::start(shell, "")
}

#[test]
fn standard_input_becomes_an_image_and_goes_on_after_a_kill() {
    let world = World::slow(8 * MIB);
    let file = world.file("disk.raw", 24 * MIB);
    let line = "upload --json --name piped --size 24m --image-id piped-1 --slice-size 1m -";
    let begun = world.relay.up.passed();
    let mut running = from_stdin(&world, "disk.raw", line);
    running.wait_stored(8 * MIB);
    let first = running.kill();
    assert_eq!(first.code, None, "{}", first.out);
    world.relay.up.limit(0);
    let second = from_stdin(&world, "disk.raw", line).end().ends(0);
    assert_eq!(second.event("located")["jobUuid"], first.event("located")["jobUuid"]);
    let ready = second.event("ready");
    assert_eq!(
        (&ready["sha256"], &ready["verified"]),
        (&sum_of("sha256sum", &file).into(), &true.into())
    );
    assert!(ready["sentBytes"].as_u64().unwrap() <= 16 * MIB, "{ready}");
    let passed = world.relay.up.passed() - begun;
    assert!(passed < 24 * MIB + 4 * MIB + MIB, "{passed} bytes for 24 MiB");
}

#[test]
fn a_pipe_is_sent_as_it_comes_and_its_format_is_seen() {
    let world = World::direct();
    let mut content = b"QFI\xfb".to_vec();
    content.extend(bytes(3 * MIB));
    fs::write(world.path("x"), &content).unwrap();
    let mut producer = Command::new("sh")
        .args(["-c", "head -c 1000000 x; sleep 1; tail -c +1000001 x"])
        .current_dir(world.folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let size = content.len().to_string();
    let args = ["upload", "--json", "--name", "p", "--size", size.as_str(), "-"];
    let mut command = world.command("config", args);
    let output = command.stdin(producer.stdout.take().unwrap()).output().unwrap();
    producer.wait().unwrap();
    // Its header is a lie after four bytes: the server says so, which shows that it was told the format.
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(out.contains("\"length\":3145732"), "{out}");
    assert!(out.contains("qcow2"), "{out}");
    assert_eq!(output.status.code(), Some(7), "{out}");
}

#[test]
fn an_input_of_another_size_makes_no_image() {
    let world = World::direct();
    world.file("disk.raw", 3_000_000);
    for (size, words) in
        [("3000001", "ended after 3000000 of the 3000001"), ("2999999", "more than the 2999999")]
    {
        let line = format!("upload --name x --size {size} -");
        from_stdin(&world, "disk.raw", &line).end().ends(2).complains(words);
    }
    assert_eq!(world.json(["images", "list", "--json", "--query", "status=Ready"])["total"], 0);
    from_stdin(&world, "disk.raw", "upload --name x -").end().ends(2).complains("--size");
    from_stdin(&world, "disk.raw", "upload --size 3000000 -").end().ends(2).complains("--name");
}

#[test]
fn patterns_stand_for_files_and_files_of_one_name_are_refused() {
    let world = World::direct();
    fs::create_dir(world.path("sub")).unwrap();
    for (name, length) in [("a.raw", 10), ("b.raw", 11), ("c.iso", 12), ("sub/a.img", 13)] {
        world.file(name, length);
    }
    let out = world.run(["upload", "*.raw"]).ends(0).out;
    assert_eq!(out.matches("is ready").count(), 2, "{out}");
    world.run(["upload", "*.vmdk"]).ends(2).complains("no file matches *.vmdk");
    let same = world.run(["upload", "a.raw", "sub/a.img"]).ends(2);
    same.complains("a.raw and sub/a.img would both become an image called a");
    assert_eq!(world.json(["jobs", "list", "--json"])["total"], 2, "nothing was begun");
}

#[test]
fn a_rate_is_kept_over_all_slices() {
    let world = World::direct();
    let file = world.file("disk.raw", 6 * MIB);
    let begun = Instant::now();
    let ready =
        world.run(["upload", "--json", "--limit-rate", "2m", "disk.raw"]).ends(0).event("ready");
    let took = begun.elapsed();
    assert_eq!(ready["sha256"], sum_of("sha256sum", &file));
    // 6 MiB at 2 MiB/s, less the burst of a quarter of a second. The upper end depends on the machine.
    assert!(took > Duration::from_millis(2700), "{took:?}");
    let free = Instant::now();
    world.file("other.raw", 6 * MIB + 1);
    world.run(["upload", "--json", "other.raw"]).ends(0);
    assert!(free.elapsed() < took, "without a limit it is faster: {:?}", free.elapsed());
}

#[test]
fn so_many_slices_are_sent_at_once_as_was_asked_for() {
    let world = World::slow(4 * MIB);
    let most = |parallel: &str, length: u64, slices: u64| {
        let file = world.file("disk.raw", length);
        world.relay.hold_until(slices);
        let upload =
            ["upload", "--json", "--slice-size", "512k", "--parallel", parallel, "disk.raw"];
        let ready = world.run(upload).ends(0).event("ready");
        assert_eq!(ready["sha256"], sum_of("sha256sum", &file));
        world.relay.most_at_once()
    };
    let (one, four) = (most("1", 4 * MIB, 1), most("4", 4 * MIB + 1, 4));
    assert_eq!((one, four, most("8", 6 * MIB + 2, 8)), (1, 4, 8));
    world.run(["upload", "--parallel", "0", "disk.raw"]).ends(2).complains("1..=8");
}

#[test]
fn the_whole_is_compared_unless_nobody_wants_that() {
    let world = World::direct();
    for (number, (more, verified)) in (1..).zip([
        (&[][..], true),
        (&["--verify"], true),
        (&["--no-verify"], false),
        (&["--no-verify", "--verify"], true),
        (&["--verify", "--no-verify"], false),
    ]) {
        world.file("disk.raw", MIB + number);
        let upload = [&["upload", "--json"], more, &["disk.raw"]].concat();
        let ready = world.run(upload).ends(0).event("ready");
        assert_eq!(ready["verified"], verified, "{more:?}");
    }
}

#[test]
#[ignore = "needs qemu-img"]
fn the_format_is_what_was_said_or_what_is_seen() {
    let world = World::direct();
    let made = Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2"])
        .args([world.path("disk.raw").as_os_str(), "8M".as_ref()])
        .status();
    assert!(made.expect("qemu-img is installed").success());
    let format = |name: &str, more: &[&str]| {
        let upload = [&["upload", "--json", "--name", name], more, &["disk.raw"]].concat();
        let ready = world.run(upload).ends(0).event("ready");
        let image = ready["imageUuid"].as_str().unwrap();
        world.json(["images", "show", "--json", image])["format"].clone()
    };
    assert_eq!(format("seen by the client", &[]), "qcow2", "not what its name says");
    assert_eq!(format("seen by the server", &["--format", "auto"]), "qcow2");
    assert_eq!(format("said", &["--format", "qcow2"]), "qcow2");
    let wrong = ["upload", "--name", "wrong", "--format", "vmdk", "disk.raw"];
    world.run(wrong).ends(7).complains("it was said to be vmdk, and its content is qcow2");
    world.run(["upload", "--format", "floppy", "disk.raw"]).ends(2).complains("possible values");
}

#[test]
fn a_name_of_ones_own_finds_the_upload() {
    let world = World::slow(4 * MIB);
    let file = world.file("disk.raw", 10 * MIB);
    let upload =
        ["upload", "--json", "--image-id", "my own / name", "--slice-size", "1m", "disk.raw"];
    let mut running = world.start(upload);
    running.wait_stored(3 * MIB);
    let first = running.kill();
    assert_eq!(first.event("located")["imageId"], "my own / name");
    world.relay.up.limit(0);
    let second = world.run(upload).ends(0);
    assert_eq!(second.event("located")["jobUuid"], first.event("located")["jobUuid"]);
    assert_eq!(second.event("ready")["sha256"], sum_of("sha256sum", &file));
}

#[test]
fn declared_digests_are_kept_by_the_server() {
    let world = World::direct();
    let file = world.file("disk.raw", 2 * MIB);
    let (md5, sha256) = (sum_of("md5sum", &file), sum_of("sha256sum", &file));
    let wrong = "0".repeat(64);
    for more in [&[][..], &["--no-verify"]] {
        let args = [&["upload", "--json", "--sha256", wrong.as_str(), "disk.raw"], more].concat();
        let error = world.run(args).ends(6).event("error");
        assert!(error["words"].as_str().unwrap().contains("declared"), "{error}");
    }
    assert_eq!(world.json(["images", "list", "--json", "--query", "status=Ready"])["total"], 0);
    let upper = md5.to_uppercase();
    world.run(["upload", "--md5", &upper, "--sha256", &sha256, "disk.raw"]).ends(0);
    // The image is there by now, and is not what is declared: nothing is sent, and nothing is called verified.
    let wrong_md5 = "0".repeat(32);
    for (option, digest) in [("--sha256", wrong.as_str()), ("--md5", wrong_md5.as_str())] {
        let error =
            world.run(["upload", "--json", option, digest, "disk.raw"]).ends(6).event("error");
        let words = error["words"].as_str().unwrap();
        assert!(words.contains("declared") && words.contains("Nothing was sent"), "{error}");
    }
    world.run(["upload", "--md5", &upper, "--sha256", &sha256, "disk.raw"]).ends(0);
    world
        .run(["upload", "--md5", "nonsense", "disk.raw"])
        .ends(2)
        .complains("32 hexadecimal digits");
}

#[test]
fn a_rerun_begins_anew_under_the_same_job() {
    let world = World::slow(4 * MIB);
    let file = world.file("disk.raw", 8 * MIB);
    let upload = ["upload", "--json", "--slice-size", "1m", "disk.raw"];
    let mut running = world.start(upload);
    running.wait_stored(MIB);
    let job = world.newest_job()["uuid"].as_str().unwrap().to_owned();
    world.run(["jobs", "rerun", job.as_str()]).ends(7);
    world.run(["jobs", "cancel", job.as_str()]).ends(0);
    running.end().ends(7);
    let said = world.run(["jobs", "rerun", job.as_str()]).ends(0).complains("longshore upload");
    assert!(said.out.contains(&job), "{}", said.out);
    world.relay.up.limit(0);
    let ran = world.run(upload).ends(0);
    assert_eq!(ran.event("located")["jobUuid"], job.as_str());
    assert_eq!(ran.event("ready")["sha256"], sum_of("sha256sum", &file));
    assert_eq!(ran.event("ready")["sentBytes"], 8 * MIB, "a canceled run has left no bytes");
}

#[test]
fn the_example_of_the_library_uploads() {
    // Built with the tests, beside the program.
    let example = std::path::Path::new(env!("CARGO_BIN_EXE_longshore"))
        .with_file_name("examples")
        .join("upload");
    if File::open(&example).is_err() {
        // A whole `cargo test` has built it; a run of these tests alone has not.
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--locked", "--example", "upload"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(build.status().expect("cargo is there").success());
    }
    let source = include_str!("../../examples/upload.rs");
    let main = source.lines().skip_while(|line| !line.starts_with("#[tokio::main]"));
    assert!(main.count() <= 20, "twenty lines are what was promised");
    let world = World::direct();
    world.file("disk.raw", 3 * MIB);
    let mut command = Command::new(example);
    command.arg(World::address(world.server.port)).arg(world.path("disk.raw"));
    command.env_clear().env("LONGSHORE_SESSION", world.session("config"));
    Running::start(command, "").end().ends(0).complains("Ready(ReadyImage");
}
