//! Rules about the repository as a whole: migrations, decision records, dependencies and their licences.

use std::collections::BTreeSet;

/// Migrations that stand in one folder only, or whose numbers have gaps.
pub(crate) fn migrations(sqlite: &BTreeSet<String>, postgres: &BTreeSet<String>) -> Vec<String> {
    let mut broken: Vec<String> = sqlite
        .symmetric_difference(postgres)
        .map(|name| format!("migration {name} stands in one of the two folders only"))
        .collect();
    broken.extend(numbering("migration", sqlite.iter().chain(postgres)));
    broken
}

/// Names that are not `NNNN_name` or `NNNN-name` with the numbers 1, 2, 3, ...
pub(crate) fn numbering<'n>(kind: &str, names: impl Iterator<Item = &'n String>) -> Vec<String> {
    let names: BTreeSet<_> = names.collect();
    let mut broken = Vec::new();
    for (place, name) in names.into_iter().enumerate() {
        let number = name.get(..4).and_then(|digits| digits.parse::<usize>().ok());
        if number != Some(place + 1) {
            broken.push(format!("{kind} {name}: its number should be {:04}", place + 1));
        }
    }
    broken
}

/// Decision records without one of their sections.
pub(crate) fn decision_record(path: &str, text: &str) -> Vec<String> {
    ["Status", "Context", "Decision", "Consequences"]
        .into_iter()
        .filter(|section| !text.lines().any(|line| line == format!("## {section}")))
        .map(|section| format!("{path}: no section `## {section}`"))
        .collect()
}

/// Packages of a lock file that must not be there.
pub(crate) fn banned(lock: &str, banned: &[String]) -> Vec<String> {
    let names = lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    names
        .filter(|name| banned.iter().any(|banned| banned == name))
        .map(|name| format!("Cargo.lock: {name} is banned in deny.toml"))
        .collect()
}

/// Whether a licence expression (SPDX, or the older form with `/`) can be met with the allowed licences alone.
pub(crate) fn licence_is_allowed(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut tokens: Vec<&str> = spaced.split_whitespace().rev().collect();
    let met = either(&mut tokens, allowed);
    met && tokens.is_empty()
}

fn either(tokens: &mut Vec<&str>, allowed: &[String]) -> bool {
    let mut met = both(tokens, allowed);
    while tokens.last() == Some(&"OR") {
        tokens.pop();
        met |= both(tokens, allowed);
    }
    met
}

fn both(tokens: &mut Vec<&str>, allowed: &[String]) -> bool {
    let mut met = one(tokens, allowed);
    while tokens.last() == Some(&"AND") {
        tokens.pop();
        met &= one(tokens, allowed);
    }
    met
}

fn one(tokens: &mut Vec<&str>, allowed: &[String]) -> bool {
    let Some(first) = tokens.pop() else { return false };
    if first == "(" {
        let met = either(tokens, allowed);
        return tokens.pop() == Some(")") && met;
    }
    let mut licence = first.to_owned();
    if tokens.last() == Some(&"WITH") {
        tokens.pop();
        licence = format!("{licence} WITH {}", tokens.pop().unwrap_or_default());
    }
    allowed.contains(&licence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_migration_without_its_pair_or_number_is_reported() {
        let pair = names(&["0001_a.sql", "0002_b.sql"]);
        assert_eq!(migrations(&pair, &pair), Vec::<String>::new());
        assert!(!migrations(&pair, &names(&["0001_a.sql"])).is_empty());
        assert!(!migrations(&pair, &names(&["0001_a.sql", "0002_c.sql"])).is_empty());
        let gap = names(&["0001_a.sql", "0003_b.sql"]);
        assert_eq!(migrations(&gap, &gap).len(), 1);
        let twice = names(&["0001_a.sql", "0001_b.sql"]);
        assert_eq!(migrations(&twice, &twice).len(), 1);
    }

    #[test]
    fn a_decision_record_without_a_section_is_reported() {
        let whole = "# T\n## Status\n## Context\n## Decision\n## Consequences\n";
        assert_eq!(decision_record("a.md", whole), Vec::<String>::new());
        let without = whole.replace("## Context\n", "");
        assert_eq!(decision_record("a.md", &without), ["a.md: no section `## Context`"]);
    }

    #[test]
    fn a_banned_package_is_reported() {
        let list = vec!["openssl-sys".to_owned()];
        assert_eq!(banned("[[package]]\nname = \"openssl-sys\"\n", &list).len(), 1);
        assert_eq!(banned("[[package]]\nname = \"openssl-sys-x\"\n", &list), Vec::<String>::new());
    }

    #[test]
    fn licence_expressions_are_met_or_not() {
        let allowed: Vec<_> = ["MIT", "Apache-2.0", "Unicode-3.0"].map(str::to_owned).into();
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0-only OR MIT",
            "(MIT OR GPL-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR MIT",
        ] {
            assert!(licence_is_allowed(good, &allowed), "{good}");
        }
        for bad in [
            "GPL-3.0-or-later",
            "MIT AND AGPL-3.0",
            "(MIT OR GPL-2.0) AND BUSL-1.1",
            "Apache-2.0 WITH LLVM-exception",
            "",
            "MIT )",
        ] {
            assert!(!licence_is_allowed(bad, &allowed), "{bad}");
        }
    }
}
