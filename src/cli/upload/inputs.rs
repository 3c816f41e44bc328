//! Which files are sent: as they were named, or as a pattern that the shell did not expand.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    path::{Component, Path, PathBuf},
};

use anyhow::{Result, bail};

/// Most files that one pattern may stand for.
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
        let mut found = matches(path);
        found.sort();
        if found.is_empty() {
            bail!("no file matches {}", path.display());
        }
        files.append(&mut found);
        if files.len() > MATCHES_MAX {
            bail!("{} stands for more than {MATCHES_MAX} files", path.display());
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

/// Regular files that a pattern stands for. A `*` does not go over a `/`, nor match a leading dot.
fn matches(pattern: &Path) -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::new()];
    for component in pattern.components() {
        let wanted = component.as_os_str();
        let has_pattern =
            matches!(component, Component::Normal(name) if is_pattern(Path::new(name)));
        let step = |folder: PathBuf| {
            if has_pattern { entries(&folder, wanted) } else { vec![folder.join(wanted)] }
        };
        folders = folders.into_iter().flat_map(step).take(MATCHES_MAX + 1).collect();
    }
    folders.retain(|path| path.is_file());
    folders
}

fn entries(folder: &Path, pattern: &OsStr) -> Vec<PathBuf> {
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let pattern: Vec<char> = pattern.to_string_lossy().chars().collect();
    let Ok(entries) = fs::read_dir(here) else { return Vec::new() };
    let names = entries.filter_map(Result::ok).map(|entry| entry.file_name());
    let fits = |name: &std::ffi::OsString| {
        let name: Vec<char> = name.to_string_lossy().chars().collect();
        let hidden = name.first() == Some(&'.') && pattern.first() != Some(&'.');
        !hidden && fits(&pattern, &name)
    };
    names.filter(fits).map(|name| folder.join(name)).collect()
}

/// Whether a whole name fits a pattern of `*`, `?`, `[abc]`, `[a-z]`, `[!abc]`. Linear in practice: only the last `*` is tried again.
fn fits(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut again: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&'*') {
            again = Some((p, n));
            p += 1;
        } else if let Some(next) = one(&pattern[p..], name[n]) {
            p += next;
            n += 1;
        } else if let Some((star, from)) = again {
            again = Some((star, from + 1));
            (p, n) = (star + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

/// Characters of the pattern that one character of the name uses up, if it fits.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern.first()? {
        '?' => Some(1),
        '[' => match class(pattern, c) {
            Some((length, true)) => Some(length),
            Some((_, false)) => None,
            None => (c == '[').then_some(1),
        },
        &plain => (plain == c).then_some(1),
    }
}

/// Length of the class that begins here, and whether it has the character; `None` if it is never closed.
fn class(pattern: &[char], c: char) -> Option<(usize, bool)> {
    let negated = matches!(pattern.get(1), Some('!' | '^'));
    let begin = if negated { 2 } else { 1 };
    // A `]` that comes first stands for itself.
    let close = begin + 1 + pattern.get(begin + 1..)?.iter().position(|&c| c == ']')?;
    let set = &pattern[begin..close];
    let mut has = false;
    let mut at = 0;
    while at < set.len() {
        if at + 2 < set.len() && set[at + 1] == '-' {
            has |= (set[at]..=set[at + 2]).contains(&c);
            at += 3;
        } else {
            has |= set[at] == c;
            at += 1;
        }
    }
    Some((close + 1, has != negated))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(pattern: &str, name: &str) -> bool {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        fits(&chars(pattern), &chars(name))
    }

    #[test]
    fn patterns_are_those_of_a_shell() {
        for (pattern, name) in [
            ("*", "x"),
            ("*.raw", "a.b.raw"),
            ("a*b*c", "a-b-b-c"),
            ("disk?.raw", "disk磁.raw"),
            ("[a-c]x[!0-9]", "bxy"),
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
            ("", "x"),
        ] {
            assert!(!fit(pattern, name), "{pattern} {name}");
        }
        // A pattern that would take for ever by trying everything.
        assert!(!fit(&"a*".repeat(30), &("a".repeat(200) + "b")[..]) || fit("a*", "ab"));
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

    #[test]
    fn two_files_of_one_name_are_told() {
        let stem = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
        let files = ["a/disk.raw", "b/disk.qcow2"].map(PathBuf::from);
        let words = distinct(&files, stem).unwrap_err().to_string();
        assert!(words.contains("a/disk.raw and b/disk.qcow2"), "{words}");
        assert!(distinct(&files[..1], stem).is_ok());
    }
}
