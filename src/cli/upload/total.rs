//! Where a command with several files stands.

use std::path::{Path, PathBuf};

use crate::cli::{
    out,
    progress::{Among, Show},
    said::Said,
};

/// Counts of the files of one command. Says nothing where there is only one: its own events do.
pub(super) struct Total {
    files: usize,
    begun: usize,
    begun_bytes: u64,
    ready: usize,
    failed: usize,
    bytes: u64,
    ready_bytes: u64,
}

impl Total {
    /// Before the first.
    pub(super) fn of(files: &[PathBuf]) -> Self {
        let bytes = files.iter().map(|file| length(file)).fold(0, u64::saturating_add);
        let files = files.len();
        Self { files, begun: 0, begun_bytes: 0, ready: 0, failed: 0, bytes, ready_bytes: 0 }
    }

    /// The next one begins.
    pub(super) fn next(&mut self, file: &Path) -> Among {
        self.begun += 1;
        let before_bytes = self.begun_bytes;
        self.begun_bytes = before_bytes.saturating_add(length(file));
        Among { number: self.begun, of: self.files, before_bytes, all_bytes: self.bytes }
    }

    /// It is an image, or not.
    pub(super) fn ended(&mut self, file: &Path, ready: bool) {
        if ready {
            self.ready += 1;
            self.ready_bytes = self.ready_bytes.saturating_add(length(file));
        } else {
            self.failed += 1;
        }
    }

    /// Tells scripts at any time, people at the end.
    pub(super) fn say(&self, show: Show) {
        if self.files < 2 {
            return;
        }
        let Self { files, ready, failed, bytes, ready_bytes, .. } = *self;
        if show.json {
            out::say_json(&Said::Total { files, ready, failed, bytes, ready_bytes });
        } else if !show.quiet && ready + failed == files {
            let bad = if failed > 0 { format!("; {failed} are not") } else { String::new() };
            let size = out::size(ready_bytes);
            out::complain(&format!("{ready} of {files} files are images ({size}){bad}"));
        }
    }
}

/// What cannot be looked at is told when its turn comes.
fn length(file: &Path) -> u64 {
    let regular = std::fs::metadata(file).ok().filter(std::fs::Metadata::is_file);
    regular.map_or(0, |metadata| metadata.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_with_their_bytes_and_what_is_no_file_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (name, length) in [("a", 10), ("b", 30)] {
            std::fs::write(path(name), vec![0; length]).unwrap();
        }
        let files = [path("a"), path("none"), folder.path().to_owned(), path("b")];
        let mut total = Total::of(&files);
        assert_eq!((total.files, total.bytes), (4, 40));
        for (file, ready) in files.iter().zip([true, false, false, true]) {
            let among = total.next(file);
            assert_eq!((among.of, among.all_bytes), (4, 40));
            assert_eq!(among.before_bytes, if among.number == 1 { 0 } else { 10 });
            total.ended(file, ready);
        }
        assert_eq!((total.ready, total.failed, total.ready_bytes), (2, 2, 40));
    }
}
