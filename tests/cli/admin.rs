//! Accounts and access keys on the command line, beside a running server.

use std::process::Command;

use serde_json::Value;

use crate::{
    run::{Ran, Running, json},
    server::PASSWORD,
    world::World,
};

/// `longshore admin ...` over the data of the world's server.
fn admin_with(world: &World, args: &[&str], password: Option<&str>, input: &str) -> Ran {
    let mut command: Command = world.command("config", ["admin"]);
    command.args(args).arg("--data-dir").arg(world.data());
    if let Some(password) = password {
        command.env("LONGSHORE_PASSWORD", password);
    }
    Running::start(command, input).end()
}

fn admin(world: &World, args: &[&str]) -> Ran {
    admin_with(world, args, None, "")
}

fn log_in(world: &World, account: &str, password: &str) -> Ran {
    let server = World::address(world.server.port);
    let mut command = world.command(account, ["login", &server, "--account", account]);
    command.env("LONGSHORE_PASSWORD", password);
    Running::start(command, "").end()
}

fn jobs(world: &World, account: &str) -> Ran {
    Running::start(world.command(account, ["jobs", "list"]), "").end()
}

#[test]
fn an_account_lives_from_create_to_disable_beside_a_running_server() {
    let world = World::new();
    let made = admin_with(&world, &["account", "create", "ann"], Some("anns password"), "").ends(0);
    assert!(made.out.starts_with("account ann was created ("), "{}", made.out);
    assert!(!made.out.contains("anns password"), "what was given is not shown");
    log_in(&world, "ann", "anns password").ends(0);
    jobs(&world, "ann").ends(0);

    // Out at once, without a restart; in again, with a new login.
    admin(&world, &["account", "disable", "ann"]).ends(0);
    jobs(&world, "ann").ends(3);
    log_in(&world, "ann", "anns password").ends(3).complains("wrong account name or password");
    admin(&world, &["account", "enable", "ann"]).ends(0);
    jobs(&world, "ann").ends(3);
    log_in(&world, "ann", "anns password").ends(0);

    // From the first line of standard input.
    let reset = ["account", "reset-password", "ann"];
    let reset = admin_with(&world, &reset, None, "another one\nnot this\n").ends(0);
    assert!(reset.out.contains("its sessions have ended"), "{}", reset.out);
    jobs(&world, "ann").ends(3);
    log_in(&world, "ann", "another one").ends(0);

    let listed = json(&admin(&world, &["account", "list", "--json"]).ends(0));
    let names: Vec<_> = listed["accounts"].as_array().unwrap().iter().map(|a| &a["name"]).collect();
    assert_eq!(names, ["admin", "ann"]);
    assert_eq!(listed["accounts"][0]["admin"], true);
    assert_eq!(listed["accounts"][1]["enabled"], true);
    let table = admin(&world, &["account", "list"]).ends(0).out;
    assert!(table.starts_with("NAME   UUID"), "{table}");
    assert!(!table.contains("argon2"), "{table}");
}

#[test]
fn a_generated_password_is_shown_once_and_works() {
    let world = World::new();
    let args = ["account", "create", "root", "--admin", "--generate-password"];
    let made = admin(&world, &args).ends(0).complains("only now");
    let line = made.out.lines().find_map(|line| line.strip_prefix("password: "));
    let password = line.unwrap();
    assert!(password.len() >= 16, "{password}");
    log_in(&world, "root", password).ends(0);

    let args = ["account", "reset-password", "root", "--generate-password", "--json"];
    let reset = json(&admin(&world, &args).ends(0));
    let new = reset["password"].as_str().unwrap();
    assert_ne!(new, password);
    log_in(&world, "root", password).ends(3);
    log_in(&world, "root", new).ends(0);
    let args = ["account", "create", "bob", "--json"];
    let made = json(&admin_with(&world, &args, Some("bobs password"), "").ends(0));
    assert_eq!((&made["name"], &made["password"]), (&"bob".into(), &Value::Null));
}

#[test]
fn what_cannot_be_done_is_said_in_words_with_its_code() {
    let world = World::new();
    let create = |name: &str, password: &str| {
        admin_with(&world, &["account", "create", name], Some(password), "")
    };
    create("admin", "long enough").ends(7).complains("there is an account named admin already");
    create("ann", "short").ends(2).complains("8 to 256 characters");
    create(" ann", "long enough").ends(2).complains("no space at its ends");
    admin(&world, &["account", "create", "ann"]).ends(2).complains("no password was given");
    admin(&world, &["account", "disable", "ann"]).ends(7).complains("there is no account ann");
    admin(&world, &["access-key", "create", "ann"]).ends(7).complains("there is no account ann");
    admin(&world, &["access-key", "delete", "x"]).ends(2).complains("8 to 64 letters");
    let unknown = ["access-key", "delete", "AAAAAAAAAAAAAAAAAAAA"];
    admin(&world, &unknown).ends(7).complains("is not known");
    admin(&world, &["account", "create", "ann", "--password", "x"]).ends(2);
    let event = admin(&world, &["account", "disable", "ann", "--json"]).ends(7).event("error");
    assert_eq!(event["exitCode"], 7);

    let nowhere = world.path("nowhere");
    let args = ["admin", "account", "list", "--data-dir"];
    let mut command = world.command("config", args);
    command.arg(&nowhere);
    Running::start(command, "").end().ends(2).complains("there is no data directory");
    assert!(!nowhere.exists(), "a mistyped path makes nothing");
}

