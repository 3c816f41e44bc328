//! Who may import whom (ARCHITECTURE.md, "Rooms").

use crate::source::{Broken, code_only, is_word, words};

/// The rooms, and which others each may import.
const ROOMS: [(&str, &[&str]); 12] = [
    ("domain", &[]),
    ("config", &[]),
    ("shutdown", &[]),
    ("telemetry", &["config"]),
    ("wire", &["domain"]),
    ("db", &["domain", "telemetry"]),
    ("uploads", &["domain", "db", "config", "telemetry", "shutdown"]),
    ("jobs", &["domain", "db", "uploads", "config", "telemetry", "shutdown"]),
    ("accounts", &["domain", "db", "config", "telemetry", "shutdown"]),
    ("http", &["domain", "wire", "jobs", "uploads", "accounts", "config", "telemetry", "shutdown"]),
    ("client", &["domain", "wire"]),
    ("cli", &EVERY_ROOM),
];
const EVERY_ROOM: [&str; 11] = [
    "domain",
    "config",
    "shutdown",
    "telemetry",
    "wire",
    "db",
    "uploads",
    "jobs",
    "accounts",
    "http",
    "client",
];

/// Folders of one dialect each, in `http` and in `wire`; none imports another.
const DIALECTS: [&str; 6] = ["zstack", "tus", "ietf", "ims", "native", "page"];

/// Crates that belong to some files only, by the start of the path.
const CRATES: [(&str, &[&str]); 12] = [
    ("sqlx", &["src/db/", "src/db.rs"]),
    ("actix_web", &["src/http/", "src/http.rs", "src/cli/serve", "src/main.rs"]),
    ("actix_http", &["src/http/"]),
    // Files on this machine are inspected and hashed by the same code, without a server.
    (
        "longshore_storage",
        &["src/uploads/", "src/config/", "src/cli/serve", "src/cli/inspect", "src/client/digests"],
    ),
    ("anyhow", &["src/main.rs", "src/cli/"]),
    ("clap", &["src/main.rs", "src/cli/"]),
    ("indicatif", &["src/cli/"]),
    // The settings only use its URL type; web hooks are the one thing that the server itself sends.
    ("reqwest", &["src/client/", "src/cli/", "src/config/", "src/jobs/hooks/"]),
    // Secrets are sealed in one place; the others name it as the backend of their TLS.
    ("ring", &["src/accounts/", "src/client/", "src/jobs/hooks/", "src/cli/tls"]),
    ("actix_tls", &["src/cli/serve"]),
    ("rcgen", &["src/cli/tls"]),
    ("prometheus_client", &["src/telemetry/"]),
];

/// Files that may hold `unsafe`, each with its reason in ARCHITECTURE.md.
const UNSAFE: [&str; 8] = [
    "storage/src/digest/kernels/x86/fused.rs",
    "storage/src/digest/kernels/x86/lanes.rs",
    "storage/src/digest/kernels/x86/mod.rs",
    "storage/src/digest/kernels/x86/prepared.rs",
    "storage/src/digest/kernels/x86/rows.rs",
    "storage/src/digest/kernels/x86/scalar.rs",
    "storage/src/digest/kernels/x86/sha.rs",
    "storage/src/digest/kernels/x86/vector.rs",
];

/// The module path of a file under `src/`: `src/http/tus/mod.rs` is `[http, tus]`.
fn module(path: &str) -> Vec<&str> {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    inside.split('/').filter(|part| *part != "mod").collect()
}

/// Every path that begins at the crate's root, as far as two steps, with its place.
fn paths_from_root(code: &str, module: &[&str]) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    for at in words(code, "crate") {
        steps(code, at + "crate".len(), &[], &mut found);
    }
    // In the binary our library has a name.
    for at in words(code, "longshore") {
        steps(code, at + "longshore".len(), &[], &mut found);
    }
    for at in words(code, "super") {
        if code[..at].ends_with("super::") {
            continue;
        }
        let mut end = at;
        let mut up = 0;
        while code[end..].starts_with("super") {
            end += "super".len();
            up += 1;
            if code[end..].starts_with("::super") {
                end += "::".len();
            }
        }
        let base = &module[..module.len().saturating_sub(up)];
        steps(code, end, base, &mut found);
    }
    found
}

