//! Rust source as the rules see it: without comments and strings, with lines in place.

use std::ops::Range;

/// A broken rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) rule: String,
}

impl Broken {
    pub(crate) fn at(path: &str, text: &str, byte: usize, rule: impl Into<String>) -> Self {
        let line = 1 + text[..byte].matches('\n').count();
        Self { path: path.to_owned(), line, rule: rule.into() }
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.rule)
    }
}

/// The code with every comment, string and character blanked out; every byte keeps its place.
pub(crate) fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = at + blank_length(&text[at..], at > 0 && is_word(bytes[at - 1]));
        if end == at {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
            continue;
        }
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8(code).unwrap()
}

/// Bytes of the comment or literal that `rest` begins with; 0 if it begins with code.
fn blank_length(rest: &str, in_word: bool) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    let prefix = rest.find(|c| !matches!(c, 'b' | 'r' | 'c')).unwrap_or(rest.len());
    let prefix = if in_word { 0 } else { prefix };
    let hashes = rest[prefix..].chars().take_while(|c| *c == '#').count();
    if rest[..prefix].contains('r') && rest[prefix + hashes..].starts_with('"') {
        let close = format!("\"{}", "#".repeat(hashes));
        let start = prefix + hashes + 1;
        return rest[start..].find(&close).map_or(rest.len(), |at| start + at + close.len());
    }
    match rest.as_bytes().get(prefix) {
        Some(b'"') => quoted(rest, prefix, b'"'),
        Some(b'\'') if is_character(&rest[prefix..]) => quoted(rest, prefix, b'\''),
        _ => 0,
    }
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest.as_bytes()[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.as_bytes()[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn quoted(rest: &str, start: usize, quote: u8) -> usize {
    let bytes = rest.as_bytes();
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Whether a quote begins a character and not a lifetime.
fn is_character(rest: &str) -> bool {
    let mut chars = rest.chars().skip(1);
    matches!((chars.next(), chars.next()), (Some('\\'), Some(_)) | (Some(_), Some('\'')))
}

pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Places where `word` stands as a whole word.
pub(crate) fn words(code: &str, word: &str) -> Vec<usize> {
    let whole = |at: &usize| {
        let end = at + word.len();
        (*at == 0 || !is_word(code.as_bytes()[at - 1]))
            && code.as_bytes().get(end).is_none_or(|byte| !is_word(*byte))
    };
    code.match_indices(word).map(|(at, _)| at).filter(whole).collect()
}

/// The end of the braces that open at `open`, one past the closing one.
pub(crate) fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// Everything under `#[cfg(test)]`.
pub(crate) fn test_regions(code: &str) -> Vec<Range<usize>> {
    let mut regions = Vec::new();
    for (start, _) in code.match_indices("#[cfg(test)]") {
        let end = code[start..].find(['{', ';']).map(|at| start + at);
        match end {
            Some(open) if code.as_bytes()[open] == b'{' => regions.push(start..closing(code, open)),
            Some(end) => regions.push(start..end),
            None => {}
        }
    }
    regions
}

/// Whether the file is Rust. Names are the repository's own: lower case.
pub(crate) fn is_rust(path: &str) -> bool {
    path.rsplit('.').next() == Some("rs")
}

/// Whether the whole file is test code.
pub(crate) fn is_test_file(path: &str) -> bool {
    let tests = ["tests/", "storage/tests/", "benches/", "storage/benches/"];
    tests.iter().any(|folder| path.starts_with(folder))
        || path.contains("/tests/")
        || path.ends_with("/tests.rs")
        || path.ends_with("_tests.rs")
        || path.starts_with("storage/src/conformance")
}

/// Modules that `path` declares for tests only with `#[cfg(test)] mod name;`: their paths without an ending.
pub(crate) fn test_modules(path: &str, text: &str) -> Vec<String> {
    let code = code_only(text);
    let stem = path.trim_end_matches(".rs");
    let folder = match stem.rsplit_once('/') {
        Some((folder, "mod" | "lib" | "main")) => folder,
        _ => stem,
    };
    let mut found = Vec::new();
    for region in test_regions(&code) {
        let declared = code[region].trim_start_matches("#[cfg(test)]");
        if let Some(at) = words(declared, "mod").first() {
            let name = declared[at + "mod".len()..].trim();
            if !name.is_empty() && name.bytes().all(is_word) {
                found.push(format!("{folder}/{name}"));
            }
        }
    }
    found
}

#[test]
fn a_module_for_tests_only_is_known_by_its_declaration() {
    let text = "mod a;\n#[cfg(test)]\npub(crate) mod b;\n#[cfg(test)]\nmod c { mod d; }\n#[cfg(test)]\nuse e;";
    assert_eq!(test_modules("src/client/mod.rs", text), ["src/client/b"]);
    assert_eq!(test_modules("src/client.rs", text), ["src/client/b"]);
    assert_eq!(test_modules("src/lib.rs", text), ["src/b"]);
}

#[test]
fn comments_and_strings_are_no_code_and_lines_stay() {
    let text = "a // b\n/* c /* d */ e */ f(\"g\\\"h\", r#\"i\"j\"#, 'k', '\\'', b\"l\") 'm n\n";
    let code = code_only(text);
    assert_eq!(code.len(), text.len());
    let words: Vec<_> = code.split_whitespace().collect();
    assert_eq!(words, ["a", "f(", ",", ",", ",", ",", ")", "'m", "n"]);
    assert_eq!(code.matches('\n').count(), 2);
}

#[test]
fn test_regions_end_with_their_braces() {
    let code = "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { {} } }\nfn c() {}";
    let regions = test_regions(code);
    assert_eq!(regions.len(), 1);
    assert!(code[regions[0].clone()].ends_with("{ fn b() { {} } }"));
}