#[test]
fn an_access_key_is_made_listed_and_forgotten() {
    let world = World::new();
    let made = admin(&world, &["access-key", "create", "admin"]).ends(0).complains("only now");
    let value =
        |name: &str| made.out.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    let (id, secret) = (value("id: "), value("secret: "));
    assert_eq!((id.len(), secret.len()), (20, 40));
    let listed = admin(&world, &["access-key", "list"]).ends(0).out;
    assert!(listed.contains(&id) && listed.contains("admin"), "{listed}");
    assert!(!listed.contains(&secret), "{listed}");

    // With openssl, so that the signature is nobody's of ours.
    let signed = |path: &str| {
        let script = format!(
            "D=$(date -u '+%a, %d %b %Y %H:%M:%S UTC'); \
             S=$(printf 'GET\\n%s\\n{path}' \"$D\" | openssl dgst -sha1 -hmac {secret} -binary | base64); \
             curl -sS -o /dev/null -w '%{{http_code}}' -H \"Date: $D\" -H \"Authorization: ZStack {id}:$S\" \
             {}/zstack{path}",
            World::address(world.server.port)
        );
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(signed("/v1/images"), "200");
    let deleted = json(&admin(&world, &["access-key", "delete", &id, "--json"]).ends(0));
    assert_eq!(deleted["deleted"], true);
    assert_eq!(signed("/v1/images"), "503");
    let listed =
        json(&admin(&world, &["access-key", "list", "--account", "admin", "--json"]).ends(0));
    assert_eq!(listed["accessKeys"].as_array().map(Vec::len), Some(0));
}

/// Everything that is a secret, against every line that the server writes when it writes the most.
#[test]
fn no_secret_is_in_any_line_of_the_log() {
    let world = World::with_log("trace");
    let made = json(&admin(&world, &["access-key", "create", "admin", "--json"]).ends(0));
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    log_in(&world, "admin", "a wrong password").ends(3);
    world.log_in(world.server.port, "config");
    world.file("disk.raw", 5_000_000);
    world.run(["upload", "disk.raw"]).ends(0);
    let kept: Value =
        serde_json::from_slice(&std::fs::read(world.path("config/session.json")).unwrap()).unwrap();
    let session = kept["sessions"].as_object().unwrap().values().next().unwrap()["session"].clone();
    let session = session.as_str().unwrap().to_owned();
    let base = World::address(world.server.port);
    let curl = |args: &[&str]| {
        let output = Command::new("curl").arg("-sS").args(args).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let signature = "c2lnbmF0dXJlLW9mLXNvbWVib2R5";
    let signed = format!("Authorization: ZStack {id}:{signature}");
    curl(&[
        "-H",
        &signed,
        "-H",
        "Date: Fri, 20 Nov 2026 15:38:42 UTC",
        &format!("{base}/zstack/v1/images"),
    ]);
    let oauth = format!("Authorization: OAuth {session}");
    curl(&["-H", &oauth, &format!("{base}/zstack/v1/images?session={session}")]);
    let body = r#"{"params":{"jobName":"APIAddImageMsg","jobData":"{\"name\":\"a\",\"url\":\"upload://a\",\"format\":\"raw\"}"},"systemTags":["uploadImage::a"]}"#;
    curl(&["-H", &oauth, "-d", body, &format!("{base}/zstack/v1/longjobs")]);
    let details = format!("{base}/zstack/v1/images/upload-job/details/a");
    let mut url = String::new();
    for _ in 0..100 {
        let answer: Value = serde_json::from_str(&curl(&["-H", &oauth, &details])).unwrap();
        if let Some(found) = answer["existingJobDetails"][0]["imageUploadUrl"].as_str() {
            url = found.to_owned();
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let capability = url.rsplit('/').next().unwrap();
    assert!(capability.starts_with("v1."), "{url}");
    for path in [
        format!("imagestore/upload/{capability}"),
        format!("imagestore/upload/{}", capability.replace('.', "%2E")),
        format!("imagestore/upload/{}", capability.replace('.', "%252E")),
        format!("imagestore%2Fupload%2F{capability}"),
        format!("zstack/v1/accounts/sessions/{session}/valid"),
        format!("zstack/v1/accounts/session%2573/{session}/valid"),
    ] {
        curl(&[&format!("{base}/{path}")]);
    }
    world.run(["logout"]).ends(0);

    let lines = world.server.log();
    assert!(lines.len() > 100, "the log was read: {} lines", lines.len());
    assert!(lines.iter().any(|line| line.contains("[capability]")), "requests are in it");
    let mac = &capability[capability.len() - 40..];
    for (name, secret) in [
        ("session", session.as_str()),
        ("capability", mac),
        ("secret of an access key", secret),
        ("signature", signature),
        ("password", PASSWORD),
        ("wrong password", "a wrong password"),
    ] {
        let found: Vec<_> = lines.iter().filter(|line| line.contains(secret)).collect();
        assert!(found.is_empty(), "the {name} is in {} lines: {found:?}", found.len());
    }
}
