//! Heads and bodies of HTTP/1.1 as attackers write them.

use crate::{
    case::{Case, walk},
    wire::{Then, connect, exchange, read_answer, request},
    world::World,
};

/// `head` is everything before the empty line, without its last line end.
fn raw(head: &str, body: &str) -> Vec<u8> {
    format!("{head}\r\n\r\n{body}").into_bytes()
}

/// Bodies whose length is said twice, wrongly, or not at all.
fn lengths(put: &str) -> Vec<Case> {
    let chunked = format!("{put}\r\nTransfer-Encoding: chunked");
    let case = |name: &str, headers: &str, body: &str, status| {
        Case::new(name, raw(&format!("{put}\r\n{headers}"), body), status, "")
    };
    let mut cases = vec![
        case(
            "length and chunked",
            "Content-Length: 1\r\nTransfer-Encoding: chunked",
            "1\r\nx\r\n0\r\n\r\n",
            400,
        ),
        case(
            "chunked and length",
            "Transfer-Encoding: chunked\r\nContent-Length: 1",
            "1\r\nx\r\n0\r\n\r\n",
            400,
        ),
        case("two lengths", "Content-Length: 1\r\nContent-Length: 2", "xy", 400),
        case("the same length twice", "Content-Length: 1\r\nContent-Length: 1", "x", 400),
        case("a list of lengths", "Content-Length: 1, 2", "xy", 400),
        case("a list of equal lengths", "Content-Length: 1, 1", "x", 400),
        case("negative length", "Content-Length: -1", "x", 400),
        case("signed length", "Content-Length: +1", "x", 400),
        case("length in hex", "Content-Length: 0x1", "x", 400),
        case("length with a blank inside", "Content-Length: 1 0", "x", 400),
        case("length of words", "Content-Length: one", "x", 400),
        case("empty length", "Content-Length: ", "x", 400),
        case("length over 64 bits", "Content-Length: 18446744073709551616", "x", 400),
        case("length with a blank before the colon", "Content-Length : 1", "x", 400),
        case("an unknown encoding", "Transfer-Encoding: gzip", "x", 400),
        case("chunked, then another encoding", "Transfer-Encoding: chunked, gzip", "x", 400),
        case("identity", "Transfer-Encoding: identity", "x", 400).or(411),
        case(
            "chunked twice",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "0\r\n\r\n",
            400,
        ),
        case("encoding with a tab", "Transfer-Encoding: \x0bchunked", "0\r\n\r\n", 400),
        case("a folded header", "Content-Length: 1\r\n 2", "x", 400),
        Case::new("no length at all", raw(put, ""), 411, "length_required"),
    ];
    // What is no chunk ends the connection; with words if the request was looked at before its body broke.
    for (name, body) in [
        ("overflow", "FFFFFFFFFFFFFFFFF\r\nx"),
        ("almost overflow", "FFFFFFFFFFFFFFFF\r\nx"),
        ("negative", "-1\r\nx\r\n0\r\n\r\n"),
        ("signed", "+1\r\nx\r\n0\r\n\r\n"),
        ("prefixed", "0x1\r\nx\r\n0\r\n\r\n"),
        ("blank before", " 1\r\nx\r\n0\r\n\r\n"),
        ("empty", "\r\nx\r\n0\r\n\r\n"),
        ("no hex", "zz\r\nx"),
        ("no line end behind the data", "1\r\nxy\r\n0\r\n\r\n"),
        ("bare line feeds", "1\nx\n0\n\n"),
        ("a line feed in an extension", "1;a\n\r\nx\r\n0\r\n\r\n"),
    ] {
        let case = Case::new(format!("chunk size: {name}"), raw(&chunked, body), 400, "");
        cases.push(case.or(0).then(Then::HalfClose));
    }
    cases
}

