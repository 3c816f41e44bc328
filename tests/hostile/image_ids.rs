//! The client's own name for a file, in each of the four places where it can stand.

use crate::{
    case::{Case, walk},
    queries::encoded,
    wire::{Then, exchange},
    world::World,
};

fn names() -> Vec<String> {
    let mut names: Vec<String> = [
        "a",
        "0",
        "/",
        "a/b",
        "/etc/passwd",
        "..",
        ".",
        "../../../x",
        "..\\..\\x",
        "a::b",
        "::",
        "uploadImage::x",
        "%2f",
        "%00",
        "%252e",
        "%",
        "a b",
        "a+b",
        " ",
        "?",
        "#",
        "a?b=c&d",
        "'; DROP TABLE uploads; --",
        "\"",
        "<b>",
        "${jndi:ldap://x}",
        "{{7*7}}",
        "\u{e9}",
        "e\u{301}",
        "\u{65e5}\u{672c}",
        "\u{202e}gpj.exe",
        "\u{200f}x",
        "\u{feff}",
        "\u{1f4be}",
        "\u{10ffff}",
        "null",
        "true",
        "v1.a.b",
        "CON",
        "a\u{2028}b",
    ]
    .map(str::to_owned)
    .to_vec();
    names.extend(["x".repeat(1024), "\u{e9}".repeat(512)]);
    names
}

/// A name that may be one stands for the same job in all four places, and its bytes make the image.
#[test]
fn a_name_of_any_text_is_one_name_everywhere() {
    let world = World::start(&[]);
    for name in names() {
        let shown: String = name.chars().take(20).collect();
        let job = world.submit(&name, &[]).unwrap_or_else(|error| panic!("{shown:?}: {error}"));
        let path = encoded(&name);
        let details = format!("/zstack/v1/images/upload-job/details/{path}");
        let (status, found) = world.call("GET", &details, "");
        let found = &found["existingJobDetails"][0]["longJobUuid"];
        assert_eq!((status, found), (200, &serde_json::json!(job.uuid)), "{shown:?}");

        let keyed = format!("/imagestore/upload/uploadImage::{path}");
        let (status, state) = world.call("GET", &keyed, "");
        assert_eq!((status, &state["jobUuid"]), (200, &serde_json::json!(job.uuid)), "{shown:?}");

        let put = world.request("PUT", &format!("/uploads/{path}"), b"content");
        let answer = exchange(world.address(), &put, Then::Wait);
        assert_eq!(answer.status, 201, "{shown:?}: {}", answer.body);
        assert!(answer.body.contains(&job.uuid), "{shown:?}: {}", answer.body);
        assert!(world.is_alive());
    }
    assert_eq!(world.strays(), Vec::<std::path::PathBuf>::new());
    world.end();
}

/// What is no name: percent-encoded, with what the refusal says of it.
fn refused() -> Vec<(&'static str, String, &'static str)> {
    vec![
        ("1,025 bytes", encoded("x".repeat(1025)), "1025 bytes"),
        ("1,025 bytes in fewer characters", encoded("\u{e9}".repeat(512) + "x"), "1025 bytes"),
        ("10,000 bytes", "x".repeat(10_000), "10000 bytes"),
        ("U+0000", encoded("a\0b"), "control character"),
        ("a line end", encoded("a\r\nX: y"), "control character"),
        ("an escape sequence", encoded("\u{1b}[2J"), "control character"),
        ("U+0085", encoded("\u{85}"), "control character"),
        ("no UTF-8", "%FF%FE".to_owned(), "UTF-8"),
        ("an overlong slash", "..%C0%AF..".to_owned(), "UTF-8"),
        ("an overlong NUL", "%C0%80".to_owned(), "UTF-8"),
        ("half of a surrogate pair", "%ED%A0%80".to_owned(), "UTF-8"),
        ("beyond Unicode", "%F4%90%80%80".to_owned(), "UTF-8"),
        ("half a character", "%E6%97".to_owned(), "UTF-8"),
    ]
}

#[test]
fn what_is_no_name_is_refused_everywhere() {
    let world = World::start(&[]);
    let mut cases = Vec::new();
    for (name, path, words) in refused() {
        let get = |path: String| world.request("GET", &path, "");
        let details = get(format!("/zstack/v1/images/upload-job/details/{path}"));
        cases.push(Case::new(format!("details: {name}"), details, 503, words));
        let keyed = get(format!("/imagestore/upload/uploadImage::{path}"));
        let words_of_key = if words == "UTF-8" { "not_found" } else { words };
        let status = if words == "UTF-8" { 404 } else { 400 };
        cases.push(Case::new(format!("keyed: {name}"), keyed, status, words_of_key));
        let put = world.request("PUT", &format!("/uploads/{path}"), b"content");
        cases.push(Case::new(format!("uploads: {name}"), put, 400, words));
    }
    let get = |path: &str| world.request("GET", path, "");
    let put = |path: &str| world.request("PUT", path, b"content");
    cases.extend([
        Case::new(
            "details: empty",
            get("/zstack/v1/images/upload-job/details/"),
            404,
            "no api mapping",
        ),
        Case::new("keyed: empty", get("/imagestore/upload/uploadImage::"), 400, "empty"),
        Case::new("uploads: empty", put("/uploads/"), 404, "not_found"),
        Case::new("uploads: two segments", put("/uploads/a/b"), 404, "not_found"),
        Case::new("uploads: a segment that goes up", put("/uploads/../a"), 404, "not_found"),
        Case::new(
            "keyed: unknown",
            get("/imagestore/upload/uploadImage::nobody"),
            404,
            "not_found",
        ),
        Case::new("keyed: no key at all", get("/imagestore/upload/%00"), 404, "not_found"),
        Case::new(
            "keyed: a capability of nobody",
            get("/imagestore/upload/v1.k.AAAA"),
            404,
            "not_found",
        ),
        Case::new(
            "keyed: 10,000 bytes of capability",
            get(&format!("/imagestore/upload/v1.k.{}", "A".repeat(10_000))),
            404,
            "not_found",
        ),
    ]);
    walk(&world, cases);

    // In a tag there is no percent-encoding: these are the texts themselves.
    for (image_id, words) in [
        (String::new(), "empty"),
        ("x".repeat(1025), "1025 bytes"),
        ("x".repeat(10_000), "2048 bytes"),
        ("a\u{7}".to_owned(), "control character"),
        ("a\r\nb".to_owned(), "control character"),
    ] {
        let refused = world.submit(&image_id, &[]).unwrap_err();
        assert!(refused.contains(words) && refused.contains("SYS.1007"), "{refused}");
    }
    let nul = world.submit("a\0b", &[]).unwrap_err();
    assert!(nul.starts_with("400"), "{nul}");
    let twice = world.submit("a", &["uploadImage::b".to_owned()]).unwrap_err();
    assert!(twice.contains("twice"), "{twice}");
    world.end();
}