/// Reads `::a::b` or `::{a::b, c}` at `at`, below `base`.
fn steps(code: &str, at: usize, base: &[&str], found: &mut Vec<(usize, Vec<String>)>) {
    let rest = code[at..].trim_start();
    let Some(rest) = rest.strip_prefix("::").map(str::trim_start) else { return };
    let at = code.len() - rest.len();
    if base.len() >= 2 {
        let path = base.iter().map(ToString::to_string).collect();
        found.push((at, path));
    } else if rest.starts_with('{') {
        let mut depth = 0_usize;
        let mut begins = false;
        for (offset, byte) in rest.bytes().enumerate() {
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            if depth == 1 && begins && is_word(byte) {
                step(code, at + offset, base, found);
            }
            begins = (depth == 1 && matches!(byte, b'{' | b','))
                || (begins && byte.is_ascii_whitespace());
        }
    } else {
        step(code, at, base, found);
    }
}

fn step(code: &str, at: usize, base: &[&str], found: &mut Vec<(usize, Vec<String>)>) {
    let length = code[at..].bytes().take_while(|byte| is_word(*byte)).count();
    let name = &code[at..at + length];
    let mut path = base.to_vec();
    path.push(name);
    let before = found.len();
    if path.len() < 2 {
        steps(code, at + length, &path, found);
    }
    if found.len() == before {
        found.push((at, path.iter().map(ToString::to_string).collect()));
    }
}

/// Arrows between rooms and between dialects.
pub(crate) fn arrows(path: &str, text: &str) -> Vec<Broken> {
    let here = module(path);
    let room = here[0];
    if !path.starts_with("src/") || matches!(room, "main" | "lib") {
        return Vec::new();
    }
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return vec![Broken::at(path, text, 0, format!("`{room}` is no room of the plan"))];
    };
    let code = code_only(text);
    let mut broken = Vec::new();
    for (at, target) in paths_from_root(&code, &here) {
        let to = target[0].as_str();
        let is_room = ROOMS.iter().any(|(name, _)| *name == to);
        if is_room && to != room && !allowed.contains(&to) {
            broken.push(Broken::at(path, text, at, format!("`{room}` must not import `{to}`")));
        }
        let dialects = (here.get(1).copied(), target.get(1).map(String::as_str));
        if let (Some(ours), Some(theirs)) = dialects
            && (to == room && matches!(room, "http" | "wire"))
            && (DIALECTS.contains(&ours) && DIALECTS.contains(&theirs) && ours != theirs)
        {
            let rule = format!("dialect `{ours}` must not import dialect `{theirs}`");
            broken.push(Broken::at(path, text, at, rule));
        }
    }
    broken
}

/// Crates outside their rooms, and `unsafe`.
pub(crate) fn crates(path: &str, text: &str) -> Vec<Broken> {
    let code = code_only(text);
    let mut broken = Vec::new();
    let ours = path.starts_with("src/");
    let storage = path.starts_with("storage/src/");
    for (name, homes) in CRATES {
        let home = homes.iter().any(|home| path.starts_with(home));
        // The storage crate's tests and docs use its own name.
        let own = storage && name == "longshore_storage";
        if home || own || !(ours || storage) {
            continue;
        }
        for at in words(&code, name) {
            let rule = format!("`{name}` belongs to {} only", homes.join(", "));
            broken.push(Broken::at(path, text, at, rule));
        }
    }
    if !UNSAFE.contains(&path) {
        for at in words(&code, "unsafe") {
            broken.push(Broken::at(path, text, at, "`unsafe` outside the files that may hold it"));
        }
    }
    broken
}

/// Where routes are mounted: the table alone, so that none is missing from the list of routes.
const MOUNTING: &str = "src/http/routes.rs";

/// Ways to mount a route.
const MOUNTS: [&str; 8] = [
    "web::resource",
    "web::scope",
    "web::route",
    "web::method",
    "Resource::new",
    "Scope::new",
    "Route::new",
    ".route(",
];