/// Heads that are too large, or that hold what no head may hold.
fn heads() -> Vec<Case> {
    let get = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close";
    let with = |name: &str, more: &str, status| {
        Case::new(name, raw(&format!("{get}\r\n{more}"), ""), status, "")
    };
    let many =
        |count: usize| (0..count).map(|at| format!("X-{at}: 1")).collect::<Vec<_>>().join("\r\n");
    let huge = "h".repeat(200 << 10);
    vec![
        with("as many headers as are read", &many(90), 200),
        with("97 headers", &many(95), 431),
        with("1,000 headers", &many(1000), 431),
        with("a header of 100 KiB", &format!("X-Large: {}", &huge[..100 << 10]), 200),
        with("a header of 200 KiB", &format!("X-Large: {huge}"), 431).or(400).or(0),
        Case::new(
            "a target of 200 KiB",
            raw(&format!("GET /{huge} HTTP/1.1\r\nHost: x"), ""),
            431,
            "",
        )
        .or(400)
        .or(414)
        .or(0),
        with("no colon", "Nothing", 400),
        with("no name", ": x", 400),
        with("a blank in the name", "X Y: z", 400),
        with("NUL in a value", "X-A: a\0b", 400),
        with("NUL in a name", "X\0A: b", 400),
        with("a carriage return in a value", "X-A: a\rb", 400),
        with("a control character", "X-A: \x01", 400),
        with("a value that is not ASCII", "X-A: \u{e9}\u{202e}", 200),
        Case::new(
            "line feeds only",
            "GET /healthz HTTP/1.1\nHost: x\nConnection: close\n\n",
            200,
            "",
        )
        .or(400),
        Case::new("no version", raw("GET /healthz", ""), 400, ""),
        Case::new("version 0.9", raw("GET /healthz HTTP/0.9\r\nHost: x", ""), 400, ""),
        Case::new("version 2.0 in text", raw("GET /healthz HTTP/2.0\r\nHost: x", ""), 400, ""),
        Case::new("version 1.0", raw("GET /healthz HTTP/1.0", ""), 200, "alive"),
        Case::new(
            "an unknown method",
            raw("HACK /healthz HTTP/1.1\r\nHost: x\r\nConnection: close", ""),
            405,
            "method",
        ),
        Case::new("a method of no token", raw("GE@T /healthz HTTP/1.1\r\nHost: x", ""), 400, ""),
        Case::new(
            "TRACE",
            raw("TRACE / HTTP/1.1\r\nHost: x\r\nConnection: close", ""),
            405,
            "method",
        ),
        Case::new(
            "CONNECT",
            raw("CONNECT a:1 HTTP/1.1\r\nHost: x\r\nConnection: close", ""),
            404,
            "not_found",
        )
        .or(400),
        Case::new(
            "nothing but noise",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
            400,
            "",
        ),
    ]
}

