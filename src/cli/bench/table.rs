//! The report for people.

use super::out;
use crate::client::load::{
    report::{Cost, Report},
    tally::Spread,
};

/// Says the report on standard output.
pub(super) fn say(report: &Report) {
    for line in lines(report) {
        out::say(&line);
    }
    if report.latency_ms.upload.count > 0 || report.latency_ms.request.count > 0 {
        out::say("");
        out::table(&latencies(report));
    }
    for error in &report.errors {
        out::say(&format!("error {} x {}: {}", error.count, error.what, error.first));
    }
}

fn lines(report: &Report) -> Vec<String> {
    let chunks = report.chunk_bytes.map_or_else(
        || "one request each".to_owned(),
        |chunk| format!("requests of {}", out::size(chunk)),
    );
    let streams = if report.parallel > 1 {
        format!("{} at once with {} requests each", report.streams, report.parallel)
    } else {
        format!("{} at once", report.streams)
    };
    let row = |name: &str, text: String| format!("{name:<12}{text}");
    let mut lines = vec![
        row("target", format!("{} ({}, {} data)", report.target, report.protocol, report.data)),
        row(
            "uploads",
            format!("{} x {}, {chunks}, {streams}", report.uploads, out::size(report.size_bytes)),
        ),
    ];
    let limits = [("stream", report.stream_rate), ("all streams", report.total_rate)];
    for (who, rate) in limits {
        if let Some(rate) = rate {
            lines.push(row(
                "limit",
                format!("{}/s for each {who}", out::size(rate)).replace("each all", "all"),
            ));
        }
    }
    let early = if report.interrupted { ", interrupted" } else { "" };
    lines.push(row("time", format!("{:.2} s{early}", report.secs)));
    lines.push(row(
        "throughput",
        format!("{:.1} MB/s, {:.2} images/s", report.megabytes_per_sec, report.uploads_per_sec),
    ));
    lines.push(row("images", format!("{} ready, {} failed", report.done, report.failed)));
    lines.push(row(
        "traffic",
        format!(
            "{} requests, {} interruptions, {} sent, {} of it again",
            report.requests,
            report.interruptions,
            out::size(report.sent_bytes),
            out::size(report.resent_bytes)
        ),
    ));
    if let Some(digests) = report.digests {
        lines
            .push(row("digests", format!("{} compared, {} wrong", digests.checked, digests.wrong)));
    }
    match (&report.server, &report.server_not_measured) {
        (Some(server), _) => lines.push(row(
            "server",
            format!(
                "{}; peak memory {} (process {}, {})",
                cost(&server.cost),
                out::size(server.peak_rss_bytes),
                server.pid,
                server.name
            ),
        )),
        (None, Some(why)) => lines.push(row("server", format!("not measured: {why}"))),
        (None, None) => {}
    }
    lines.push(row("tester", cost(&report.tester)));
    if report.left > 0 {
        let words =
            format!("{} uploads are still on the server, as images or jobs bench-...", report.left);
        lines.push(row("left", words));
    }
    lines
}

fn cost(cost: &Cost) -> String {
    let seconds = format!("{:.2} s user, {:.2} s system", cost.user_secs, cost.system_secs);
    cost.secs_per_gib
        .map_or_else(|| seconds.clone(), |per_gib| format!("{per_gib:.2} CPU s/GiB ({seconds})"))
}

fn latencies(report: &Report) -> Vec<Vec<String>> {
    let mut rows = vec![["ms", "count", "p50", "p90", "p99", "max"].map(str::to_owned).to_vec()];
    let kinds = &report.latency_ms;
    for (name, spread) in
        [("job", &kinds.create), ("request", &kinds.request), ("upload", &kinds.upload)]
    {
        if spread.count > 0 {
            rows.push(row_of(name, spread));
        }
    }
    rows
}

fn row_of(name: &str, spread: &Spread) -> Vec<String> {
    let mut row = vec![name.to_owned(), spread.count.to_string()];
    row.extend(
        [spread.p50, spread.p90, spread.p99, spread.max].map(|millis| format!("{millis:.1}")),
    );
    row
}
