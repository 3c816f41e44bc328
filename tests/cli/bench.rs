//! The load tester against a real server: its report is true, and nothing stays behind.

use serde_json::Value;

use crate::{MIB, world::World};

/// Runs `longshore bench --json` and gives its report.
#[track_caller]
fn bench(world: &World, args: &[&str]) -> Value {
    let ran = world.run(["bench", "--json"].iter().chain(args)).ends(0);
    assert_eq!(ran.err, "", "nothing but the report is said in a pipe");
    ran.event("report")
}

fn number(report: &Value, path: &str) -> f64 {
    report.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path} in {report}"))
}

/// Jobs that are there, in any state, and images that are not gone for good.
fn left(world: &World) -> (u64, u64) {
    let total = |args: &[&str]| world.json(args)["total"].as_u64().unwrap();
    (total(&["jobs", "list", "--json"]), total(&["images", "list", "--all", "--json"]))
}

#[test]
fn every_protocol_makes_verified_images_and_leaves_nothing() {
    let world = World::direct();
    for (protocol, requests) in
        [("native", 12), ("slices", 12), ("put", 3), ("tus", 12), ("ietf", 12)]
    {
        let args = ["--protocol", protocol, "--streams", "2", "--uploads", "3", "--size", "4m"];
        let report = bench(&world, &[&args[..], &["--chunk", "1m", "--verify"]].concat());
        assert_eq!(report["protocol"], protocol);
        assert_eq!((&report["done"], &report["failed"]), (&3.into(), &0.into()), "{report}");
        assert_eq!(report["requests"], requests, "{report}");
        assert_eq!(report["storedBytes"], 12 * MIB, "{report}");
        assert_eq!((&report["sentBytes"], &report["resentBytes"]), (&(12 * MIB).into(), &0.into()));
        assert_eq!(report["digests"], serde_json::json!({"checked": 3, "wrong": 0}));
        assert_eq!(report["latencyMs"]["upload"]["count"], 3);
        assert_eq!(report["latencyMs"]["request"]["count"], requests);
        assert_eq!(report["left"], 0);
        assert_eq!(left(&world), (0, 0), "after {protocol}");
    }
}

#[test]
fn the_report_has_the_fields_that_scripts_read() {
    let world = World::direct();
    let report =
        bench(&world, &["--streams", "1", "--size", "9m", "--chunk", "4m", "--parallel", "2"]);
    for field in ["/secs", "/megabytesPerSec", "/uploadsPerSec"] {
        assert!(number(&report, field) > 0.0, "{field} in {report}");
    }
    // The clock of CPU time has ticks of 10 ms, and the tester may need less.
    assert!(number(&report, "/tester/secsPerGib") < 100.0, "{report}");
    for kind in ["request", "upload", "create"] {
        let at = |part: &str| number(&report, &format!("/latencyMs/{kind}/{part}"));
        assert!(0.0 < at("p50") && at("p50") <= at("p90"), "{kind} in {report}");
        assert!(at("p90") <= at("p99") && at("p99") <= at("max"), "{kind} in {report}");
    }
    let rate = number(&report, "/storedBytes") / number(&report, "/secs") / 1e6;
    assert!((rate / number(&report, "/megabytesPerSec") - 1.0).abs() < 0.01, "{report}");
    // The server is a process of this machine, found by its port.
    assert_eq!(report["server"]["name"], "longshore", "{report}");
    assert!(
        number(&report, "/server/secsPerGib") > 0.0
            && number(&report, "/server/peakRssBytes") > 1e6
    );
    for (field, value) in
        [("chunkBytes", 4 * MIB), ("parallel", 2), ("streams", 1), ("sizeBytes", 9 * MIB)]
    {
        assert_eq!(report[field], value, "{field}");
    }
    assert_eq!(report["interrupted"], false);
    assert_eq!(report["errors"], serde_json::json!([]));
}