fn targets(world: &World) -> Vec<Case> {
    let get =
        |target: &str| raw(&format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close"), "");
    let secret = world.authorization();
    let hosts =
        format!("GET /zstack/v1/longjobs HTTP/1.1\r\nConnection: close\r\nAuthorization: {secret}");
    vec![
        Case::new("absolute form", get("http://elsewhere.example/healthz"), 200, "alive"),
        Case::new(
            "absolute form without a path",
            get("http://elsewhere.example"),
            200,
            "Longshore",
        ),
        Case::new(
            "asterisk form",
            raw("OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close", ""),
            404,
            "",
        )
        .or(400),
        Case::new("no slash", get("healthz"), 404, "not_found"),
        Case::new("a path that goes up", get("/a/../healthz"), 404, "not_found"),
        Case::new(
            "an encoded path that goes up",
            get("/%2e%2e/%2e%2e/etc/passwd"),
            404,
            "not_found",
        ),
        Case::new("twice encoded", get("/%252e%252e/etc/passwd"), 404, "not_found"),
        Case::new("doubled slashes", get("//healthz"), 404, "not_found"),
        Case::new("a broken escape", get("/healthz%"), 404, "not_found"),
        Case::new("an escape of no hex", get("/%zz"), 404, "not_found"),
        Case::new("NUL in a path", get("/healthz%00"), 404, "not_found"),
        Case::new("no UTF-8 in a path", get("/%ff%fe"), 404, "not_found"),
        Case::new(
            "an image that goes up",
            get("/images/..%2f..%2fserver.key/content"),
            401,
            "unauthenticated",
        ),
        Case::new("no Host", raw(&hosts, ""), 400, ""),
        Case::new("two Hosts", raw(&format!("{hosts}\r\nHost: a\r\nHost: b"), ""), 400, ""),
        Case::new("a Host with a quote", raw(&format!("{hosts}\r\nHost: a\"b"), ""), 400, "Host"),
        Case::new("a Host with a path", raw(&format!("{hosts}\r\nHost: a/b"), ""), 400, "Host"),
        Case::new(
            "a forwarded Host with a quote",
            raw(&format!("{hosts}\r\nHost: a\r\nX-Forwarded-Host: \"<b>"), ""),
            400,
            "Host",
        ),
    ]
}

#[test]
fn framing_that_is_broken_harms_nobody() {
    let world = World::start(&[]);
    let job = world.submit("framing", &[]).unwrap();
    let put = format!("PUT {} HTTP/1.1\r\nHost: x\r\nConnection: close", job.path);
    let mut cases = lengths(&put);
    cases.extend(heads());
    cases.extend(targets(&world));
    let chunks = "1;name=value;\"quoted\"\r\nx\r\n0;last\r\nTrailer: y\r\n\r\n";
    let head = format!("{put}\r\nTransfer-Encoding: chunked\r\nContent-Range: bytes 0-0/1000");
    let with_extensions =
        Case::new("chunk extensions and a trailer", raw(&head, chunks), 200, "offset");
    let before = world.state(&job);
    assert_eq!(before["storedBytes"].as_u64(), Some(0));
    walk(&world, cases);
    let after = world.state(&job)["storedBytes"].as_u64().unwrap();
    assert!(after <= 1, "a broken body counts as far as it was well formed: {after}");
    walk(&world, vec![with_extensions]);
    assert_eq!(world.state(&job)["storedBytes"].as_u64(), Some(1));
    world.end();
}

/// A refused body is never read as requests: whatever stands in it is answered by nobody.
#[test]
fn what_follows_a_refused_body_is_no_request() {
    let world = World::start(&[]);
    let smuggled = "DELETE /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    let oauth = world.authorization();
    let keep = |path: &str, method: &str, length: usize| {
        format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {oauth}\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    for (method, path, length, status) in [
        ("POST", "/zstack/v1/longjobs", 70_000, 413),
        ("POST", "/zstack/v1/nowhere", 70_000, 404),
        ("PUT", "/imagestore/upload/v1.x.y", 70_000, 404),
        ("PUT", "/imagestore/upload/v1.x.y", 6 << 20, 404),
        ("PUT", "/uploads/%00", 70_000, 400),
        ("GET", "/healthz", 70_000, 200),
        ("PATCH", "/metrics", 200_000, 405),
    ] {
        let mut bytes = keep(path, method, length).into_bytes();
        let begin = bytes.len();
        while bytes.len() - begin + smuggled.len() <= length {
            bytes.extend_from_slice(smuggled.as_bytes());
        }
        bytes.resize(begin + length, b'\n');
        // The one behind the body is a request, if the connection lives so long.
        bytes.extend_from_slice(&request("GET", "/healthz", &[], ""));
        let answer = exchange(world.address(), &bytes, Then::WaitForClose);
        let name = format!("{method} {path} {length}");
        assert_eq!(answer.status, status, "{name}: {}", answer.body);
        let more = answer.body.matches("HTTP/1.1 ").count();
        assert!(more <= 1 && !answer.body.contains("smuggled"), "{name}: {}", answer.body);
        assert!(world.is_alive());
    }
    world.end();
}

/// Requests that come all at once on one connection are answered one after the other, each with its own answer.
#[test]
fn pipelined_requests_are_answered_in_order() {
    let world = World::start(&[]);
    let mut bytes = Vec::new();
    for at in 0..100 {
        bytes.extend_from_slice(
            format!("GET /nowhere/{at} HTTP/1.1\r\nHost: x\r\nX-Request-Id: n{at}\r\n\r\n")
                .as_bytes(),
        );
    }
    bytes.extend_from_slice(&request("GET", "/healthz", &[], ""));
    let mut stream = connect(world.address());
    std::io::Write::write_all(&mut stream, &bytes).unwrap();
    let answer = read_answer(&mut stream, true);
    let all = format!("{}\r\n{}", answer.head, answer.body).to_ascii_lowercase();
    let ids: Vec<_> = all.lines().filter_map(|line| line.strip_prefix("x-request-id: n")).collect();
    let expected: Vec<_> = (0..100).map(|at| at.to_string()).collect();
    assert_eq!(ids, expected);
    assert!(all.ends_with("alive\n"));
    world.end();
}
