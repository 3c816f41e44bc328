//! Query strings: without operators, with SQL in them, too many, too long.

use std::fmt::Write;

use crate::{
    case::{Case, walk},
    world::World,
};

/// Every byte percent-encoded.
pub(crate) fn encoded(text: impl AsRef<[u8]>) -> String {
    text.as_ref().iter().fold(String::new(), |mut all, byte| {
        let _ = write!(all, "%{byte:02X}");
        all
    })
}

/// Conditions that are data and nothing else: they find nothing, and harm nothing.
const HARMLESS: [&str; 15] = [
    "name='; DROP TABLE long_jobs; --",
    "name=\" OR 1=1 --",
    "name~=%' OR '1'='1",
    "name~=\\",
    "name~=%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%nobody",
    "name?=a','b",
    "name?=,,,,",
    "name!~=%",
    "name=$1",
    "name=?1",
    "name={fn x}",
    "name=\u{202e}\u{feff}",
    "uuid=../../x",
    "state=Nonsense",
    "name=/* x */",
];

fn conditions(world: &World, resource: &str) -> Vec<Case> {
    let get = |query: String| world.request("GET", &format!("/zstack/v1/{resource}?{query}"), "");
    let mut cases = Vec::new();
    for condition in HARMLESS {
        let bytes = get(format!("q={}", encoded(condition)));
        // A text that no such field can hold may be refused; it is never an error of ours.
        cases.push(
            Case::new(format!("{resource}: {condition}"), bytes, 200, "\"inventories\":[]").or(503),
        );
    }
    for condition in
        ["name", "is nul", "; DROP TABLE long_jobs", "\u{ff1d}", "name\u{2260}x", "name~x"]
    {
        let bytes = get(format!("q={}", encoded(condition)));
        cases.push(Case::new(format!("{resource}: {condition}"), bytes, 400, "query operator"));
    }
    for condition in [
        "=",
        "=x",
        " = ",
        "nope=1",
        "name=a>=b",
        "name;DROP=1",
        "(VALUES 1)=1",
        "rowid=1",
        "NAME=1",
        "name\u{0}x=1",
        "a.b.c.d=1",
        "__nothing__=1",
        "backup_storage=1",
        "1=1",
        "'name'=x",
    ] {
        let bytes = get(format!("q={}", encoded(condition)));
        let (status, words) =
            if condition.contains('\0') { (400, "NUL") } else { (503, "no such field") };
        cases.push(Case::new(format!("{resource}: {condition:?}"), bytes, status, words));
    }
    cases
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn whole_queries(world: &World) -> Vec<Case> {
    let get = |query: &str| world.request("GET", &format!("/zstack/v1/longjobs?{query}"), "");
    let many = |count: usize| "q=name%3Da&".repeat(count);
    let list = format!("q=uuid%3F%3D{}", "a,".repeat(7000));
    vec![
        Case::new("64 conditions", get(&many(64)), 200, "inventories"),
        Case::new("65 conditions", get(&many(65)), 400, "conditions"),
        Case::new("2,000 conditions", get(&many(2000)), 400, "16384 bytes"),
        Case::new(
            "a q of 20 KiB",
            get(&format!("q=name%3D{}", "x".repeat(20 << 10))),
            400,
            "16384 bytes",
        ),
        // A target over 64 KiB is no target: the HTTP library ends the connection, without words.
        Case::new("10,000 conditions", get(&many(10_000)), 400, ""),
        Case::new("a q of 100 KiB", get(&format!("q=name%3D{}", "x".repeat(100 << 10))), 400, ""),
        Case::new(
            "a q of 15 KiB",
            get(&format!("q=name%3D{}", "x".repeat(15 << 10))),
            200,
            "inventories",
        ),
        Case::new("a list of 7,000", get(&list), 503, "more than 500 values"),
        Case::new(
            "a pattern of 10 KiB",
            get(&format!("q=name~%3D{}", "%25_".repeat(2500))),
            503,
            "does not fit the field",
        ),
        Case::new("empty conditions", get("q=&q=&q=+"), 200, "inventories"),
        Case::new("no UTF-8", get("q=name%3D%ff%fe"), 400, "").or(200),
        Case::new("a broken escape", get("q=name%3D%zz%"), 200, "inventories").or(400),
        Case::new("NUL", get("q=name%3D%00"), 400, "NUL"),
        Case::new("NUL in a name", get("%00=1"), 400, "NUL"),
        Case::new("sort by SQL", get("sort=name;DROP"), 503, "no such field"),
        Case::new("sort by nothing", get("sort=-"), 200, "inventories"),
        Case::new("fields of SQL", get("fields=name,(VALUES+1)"), 503, "no such field"),
        Case::new(
            "10,000 fields",
            get(&format!("fields={}", "uuid,".repeat(3000))),
            200,
            "inventories",
        ),
        Case::new("groupBy", get("groupBy=state"), 503, "groupBy"),
        Case::new("count of words", get("count=maybe"), 400, "[count]"),
        Case::new("1,000 parameters of nobody", get(&"a=b&".repeat(1000)), 200, "inventories"),
        Case::new("only separators", get(&"&".repeat(1000)), 200, "inventories"),
        Case::new(
            "deleteMode of noise",
            world.request("DELETE", &format!("/zstack/v1/images/x?{}", many(2000)), ""),
            400,
            "16384 bytes",
        ),
        Case::new(
            "a native query of nobody",
            world.request("PUT", "/uploads/q?nmae=x", "x"),
            400,
            "bad_query",
        ),
        Case::new(
            "a native name with NUL",
            world.request("PUT", "/uploads/q?name=%00", "x"),
            400,
            "bad_field",
        ),
        Case::new(
            "a native name of 60 KiB",
            world.request("PUT", &format!("/uploads/q?name={}", "x".repeat(60 << 10)), "x"),
            400,
            "bad_field",
        ),
        Case::new(
            "a native format of noise",
            world.request("PUT", "/uploads/q?format=..%2f", "x"),
            400,
            "bad_field",
        ),
        Case::new(
            "a native name of no UTF-8",
            world.request("PUT", "/uploads/q?name=%ff", "x"),
            400,
            "bad_query",
        ),
    ]
}

#[test]
fn queries_are_data_and_nothing_else() {
    let world = World::start(&[]);
    let mut cases = conditions(&world, "longjobs");
    cases.extend(conditions(&world, "images"));
    cases.extend(conditions(&world, "backup-storage"));
    cases.extend(whole_queries(&world));
    walk(&world, cases);
    let (_, jobs) = world.call("GET", "/zstack/v1/longjobs?count=true", "");
    assert_eq!(jobs["total"], 1, "the good upload, and nothing of all this");
    world.end();
}
