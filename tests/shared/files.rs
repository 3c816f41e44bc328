//! Files as others see them: the directory tree, and the sums of the operating system's own tools.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What the operating system's own tool says of a file.
pub(crate) fn sum_of(tool: &str, path: &Path) -> String {
    let output = Command::new(tool).arg(path).output().expect("coreutils are installed");
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().next().unwrap().trim_start_matches('\\').to_owned()
}

/// Every file below a directory; none if it is not there.
pub(crate) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}
