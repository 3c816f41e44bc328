//! The rules of the house that no compiler checks. Every rule has a sample beside it that it must report.
#![expect(clippy::unwrap_used, reason = "a test that cannot read the repository fails")]

mod arrows;
mod repository;
mod source;
mod text;

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use source::Broken;

type Rule = fn(&str, &str) -> Vec<Broken>;

/// Folders that are made, not written.
const MADE: [&str; 7] =
    [".git", "target", "longshore-data", ".tools", "node_modules", "proptest-regressions", ".venv"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file of the repository, by its path from the root.
fn files() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type().unwrap();
            if MADE.contains(&name.as_str()) {
                continue;
            }
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file()
                && let Ok(text) = fs::read_to_string(entry.path())
            {
                let path = entry.path().strip_prefix(root()).unwrap().display().to_string();
                found.push((path, text));
            }
        }
    }
    found.sort();
    found
}

fn rust_files() -> Vec<(String, String)> {
    files().into_iter().filter(|(path, _)| source::is_rust(path)).collect()
}

/// The files without those that are compiled for tests only.
fn without_tests(files: Vec<(String, String)>) -> Vec<(String, String)> {
    let modules: Vec<_> =
        files.iter().flat_map(|(path, text)| source::test_modules(path, text)).collect();
    let for_tests = |path: &str| {
        let ours = |module: &String| path.strip_prefix(module.as_str()).is_some_and(is_module_end);
        modules.iter().any(ours)
    };
    files.into_iter().filter(|(path, _)| !for_tests(path)).collect()
}

fn is_module_end(rest: &str) -> bool {
    rest == ".rs" || rest.starts_with('/')
}

fn check(files: &[(String, String)], rules: &[Rule]) {
    assert!(files.len() > 10, "the walk found hardly anything: {}", files.len());
    let broken: Vec<_> = files
        .iter()
        .flat_map(|(path, text)| rules.iter().flat_map(move |rule| rule(path, text)))
        .map(|broken| broken.to_string())
        .collect();
    assert!(broken.is_empty(), "{} broken rules:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn imports_follow_the_arrows() {
    let sources: Vec<_> = rust_files()
        .into_iter()
        .filter(|(path, _)| path.starts_with("src/") || path.starts_with("storage/src/"))
        .collect();
    check(&sources, &[arrows::arrows, arrows::crates, arrows::mounting]);
}

#[test]
fn files_and_functions_stay_short() {
    check(&files(), &[text::file_length]);
    check(&without_tests(rust_files()), &[text::function_length]);
}

#[test]
fn nothing_unwraps_outside_tests() {
    check(&without_tests(rust_files()), &[text::unwraps]);
}

#[test]
fn no_words_have_gaps() {
    check(&rust_files(), &[text::gaps_in_words]);
}

#[test]
fn nothing_is_left_for_later() {
    check(&files(), &[text::left_for_later]);
}

#[test]
fn no_file_speaks_of_one_machine() {
    check(&files(), &[text::machine_paths]);
}

fn names_in(folder: &str) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(root().join(folder)) else { return BTreeSet::new() };
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn migrations_come_in_pairs() {
    let broken =
        repository::migrations(&names_in("migrations/sqlite"), &names_in("migrations/postgres"));
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn decision_records_are_whole_and_numbered() {
    let records = names_in("docs/adr");
    assert!(!records.is_empty(), "docs/adr holds no record");
    let mut broken = repository::numbering("record", records.iter());
    for (path, text) in files().iter().filter(|(path, _)| path.starts_with("docs/adr/")) {
        broken.extend(repository::decision_record(path, text));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// A list of strings in deny.toml.
fn deny_list(section: &str, key: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("deny.toml")).unwrap();
    let table: toml::Table = text.parse().unwrap();
    let items = table[section][key].as_array().unwrap();
    let name = |item: &toml::Value| item.get("crate").unwrap_or(item).as_str().unwrap().to_owned();
    items.iter().map(name).collect()
}

#[test]
fn no_banned_package_is_locked() {
    let banned = deny_list("bans", "deny");
    for name in ["actix-governor", "drill", "xxhash-rust", "openssl-sys"] {
        assert!(banned.iter().any(|banned| banned == name), "{name} is no longer banned");
    }
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let broken = repository::banned(&lock, &banned);
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_dependency_has_an_allowed_licence() {
    let allowed = deny_list("licenses", "allow");
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    // Offline: building this test has fetched every package of this platform.
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--locked", "--format-version", "1"])
        .args(["--filter-platform", &target])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100, "only {} packages", packages.len());
    let broken: Vec<_> = packages
        .iter()
        .filter(|package| {
            let licence = package["license"].as_str().unwrap_or("none stated");
            !repository::licence_is_allowed(licence, &allowed)
        })
        .map(|package| {
            format!("{} {}: {}", package["name"], package["version"], package["license"])
        })
        .collect();
    assert!(broken.is_empty(), "licences that deny.toml does not allow:\n{}", broken.join("\n"));
}
