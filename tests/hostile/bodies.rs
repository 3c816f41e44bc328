//! JSON bodies: how large, how deep, how wrong.

use crate::{
    case::{Case, walk},
    wire::{Then, request},
    world::World,
};

/// Bytes that a JSON body may have.
const JSON_BYTES_MAX: usize = 65_536;

/// An object that is exactly so large, its padding in a field that nobody reads.
fn object_of(bytes: usize, field: &str) -> String {
    let frame = format!("{{{field},\"padding\":\"\"}}");
    format!("{{{field},\"padding\":\"{}\"}}", "x".repeat(bytes - frame.len()))
}

fn bodies() -> Vec<(&'static str, Vec<u8>, u16, &'static str)> {
    let deep = |open: &str, close: &str, levels: usize| {
        format!("{{\"params\":{}{}}}", open.repeat(levels), close.repeat(levels)).into_bytes()
    };
    vec![
        ("no JSON", b"params".to_vec(), 400, "not JSON"),
        ("half of it", b"{\"params\":{".to_vec(), 400, "not JSON"),
        ("two objects", b"{}{}".to_vec(), 400, "not JSON"),
        ("a list", b"[]".to_vec(), 400, "not a JSON object"),
        ("a number", b"7".to_vec(), 400, "not a JSON object"),
        ("null", b"null".to_vec(), 400, "not a JSON object"),
        ("a number over 64 bits", b"{\"params\":1e999}".to_vec(), 400, "not JSON"),
        ("NaN", b"{\"params\":NaN}".to_vec(), 400, "not JSON"),
        ("no UTF-8", b"{\"params\":\"\xff\"}".to_vec(), 400, "not JSON"),
        ("overlong UTF-8", b"{\"params\":\"\xc0\xaf\"}".to_vec(), 400, "not JSON"),
        ("a lone surrogate", b"{\"params\":\"\\ud800\"}".to_vec(), 400, "not JSON"),
        ("UTF-16", b"\xff\xfe{\0}\0".to_vec(), 400, "not JSON"),
        ("a byte order mark", b"\xef\xbb\xbf{}".to_vec(), 400, "not JSON"),
        ("U+0000", b"{\"params\":{\"name\":\"\\u0000\"}}".to_vec(), 400, "NUL"),
        ("U+0000 in a name", b"{\"params\":{\"\\u0000\":1}}".to_vec(), 400, "NUL"),
        ("params of text", b"{\"params\":\"x\"}".to_vec(), 400, "[params]"),
        ("params of a list", b"{\"params\":[{}]}".to_vec(), 400, "[params]"),
        ("127 lists", deep("[", "]", 126), 400, "[params]"),
        ("10,000 lists", deep("[", "]", 10_000), 400, "recursion"),
        ("10,000 objects", deep("{\"a\":", "}", 5_000), 400, "not JSON"),
        ("10,000 lists that do not end", deep("[", "", 10_000), 400, "recursion"),
        (
            "over the limit by one",
            object_of(JSON_BYTES_MAX + 1, "\"params\":{}").into_bytes(),
            413,
            "65536",
        ),
        ("10 MiB", object_of(10 << 20, "\"params\":{}").into_bytes(), 413, "65536"),
        ("10 MiB of noise", vec![b'['; 10 << 20], 413, "65536"),
    ]
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn bodies_of_the_control_plane() {
    let world = World::start(&[]);
    let some = "0".repeat(12) + "4" + "0000000000000000000";
    let session = world.authorization();
    let mut cases = Vec::new();
    for (method, path) in [
        ("POST", "/zstack/v1/longjobs".to_owned()),
        ("POST", "/zstack/v1/images".to_owned()),
        ("PUT", format!("/zstack/v1/longjobs/{some}/actions")),
        ("PUT", "/zstack/v1/accounts/login".to_owned()),
    ] {
        for (name, body, status, words) in bodies() {
            // What is an object, but not of a creation, names no action.
            let is_action = method == "PUT" && words == "[params]";
            let words = if is_action { "doesn't contain action mapping" } else { words };
            let bytes = world.request(method, &path, body);
            cases.push(Case::new(format!("{method} {path}: {name}"), bytes, status, words));
        }
    }
    let submit = "/zstack/v1/longjobs";
    let chunked = [("Authorization", session.as_str()), ("Transfer-Encoding", "chunked")];
    let large = format!("{:x}\r\n{}\r\n0\r\n\r\n", 70_000, " ".repeat(70_000));
    let endless = format!("{:x}\r\n{}", 1_u64 << 40, " ".repeat(70_000));
    let gzip = [("Authorization", session.as_str()), ("Content-Encoding", "gzip")];
    let bomb = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xed\xc1\x01";
    cases.extend([
        Case::new(
            "exactly at the limit",
            world.request("POST", submit, object_of(JSON_BYTES_MAX, "\"params\":{}")),
            202,
            "location",
        ),
        Case::new("nothing but blanks", world.request("POST", submit, " \r\n\t"), 202, "location"),
        Case::new("chunks over the limit", request("POST", submit, &chunked, large), 413, "65536"),
        Case::new(
            "a chunk without an end",
            request("POST", submit, &chunked, endless),
            413,
            "65536",
        ),
        Case::new("a compressed body", request("POST", submit, &gzip, bomb), 400, "not JSON"),
        Case::new(
            "a body that is cut",
            request(
                "POST",
                submit,
                &[("Authorization", session.as_str()), ("Content-Length", "100")],
                "{",
            ),
            400,
            "broke off",
        )
        .or(0)
        .then(Then::HalfClose),
        Case::new(
            "an unknown action",
            world.request("PUT", &format!("{submit}/{some}/actions"), "{\"dropTable\":{}}"),
            400,
            "doesn't contain action mapping",
        ),
        Case::new(
            "an action of a list",
            world.request("PUT", &format!("{submit}/{some}/actions"), "{\"cancelLongJob\":[]}"),
            400,
            "[cancelLongJob]",
        ),
        Case::new(
            "a login of numbers",
            request(
                "PUT",
                "/zstack/v1/accounts/login",
                &[],
                "{\"logInByAccount\":{\"accountName\":1,\"password\":2}}",
            ),
            503,
            "ID.1000",
        ),
        Case::new(
            "a login of lists",
            request(
                "PUT",
                "/zstack/v1/accounts/login",
                &[],
                "{\"logInByAccount\":{\"accountName\":[],\"password\":{}}}",
            ),
            503,
            "SYS.1007",
        ),
        Case::new(
            "a long name",
            request(
                "PUT",
                "/zstack/v1/accounts/login",
                &[],
                format!(
                    "{{\"logInByAccount\":{{\"accountName\":\"{}\",\"password\":\"x\"}}}}",
                    "x".repeat(60_000)
                ),
            ),
            503,
            "max length",
        ),
    ]);
    walk(&world, cases);
    world.end();
}
