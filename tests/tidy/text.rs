//! Rules about single files: size, words that must not stay, paths of a machine.

use crate::source::{Broken, closing, code_only, is_rust, is_test_file, test_regions, words};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const ARCHITECTURE_LINES_MAX: usize = 200;

/// Files that are too long.
pub(crate) fn file_length(path: &str, text: &str) -> Vec<Broken> {
    let max = match path.rsplit('.').next() {
        Some("rs" | "js" | "mjs") => FILE_LINES_MAX,
        _ if path == "ARCHITECTURE.md" => ARCHITECTURE_LINES_MAX,
        _ => return Vec::new(),
    };
    let lines = text.lines().count();
    if lines <= max {
        return Vec::new();
    }
    vec![Broken { path: path.into(), line: lines, rule: format!("{lines} lines, at most {max}") }]
}

/// Functions that are too long, outside tests.
pub(crate) fn function_length(path: &str, text: &str) -> Vec<Broken> {
    if !is_rust(path) || is_test_file(path) {
        return Vec::new();
    }
    let code = code_only(text);
    let regions = test_regions(&code);
    let mut broken = Vec::new();
    for at in words(&code, "fn") {
        if regions.iter().any(|region| region.contains(&at)) {
            continue;
        }
        // A type `fn(..)` and a declaration without a body have no length. `[u8; 4]` has a semicolon too.
        let mut brackets = 0_usize;
        let open = code[at..].bytes().position(|byte| {
            match byte {
                b'[' => brackets += 1,
                b']' => brackets = brackets.saturating_sub(1),
                _ => {}
            }
            byte == b'{' || (byte == b';' && brackets == 0)
        });
        let Some(open) = open.map(|open| at + open) else { continue };
        if code.as_bytes()[open] == b';' || code[at + 2..].trim_start().starts_with('(') {
            continue;
        }
        let lines = 1 + code[at..closing(&code, open)].matches('\n').count();
        if lines > FUNCTION_LINES_MAX {
            let rule = format!("function of {lines} lines, at most {FUNCTION_LINES_MAX}");
            broken.push(Broken::at(path, text, at, rule));
        }
    }
    broken
}

/// `.unwrap()` outside tests.
pub(crate) fn unwraps(path: &str, text: &str) -> Vec<Broken> {
    let ours = path.starts_with("src/") || path.starts_with("storage/src/");
    if !ours || !is_rust(path) || is_test_file(path) {
        return Vec::new();
    }
    let code = code_only(text);
    let regions = test_regions(&code);
    let outside = |at: &usize| !regions.iter().any(|region| region.contains(at));
    let found = code.match_indices(".unwrap()").map(|(at, _)| at).filter(outside);
    found.map(|at| Broken::at(path, text, at, "`.unwrap()` outside tests")).collect()
}

/// Words with a gap in their middle: a line that was continued without its backslash. Columns of a help text are aligned before an example,
/// a number or a remark, not before a word.
pub(crate) fn gaps_in_words(path: &str, text: &str) -> Vec<Broken> {
    let ours = path.starts_with("src/") || path.starts_with("storage/src/");
    if !ours || !is_rust(path) {
        return Vec::new();
    }
    let mut broken = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let words = line.trim_start();
        let indent = line.len() - words.len();
        for (gap, _) in words.match_indices("    ").take(1) {
            let before = words[..gap].chars().next_back();
            let after = words[gap..].trim_start().chars().next();
            let is_word = |c: char| c.is_ascii_lowercase() || c == '{';
            if before.is_some_and(|c| is_word(c) || ",.;:}`".contains(c))
                && after.is_some_and(|c| is_word(c) || c == '`')
            {
                broken.push(Broken::at(path, text, at + indent + gap, "words with a gap in them"));
            }
        }
        at += line.len();
    }
    broken
}

/// Work that was left for later. Split, so that this file does not report itself.
pub(crate) fn left_for_later(path: &str, text: &str) -> Vec<Broken> {
    let mut broken = Vec::new();
    for word in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")] {
        for at in words(text, word) {
            broken.push(Broken::at(path, text, at, format!("`{word}`: do it, or write an issue")));
        }
    }
    for call in [concat!("todo", "!("), concat!("unimplemented", "!(")] {
        for (at, _) in text.match_indices(call) {
            broken.push(Broken::at(path, text, at, format!("`{call}..)` in the repository")));
        }
    }
    broken
}