#[test]
fn cut_connections_go_on_where_the_server_stands() {
    let world = World::direct();
    for protocol in ["native", "slices", "put", "tus", "ietf"] {
        // A cut every 2 MiB on average.
        let report = bench(
            &world,
            &[
                "--protocol",
                protocol,
                "--streams",
                "2",
                "--size",
                "16m",
                "--chunk",
                "4m",
                "--interruptions",
                "512",
                "--verify",
            ],
        );
        assert!(number(&report, "/interruptions") >= 6.0, "{report}");
        assert_eq!(report["digests"], serde_json::json!({"checked": 2, "wrong": 0}), "{report}");
        let (sent, stored) = (number(&report, "/sentBytes"), number(&report, "/storedBytes"));
        assert!((stored - 32.0 * 1_048_576.0).abs() < 0.5, "every byte counts once: {report}");
        let again = number(&report, "/resentBytes");
        assert!((sent - stored - again).abs() < 0.5, "sent = stored + again: {report}");
        assert!(again < stored, "a cut costs a part of a request, not the upload: {report}");
    }
    assert_eq!(left(&world), (0, 0));
}

#[test]
fn kept_images_are_what_was_sent() {
    let world = World::direct();
    let file = world.file("disk.raw", 3 * MIB);
    let ran = world.run(["bench", "--file", "disk.raw", "--streams", "1", "--keep"]).ends(0);
    for words in
        ["throughput", "1 ready, 0 failed", "CPU s/GiB", "1 uploads are still on the server"]
    {
        assert!(ran.out.contains(words), "no [{words}] in\n{}", ran.out);
    }
    assert_eq!(ran.err, "", "no bar in a pipe");
    let images = world.json(["images", "list", "--json"]);
    let image = &images["inventories"][0];
    assert_eq!(image["sha256Sum"], crate::run::sum_of("sha256sum", &file), "{images}");
    assert_eq!(left(&world), (1, 1));
}

#[test]
fn rates_are_kept() {
    let world = World::direct();
    let each = ["--streams", "2", "--size", "2m", "--rate", "1m"];
    let report = bench(&world, &each);
    let secs = number(&report, "/secs");
    assert!((1.8..6.0).contains(&secs), "2 MiB at 1 MiB/s took {secs} s");
    let all = bench(&world, &["--streams", "2", "--size", "2m", "--total-rate", "2m"]);
    let secs = number(&all, "/secs");
    assert!((1.7..6.0).contains(&secs), "4 MiB at 2 MiB/s took {secs} s");
    assert_eq!((&report["streamRate"], &all["totalRate"]), (&MIB.into(), &(2 * MIB).into()));
}

#[test]
fn ctrl_c_reports_what_there_is_and_cleans_up() {
    let world = World::direct();
    let running =
        world.start(["bench", "--json", "--streams", "2", "--size", "64m", "--rate", "1m"]);
    let begun = std::time::Instant::now();
    while world.newest_job()["state"] != "Running" {
        assert!(begun.elapsed() < std::time::Duration::from_secs(30), "no job runs");
    }
    std::thread::sleep(std::time::Duration::from_millis(1500));
    running.interrupt();
    let mut running = running;
    let ran = running.end().ends(130).complains("press Ctrl-C again");
    let report = ran.event("report");
    assert_eq!((&report["interrupted"], &report["done"]), (&true.into(), &0.into()));
    assert!(number(&report, "/sentBytes") > 0.0 && number(&report, "/secs") > 0.5, "{report}");
    assert_eq!(left(&world), (0, 0), "jobs in the middle are canceled and deleted");
}

#[test]
fn another_machine_is_loaded_only_by_name() {
    let world = World::new();
    // An address of documentation (RFC 5737): nobody answers there, and nobody is asked.
    let refused = world.run(["--server", "http://192.0.2.1:8080", "bench"]);
    refused.ends(2).complains("longshore bench --target http://192.0.2.1:8080");
    world.run(["bench", "--unlimited"]).ends(2).complains("--target");
    world.run(["bench", "--size", "12q"]).ends(2).complains("as 16m");
}

#[test]
fn errors_are_told_with_the_code_of_their_kind() {
    let world = World::new();
    let server = World::address(world.server.port);
    for protocol in ["native", "put"] {
        let args = ["--server", server.as_str(), "bench", "--protocol", protocol, "--size", "64k"];
        world.run(args).ends(3).complains("longshore login");
    }
    world.log_in(world.server.port, "config");
    let ran = world.run(["bench", "--file", "none.raw"]).ends(2);
    ran.complains("none.raw");
}
