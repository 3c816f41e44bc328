//! What a person runs before or beside uploads: doctor, config show, completions, man.

use std::{
    fs,
    io::{Read, Write},
    process::Command,
};

use serde_json::Value;

use crate::{run::Running, server::free_port, world::World};

fn status<'a>(report: &'a Value, name: &str) -> &'a str {
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name);
    check.unwrap_or_else(|| panic!("{name} in {report}"))["status"].as_str().unwrap()
}

#[test]
fn the_doctor_finds_nothing_where_all_is_well_and_leaves_nothing() {
    let world = World::direct();
    let ran = world.run(["doctor", "--json"]).ends(0);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["ok"], true);
    for name in ["address", "reach", "tls", "ready", "clock", "login", "space", "speed"] {
        assert!(["ok", "warn"].contains(&status(&report, name)), "{name}: {report}");
    }
    for name in ["address", "tls", "ready", "login"] {
        assert_eq!(status(&report, name), "ok", "{report}");
    }
    assert_eq!(world.json(["jobs", "list", "--json"])["total"], 0);
    assert_eq!(world.json(["images", "list", "--json"])["total"], 0);
    let words = world.run(["doctor", "--no-speed"]).ends(0).out;
    assert!(words.contains("nothing stands in the way"), "{words}");
    assert!(!words.contains("speed"), "{words}");
}

#[test]
fn the_doctor_says_what_is_wrong_and_what_to_do() {
    let mut world = World::new();
    let server = World::address(world.server.port);
    let with = |server: &str| world.run(["--server", server, "doctor", "--json"]);
    let report = |ran: &crate::run::Ran| serde_json::from_str::<Value>(&ran.out).unwrap();

    let ran = with(&server).ends(3);
    assert_eq!((status(&report(&ran), "login"), status(&report(&ran), "reach")), ("fail", "ok"));
    assert!(ran.out.contains(&format!("longshore login {server}")), "{}", ran.out);
    let ran = with(&World::address(free_port())).ends(5);
    assert_eq!(status(&report(&ran), "reach"), "fail");
    let ran = with("nonsense").ends(2);
    assert_eq!(status(&report(&ran), "address"), "fail");
    // A server that speaks no TLS where TLS was asked for.
    let ran = with(&server.replace("http:", "https:"));
    assert!(matches!(ran.code, Some(5 | 7)), "{}", ran.out);
    assert_eq!(report(&ran)["ok"], false);

    let words = world.run(["--server", server.as_str(), "doctor"]).ends(3).out;
    assert!(words.contains("FAIL  login") && words.contains("next: longshore login"), "{words}");
    world.server.kill();
    let words = world.run(["--server", server.as_str(), "doctor"]).ends(5).out;
    assert!(words.contains("FAIL  reach"), "{words}");
}

/// A server whose answers are from years ago.
fn of_another_time() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut begun = [0; 4096];
                while let Ok(1..) = stream.read(&mut begun) {
                    let answer = "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2015 00:00:00 GMT\r\n\
                                  Content-Type: application/json\r\nContent-Length: 14\r\n\r\n{\"ready\":true}";
                    let _ = stream.write_all(answer.as_bytes());
                }
            });
        }
    });
    port
}

#[test]
fn the_doctor_compares_the_clocks() {
    let world = World::new();
    let server = World::address(of_another_time());
    let ran = world.run(["--server", &server, "doctor", "--no-speed", "--json"]).ends(0);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(status(&report, "clock"), "warn", "{report}");
    assert!(ran.out.contains("ahead of the server") && ran.out.contains("NTP"), "{}", ran.out);
}

