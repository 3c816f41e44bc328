//! Which files are sent: as they were named, or as a pattern that the shell did not expand.

use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path, PathBuf},
};

use anyhow::{Result, bail};
use glob::{MatchOptions, Pattern};

/// Most files and folders that one pattern may stand for, at each of its steps.
const MATCHES_MAX: usize = 10_000;

/// The name that stands for standard input.
pub(super) const STDIN: &str = "-";

/// The files, patterns expanded, in the order in which they were given. A file of exactly that name is taken for itself, whatever
/// characters are in it.
pub(super) fn expand(given: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in given {
        if !is_pattern(path) || fs::symlink_metadata(path).is_ok() {
            files.push(path.clone());
            continue;
        }
        let mut found = matches(path, MATCHES_MAX)?;
        found.sort();
        if found.is_empty() {
            bail!("no file matches {}", path.display());
        }
        files.append(&mut found);
        if files.len() > MATCHES_MAX {
            bail!("the patterns stand for more than {MATCHES_MAX} files; nothing was sent");
        }
    }
    Ok(files)
}

/// Refuses two files that would become images of one name: nobody could tell them apart afterwards.
pub(super) fn distinct(files: &[PathBuf], name_of: impl Fn(&Path) -> String) -> Result<()> {
    let mut names: BTreeMap<String, &Path> = BTreeMap::new();
    for file in files {
        let name = name_of(file);
        if let Some(other) = names.get(&name) {
            bail!(
                "{} and {} would both become an image called {name}; upload one of them by itself with --name, or rename it",
                other.display(),
                file.display()
            );
        }
        names.insert(name, file);
    }
    Ok(())
}

fn is_pattern(path: &Path) -> bool {
    path.to_str().is_some_and(|text| text.contains(['*', '?', '[']))
}

/// Regular files that a pattern stands for. A `*` does not go over a `/`, nor match a leading dot. Refuses a pattern of which one step has
/// more than `max` entries, whatever they are: which of them were left out would be chance.
fn matches(pattern: &Path, max: usize) -> Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let wanted = component.as_os_str();
        let compiled = match component {
            Component::Normal(name) if is_pattern(Path::new(name)) => name.to_str().map(compiled),
            Component::Normal(_)
            | Component::Prefix(_)
            | Component::RootDir
            | Component::CurDir
            | Component::ParentDir => None,
        };
        let mut next = Vec::new();
        for folder in found {
            match &compiled {
                Some(compiled) => next.extend(entries(&folder, compiled).take(max + 1)),
                None => next.push(folder.join(wanted)),
            }
            if next.len() > max {
                bail!(
                    "{} stands for more than {max} files and folders; nothing was sent. Give a narrower pattern, several if need be",
                    pattern.display()
                );
            }
        }
        found = next;
    }
    found.retain(|path| path.is_file());
    Ok(found)
}

fn entries(folder: &Path, pattern: &Pattern) -> impl Iterator<Item = PathBuf> {
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = fs::read_dir(here).into_iter().flatten().filter_map(Result::ok);
    let names = entries.map(|entry| entry.file_name());
    // Names that are no UTF-8 fit as well; the walk of the crate panics at them.
    let names = names.filter(|name| fits(pattern, &name.to_string_lossy()));
    names.map(|name| folder.join(name))
}

/// One component of a pattern. A bracket that is never closed stands for itself, and `^` negates like `!`, as in a shell.
fn compiled(text: &str) -> Pattern {
    let pattern = Pattern::new(&text.replace("[^", "[!"));
    pattern.unwrap_or_else(|_| Pattern::new(&Pattern::escape(text)).unwrap_or_default())
}

fn fits(pattern: &Pattern, name: &str) -> bool {
    let options = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    pattern.matches_with(name, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(pattern: &str, name: &str) -> bool {
        fits(&compiled(pattern), name)
    }

    #[test]
    fn patterns_are_those_of_a_shell() {
        for (pattern, name) in [
            ("*", "x"),
            ("*.raw", "a.b.raw"),
            ("a*b*c", "a-b-b-c"),
            ("disk?.raw", "disk磁.raw"),
            ("[a-c]x[!0-9]", "bxy"),
            ("[^a]", "b"),
            ("[]]", "]"),
            ("[", "["),
            ("", ""),
        ] {
            assert!(fit(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.raw", "a.raw.gz"),
            ("a*b*c", "a-b-b"),
            ("?", ""),
            ("[a-c]", "d"),
            ("[!a]", "a"),
            ("[^a]", "a"),
            ("*", ".hidden"),
            ("", "x"),
        ] {
            assert!(!fit(pattern, name), "{pattern} {name}");
        }
        // Patterns that would take for ever by trying everything.
        let (many, name) = ("a*".repeat(30), "a".repeat(200));
        assert!(!fit(&(many.clone() + "c"), &name));
        assert!(fit(&(many + "c"), &(name + "c")));
    }

    #[test]
    fn a_pattern_stands_for_files_and_an_existing_name_for_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("sub.raw")).unwrap();
        for name in ["b.raw", "a.raw", ".hidden.raw", "c.iso", "sub.raw/d.raw", "[x]"] {
            fs::write(path(name), "x").unwrap();
        }
        let names = |pattern: &str| {
            let found = expand(&[path(pattern)]).unwrap();
            found
                .iter()
                .map(|f| f.strip_prefix(folder.path()).unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(names("*.raw"), ["a.raw", "b.raw"].map(PathBuf::from));
        assert_eq!(names("*/*.raw"), ["sub.raw/d.raw"].map(PathBuf::from));
        assert_eq!(names("[x]"), [PathBuf::from("[x]")], "not the file x");
        assert_eq!(names("none.raw"), [PathBuf::from("none.raw")], "the upload itself tells it");
        let none = expand(&[path("*.vmdk")]).unwrap_err().to_string();
        assert!(none.contains("no file matches"), "{none}");
    }

    /// Which files a folder gives first is chance: none must be left out because others came before.
    #[test]
    fn a_pattern_that_stands_for_too_much_is_refused_whatever_it_stands_for() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..12 {
            let sub = folder.path().join(format!("{number}"));
            fs::create_dir(&sub).unwrap();
            fs::write(sub.join(if number < 2 { "disk.raw" } else { "other" }), "x").unwrap();
        }
        for number in 0..6 {
            fs::write(folder.path().join(format!("{number}.raw")), "x").unwrap();
        }
        let count =
            |pattern: &str, max| matches(&folder.path().join(pattern), max).map(|m| m.len());
        for pattern in ["*", "*/disk.raw", "*/*"] {
            let words = count(pattern, 17).unwrap_err().to_string();
            assert!(words.contains("more than 17"), "{pattern}: {words}");
        }
        assert_eq!(count("*", 18).unwrap(), 6);
        assert_eq!(count("*/disk.raw", 18).unwrap(), 2);
        assert_eq!(count("*.raw", 6).unwrap(), 6);
        assert!(count("*.raw", 5).is_err());
    }

    #[test]
    fn two_files_of_one_name_are_told() {
        let stem = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
        let files = ["a/disk.raw", "b/disk.qcow2"].map(PathBuf::from);
        let words = distinct(&files, stem).unwrap_err().to_string();
        assert!(words.contains("a/disk.raw and b/disk.qcow2"), "{words}");
        assert!(distinct(&files[..1], stem).is_ok());
    }
}
