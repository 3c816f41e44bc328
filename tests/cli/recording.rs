//! The terminal recording of the README is what the program really says: the session is run again and compared with it by its shape.
//! `scripts/record` runs it with `RECORD=1`, which writes it anew.

use std::{fs, path::Path, process::Command, time::Duration};

use crate::{
    MIB,
    run::{Ran, Running},
    server::PASSWORD,
    world::World,
};

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
const BEGIN: &str = "<!-- recorded by scripts/record -->\n```console\n";
const END: &str = "```\n";

/// A person at a shell: what is typed and what is said.
struct Session {
    world: World,
    text: String,
}

impl Session {
    /// `longshore ARGS` by that name, both streams as a terminal shows them.
    fn start(&self, line: &str, input: &str) -> Running {
        let mut shell = Command::new("bash");
        let program = env!("CARGO_BIN_EXE_longshore");
        shell.args(["-c", &format!("exec -a longshore {program} {line} 2>&1")]).env_clear();
        shell.current_dir(self.world.folder.path());
        shell.env("LONGSHORE_CONFIG_DIR", self.world.path("config"));
        Running::start(shell, input)
    }

    fn note(&mut self, typed: &str, ran: &Ran) {
        self.text.extend(["$ ", typed, "\n", &ran.out]);
    }

    fn run(&mut self, line: &str, code: i32) -> Ran {
        let ran = self.start(line, "").end().ends(code);
        self.note(&format!("longshore {line}"), &ran);
        ran
    }
}

fn record() -> String {
    let world = World::new();
    let relay = format!("http://127.0.0.1:{}", world.relay.port);
    let mut session = Session { world, text: String::new() };
    let made = Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-o", "preallocation=full"])
        .args([session.world.path("disk.qcow2").as_os_str(), "96M".as_ref()])
        .status();
    assert!(made.expect("qemu-img is installed").success());

    let login = session.start(&format!("login {relay}"), &format!("{PASSWORD}\n")).end().ends(0);
    session.note(&format!("longshore login {relay} < password"), &login);
    session.world.relay.up.limit(8 * MIB);
    let mut running = session.start("upload disk.qcow2", "");
    session.world.relay.up.wait_for(48 * MIB);
    running.interrupt();
    let mut stopped = running.end().ends(130);
    stopped.out = stopped.out.replace("suspending;", "^Csuspending;");
    session.note("longshore upload disk.qcow2", &stopped);

    let begun = session.world.relay.up.passed();
    let mut running = session.start("upload disk.qcow2", "");
    session.world.relay.up.wait_for(begun + 24 * MIB);
    session.world.server.kill();
    std::thread::sleep(Duration::from_millis(500));
    session.world.server.restart();
    let ready = running.end().ends(0);
    session.note(
        "longshore upload disk.qcow2      # meanwhile the server is killed and started",
        &ready,
    );

    session.run("images list", 0);
    session.world.relay.up.limit(0);
    session.run("upload disk.qcow2", 0);
    session
        .text
        .replace(&relay, "http://127.0.0.1:8080")
        .replace(&format!("127.0.0.1:{}", session.world.relay.port), "127.0.0.1:8080")
}

/// What stays from run to run: no numbers, no names by chance, no lines that come by the clock.
fn shape(text: &str) -> Vec<String> {
    let by_the_clock = |line: &str| {
        let phases = ["verifying", "inspecting", "publishing", "comparing"];
        line.contains(" % (")
            || line.contains("trying again")
            || phases.iter().any(|one| line.starts_with(one))
    };
    let word = |word: &str| {
        let months =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        if word.len() >= 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return "HEX".to_owned();
        }
        if months.contains(&word) {
            return "MONTH".to_owned();
        }
        let mut plain = String::new();
        for c in word.replace("AM", "PM").chars() {
            match c {
                '0'..='9' if plain.ends_with('0') => {}
                '0'..='9' => plain.push('0'),
                other => plain.push(other),
            }
        }
        plain
    };
    let lines = text.lines().filter(|line| !by_the_clock(line));
    lines.map(|line| line.split_whitespace().map(word).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
#[ignore = "needs qemu-img"]
fn the_recording_of_the_readme_is_what_the_program_says() {
    let recorded = record();
    let readme = fs::read_to_string(Path::new(README)).unwrap();
    let (before, rest) = readme.split_once(BEGIN).expect("the recording has its place");
    let (kept, after) = rest.split_once(END).unwrap();
    if std::env::var_os("RECORD").is_some() {
        fs::write(README, format!("{before}{BEGIN}{recorded}{END}{after}")).unwrap();
        return;
    }
    assert!(kept.contains("is suspended") && kept.contains("going on"), "a control:\n{kept}");
    assert_eq!(
        shape(kept),
        shape(&recorded),
        "the README shows\n{kept}\nand the program says\n{recorded}"
    );
}

#[test]
fn a_recording_that_says_something_else_has_another_shape() {
    let said = "$ longshore upload a\n12 % (1 MiB of 8 MiB), 1 MiB/s\na: image 0123456789abcdef0123456789abcdef is ready\n";
    let again = "$ longshore upload a\na: image ffff456789abcdef0123456789abcdef is ready\n";
    assert_eq!(shape(said), shape(again));
    assert_ne!(shape(said), shape(&again.replace("ready", "done")));
    assert_ne!(shape(said), shape(&again.replace("upload", "up")));
    assert_eq!(shape("until Nov 21, 2026 9:45:02 PM"), shape("until Jan 1, 2027 11:00:00 AM"));
}