#[test]
fn settings_are_shown_with_their_origin_and_without_secrets() {
    let world = World::direct();
    let server = World::address(world.server.port);
    let shown = world.run(["config", "show", "--origin"]).ends(0).out;
    assert!(shown.contains(&format!("server = {server}  # newest login\n")), "{shown}");
    assert!(shown.contains("session = kept for the account admin  # file "), "{shown}");
    assert!(shown.contains("# environment LONGSHORE_CONFIG_DIR"), "{shown}");
    let kept = fs::read_to_string(world.path("config/session.json")).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    let secret = kept["sessions"][&server]["session"].as_str().unwrap().to_owned();
    assert!(!shown.contains(&secret), "{shown}");
    assert!(!world.run(["config", "show"]).ends(0).out.contains('#'), "only where it is asked for");

    let flagged = world.run(["--server", "http://h:1", "config", "show", "--origin"]).ends(0).out;
    assert!(flagged.contains("server = http://h:1  # flag --server\n"), "{flagged}");
    assert!(flagged.contains("session = none"), "{flagged}");
    let mut command = world.command("config", ["config", "show", "--json"]);
    command.env("LONGSHORE_SERVER", "http://e:2").env("LONGSHORE_SESSION", &secret);
    command.env("NO_COLOR", "1");
    let ran = Running::start(command, "").end().ends(0);
    assert!(!ran.out.contains(&secret), "{}", ran.out);
    let settings: Value = serde_json::from_str(&ran.out).unwrap();
    let origin = |key: &str| {
        let all = settings["settings"].as_array().unwrap();
        all.iter().find(|one| one["key"] == key).unwrap()["origin"].as_str().unwrap().to_owned()
    };
    assert_eq!(origin("server"), "environment LONGSHORE_SERVER");
    assert_eq!(origin("session"), "environment LONGSHORE_SESSION");
    assert_eq!(origin("colors"), "environment NO_COLOR");

    fs::write(world.path("s.toml"), "listen = \"127.0.0.1:9\"\n").unwrap();
    let service = ["config", "show", "--service", "--file", "s.toml", "--origin"];
    let mut command = world.command("config", service);
    command.env("LONGSHORE_ADMIN_PASSWORD", "a secret password");
    let shown = Running::start(command, "").end().ends(0).out;
    assert!(shown.contains("listen = ") && shown.contains("# file s.toml"), "{shown}");
    assert!(shown.contains("# environment LONGSHORE_ADMIN_PASSWORD"), "{shown}");
    assert!(!shown.contains("a secret password"), "{shown}");
    world.run(["config", "show", "--file", "s.toml"]).ends(2).complains("--service");
}

#[test]
fn shells_complete_commands_and_options() {
    let world = World::new();
    for (shell, mark) in [
        ("bash", "complete -F _longshore"),
        ("zsh", "#compdef longshore"),
        ("fish", "complete -c longshore"),
        ("elvish", "edit:completion"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let script = world.run(["completions", shell]).ends(0).out;
        assert!(script.contains(mark) && script.contains("limit-rate"), "{shell}");
    }
    world.run(["completions", "ed"]).ends(2).complains("bash");
    // The shell itself finds it in order and offers what begins so.
    let script = world.run(["completions", "bash"]).ends(0).out;
    fs::write(world.path("c.bash"), script).unwrap();
    let line = ". ./c.bash; COMP_WORDS=(longshore upload --limit-r); COMP_CWORD=2; \
                _longshore longshore --limit-r upload; echo \"${COMPREPLY[@]}\"";
    let output =
        Command::new("bash").args(["-c", line]).current_dir(world.folder.path()).output().unwrap();
    let offered = String::from_utf8(output.stdout).unwrap();
    assert_eq!(offered.trim(), "--limit-rate", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_command_has_a_manual_page() {
    let world = World::new();
    world.run(["man", "pages/man1"]).ends(0);
    for (page, words) in [
        ("longshore.1", "Exit codes"),
        ("longshore-upload.1", "limit\\-rate"),
        ("longshore-jobs-rerun.1", "Begin anew"),
        ("longshore-doctor.1", "no\\-speed"),
    ] {
        let text = fs::read_to_string(world.path("pages/man1").join(page)).expect(page);
        assert!(text.starts_with(".ie") || text.contains(".TH "), "{page}");
        assert!(text.contains(words), "no [{words}] in {page}:\n{text}");
    }
    fs::write(world.path("file"), "").unwrap();
    world.run(["man", "file/man1"]).ends(2).complains("cannot make file/man1");
}

/// Exit code 0 and words for a person on standard output, whatever the command.
#[test]
fn help_is_an_answer_and_a_wrong_option_a_usage_error() {
    let world = World::new();
    for command in [
        "upload",
        "jobs",
        "images",
        "login",
        "logout",
        "serve",
        "bench",
        "admin",
        "inspect",
        "schedule",
        "store",
        "doctor",
        "config",
        "completions",
        "man",
    ] {
        let ran = world.run([command, "--help"]).ends(0);
        assert!(ran.out.contains("Usage: longshore ") && ran.err.is_empty(), "{command}");
        assert!(!ran.out.contains('\u{1b}'), "no colours in a pipe: {command}");
        world.run([command, "--no-such-option"]).ends(2).complains("--no-such-option");
    }
    assert!(world.run(["--help"]).ends(0).out.contains("Exit codes:"));
    assert!(world.run(["--version"]).ends(0).out.starts_with("longshore "));
    world.run(["no-such-command"]).ends(2);
    // A reader that leaves is no error.
    let script = format!("{} completions bash | head -n 1", env!("CARGO_BIN_EXE_longshore"));
    let output = Command::new("bash").args(["-o", "pipefail", "-c", &script]).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