/// Routes that are mounted beside the table, by a call or by an attribute.
pub(crate) fn mounting(path: &str, text: &str) -> Vec<Broken> {
    if !path.starts_with("src/") || path == MOUNTING {
        return Vec::new();
    }
    let code = code_only(text);
    let attributes =
        ["get", "post", "put", "delete", "head", "patch", "options", "route", "routes"]
            .map(|method| format!("#[{method}("));
    let ways = MOUNTS.into_iter().chain(attributes.iter().map(String::as_str));
    let found = ways.flat_map(|way| code.match_indices(way));
    found
        .map(|(at, way)| Broken::at(path, text, at, format!("`{way}` belongs to {MOUNTING} only")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<String> {
        let all = [arrows(path, text), crates(path, text), mounting(path, text)];
        all.iter().flatten().map(ToString::to_string).collect()
    }

    #[test]
    fn a_forbidden_arrow_is_reported_with_its_line_however_it_is_written() {
        for (path, text) in [
            ("src/domain/job.rs", "\nuse crate::db::Jobs;"),
            ("src/jobs/mod.rs", "\nuse crate::{domain::ids, http::routes};"),
            ("src/jobs/mod.rs", "\nfn f() { let x = crate::http::routes(); }"),
            ("src/db/sqlite.rs", "\nuse super::super::uploads::Admit;"),
            ("src/uploads/mod.rs", "\nuse crate::{\n  jobs::Service };"),
            ("src/client/mod.rs", "\nuse crate :: {domain, accounts};"),
            ("src/http/tus/mod.rs", "\nuse crate::http::ietf::parse;"),
            ("src/http/tus.rs", "\nuse super::{error, zstack};"),
            ("src/http/tus/head.rs", "\nuse crate::http::{error::Error, native};"),
            ("src/wire/ims.rs", "\nuse crate::wire::zstack::Inventory;"),
            ("src/helpers/mod.rs", ""),
            ("src/jobs/mod.rs", "\nuse sqlx::Row;"),
            ("src/http/mod.rs", "\nuse longshore_storage::UploadStore;"),
            ("src/db/mod.rs", "\nuse longshore_storage::UploadKey;"),
            ("src/uploads/mod.rs", "\nuse actix_web::web;"),
            ("src/jobs/mod.rs", "\nfn f() -> anyhow::Result<()> {}"),
            ("src/db/mod.rs", "\nunsafe { x() }"),
            ("src/http/ops.rs", "\nfn f() { config.service(web::resource(PATH)); }"),
            ("src/cli/serve.rs", "\nfn f() { app.route(PATH, web::get()) }"),
            ("src/http/ops.rs", "\n#[get(\"/hidden\")]"),
        ] {
            let broken = rules(path, text);
            assert!(!broken.is_empty(), "not reported: {path}: {text}");
            let line = if text.is_empty() { 1 } else { 1 + text.matches('\n').count() };
            assert!(broken[0].starts_with(&format!("{path}:{line}: ")), "{broken:?}");
        }
    }

    #[test]
    fn the_arrows_of_the_plan_are_allowed() {
        for (path, text) in [
            ("src/db/mod.rs", "use crate::domain::{job::LongJob, ids::{JobUuid, ApiId}};"),
            ("src/jobs/mod.rs", "use crate::{db::{Jobs, uploads::http}, uploads::Admit};"),
            (
                "src/http/tus/mod.rs",
                "use crate::{http::error::Error, uploads}; use super::extract;",
            ),
            ("src/http/mod.rs", "mod tus; use self::tus::head; use actix_web::web;"),
            ("src/cli/serve.rs", "use crate::{http, db}; use longshore_storage::local;"),
            ("src/http/routes.rs", "fn f() { config.service(web::resource(PATH)); }"),
            ("src/domain/job.rs", "//! not crate::db\nuse super::{clock, ids}; // crate::http"),
            ("src/domain/job.rs", "mod tests { use super::*; const S: &str = \"unsafe sqlx\"; }"),
            ("src/main.rs", "use longshore::cli; fn main() -> anyhow::Result<()> {}"),
            ("storage/src/local/mod.rs", "use crate::store::UploadStore;"),
        ] {
            assert_eq!(rules(path, text), Vec::<String>::new(), "{path}: {text}");
        }
    }
}
