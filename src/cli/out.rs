//! Writes to the standard streams. A reader that left (`| head`) ends the command quietly.

use std::io::{self, Write};

use serde::Serialize;

/// A line to standard output. Ends the process with code 0 if nobody reads it.
pub fn say(line: &str) {
    settle(writeln!(io::stdout().lock(), "{}", printable(line)));
}

/// A value as one line of JSON to standard output.
pub fn say_json<T: Serialize>(value: &T) {
    let text = serde_json::to_string(value).unwrap_or_else(|error| format!("\"{error}\""));
    settle(writeln!(io::stdout().lock(), "{text}"));
}

/// A line to standard error. Lost if nobody reads it.
pub fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", printable(line));
}

/// A question to standard error, without a line's end.
pub fn ask(question: &str) {
    let mut stream = io::stderr().lock();
    let _ = write!(stream, "{question}");
    let _ = stream.flush();
}

fn settle(written: io::Result<()>) {
    if written.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        std::process::exit(0);
    }
}

/// Text of a server or a file name without what a terminal would take as a command.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c })
        .collect()
}

/// Bytes in a unit that people read.
pub fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

/// Rows in columns, aligned; the first row is the heading.
pub fn table(rows: &[Vec<String>]) {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        say(cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[31m\u{9b}b\nc"), "a\u{fffd}[31m\u{fffd}b\nc");
    }
}