/// Paths and package sources that exist on one machine only.
pub(crate) fn machine_paths(path: &str, text: &str) -> Vec<Broken> {
    let mut broken = Vec::new();
    let marks = [
        concat!("/wo", "rk/"),
        concat!("/tmp/", "brief"),
        concat!("/ro", "ot/"),
        concat!("/home", "/"),
        concat!("index", "-url"),
        concat!("replace", "-with"),
        concat!("npm_config", "_registry"),
        concat!("registry", "=http"),
    ];
    for mark in marks {
        for (at, _) in text.match_indices(mark) {
            // `example.com/work/` is a URL, not a path of ours.
            let relative = at > 0 && text.as_bytes()[at - 1].is_ascii_alphanumeric();
            if !(mark.starts_with('/') && relative) {
                let rule = format!("`{mark}` holds on one machine only");
                broken.push(Broken::at(path, text, at, rule));
            }
        }
    }
    let public = [
        ("source = \"registry+", "https://github.com/rust-lang/crates.io-index\""),
        ("\"resolved\": \"", "https://registry.npmjs.org/"),
    ];
    for (field, host) in public {
        let locked = path.ends_with("Cargo.lock") || path.ends_with("package-lock.json");
        for (at, _) in text.match_indices(field).filter(|_| locked) {
            if !text[at + field.len()..].starts_with(host) {
                broken.push(Broken::at(path, text, at, "a package that comes from elsewhere"));
            }
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "src/uploads/mod.rs";

    #[test]
    fn a_long_file_is_reported() {
        let long = "x\n".repeat(501);
        assert_eq!(file_length(HERE, &long)[0].line, 501);
        assert_eq!(file_length("web/app.js", &long).len(), 1);
        assert_eq!(file_length("ARCHITECTURE.md", &"x\n".repeat(201)).len(), 1);
        assert_eq!(file_length(HERE, &long[2..]), []);
        assert_eq!(file_length("CHANGELOG.md", &long), []);
    }

    #[test]
    fn a_long_function_is_reported_and_a_long_test_is_not() {
        let long = format!("struct S;\nfn f(a: [u8; 4]) {{\n{}}}\n", "a();\n".repeat(69));
        let reported = function_length(HERE, &long);
        assert_eq!(reported.len(), 1, "{reported:?}");
        assert_eq!((reported[0].line, reported[0].rule.contains("71 lines")), (2, true));
        assert_eq!(function_length(HERE, &format!("#[cfg(test)]\nmod tests {{\n{long}}}")), []);
        assert_eq!(function_length("tests/x.rs", &long), []);
        let short = format!("type F = fn(u8);\nfn f();\nfn g() {{\n{}}}\n", "a();\n".repeat(68));
        assert_eq!(function_length(HERE, &short), []);
    }

    #[test]
    fn a_gap_in_words_is_reported_and_columns_are_not() {
        let garbled =
            format!("f(\n    \"another file, or the{}digest of it\"\n);\n", " ".repeat(18));
        let found = gaps_in_words(HERE, &garbled);
        assert_eq!(found.len(), 1);
        assert!(found[0].to_string().contains(":2"), "{}", found[0]);
        let continued = "f(\n    \"another file, or the \\\n         digest of it\"\n);\n";
        let columns = "  longshore bench              4 uploads\n  longshore x      # a remark\n";
        assert!(gaps_in_words(HERE, &format!("{continued}{columns}")).is_empty());
    }

    #[test]
    fn an_unwrap_outside_tests_is_reported() {
        let text = "fn f() {\n  a.unwrap();\n}\n#[cfg(test)]\nmod t { fn g() { b.unwrap(); } }";
        let reported = unwraps(HERE, text);
        assert_eq!(reported.iter().map(|broken| broken.line).collect::<Vec<_>>(), [2]);
        assert_eq!(unwraps(HERE, "// .unwrap()\na.unwrap_or(b)"), []);
    }

    #[test]
    fn what_is_left_for_later_is_reported() {
        for bad in [concat!("// TO", "DO: x"), concat!("FIX", "ME"), concat!("todo", "!()")] {
            assert_eq!(left_for_later(HERE, bad).len(), 1, "{bad}");
        }
        assert_eq!(left_for_later(HERE, "TODOS, mktemp XXXXXX"), []);
    }

    #[test]
    fn a_path_or_a_package_source_of_one_machine_is_reported() {
        for bad in [
            concat!("cd /wo", "rk/main"),
            concat!("\"/ro", "ot/.cargo\""),
            concat!("see /home", "/me/x"),
            concat!("pip --index", "-url http://x"),
        ] {
            assert_eq!(machine_paths("README.md", bad).len(), 1, "{bad}");
        }
        let elsewhere = "source = \"registry+https://mirror.example/index\"";
        assert_eq!(machine_paths("Cargo.lock", elsewhere).len(), 1);
        let usual = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
        assert_eq!(machine_paths("Cargo.lock", usual), []);
        assert_eq!(machine_paths("README.md", concat!("https://example.com/wo", "rk/x")), []);
    }
}
