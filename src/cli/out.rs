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

/// Between two columns.
const GAP: usize = 2;
/// A column is not made narrower than this.
const COLUMN_MIN: usize = 8;

/// Rows in columns, aligned; the first row is the heading. On a terminal the widest columns but the first, which is what other
/// commands want to have whole, are cut to fit; elsewhere nothing is.
pub fn table(rows: &[Vec<String>]) {
    let terminal = console::Term::stdout();
    let width = terminal.features().is_attended().then(|| terminal.size_checked()).flatten();
    for line in lines(rows, width.map(|(_, columns)| usize::from(columns))) {
        say(&line);
    }
}

fn lines(rows: &[Vec<String>], width: Option<usize>) -> Vec<String> {
    let columns = rows.first().map_or(0, Vec::len);
    let mut widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    if let Some(width) = width {
        fit(&mut widths, width);
    }
    let cell = |(cell, &width): (&String, &usize)| format!("{:<width$}", cut(cell, width));
    let line = |row: &Vec<String>| {
        let cells: Vec<_> = row.iter().zip(&widths).map(cell).collect();
        cells.join(&" ".repeat(GAP)).trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Takes from the widest column but the first, one by one, until all fit or nothing is left to take.
fn fit(widths: &mut [usize], width: usize) {
    let gaps = GAP * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > width {
        let widest = widths.iter_mut().skip(1).max_by_key(|width| **width);
        match widest.filter(|width| **width > COLUMN_MIN) {
            Some(widest) => *widest -= 1,
            None => return,
        }
    }
}

fn cut(cell: &str, width: usize) -> String {
    if cell.chars().count() <= width {
        return cell.to_owned();
    }
    let kept: String = cell.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[31m\u{9b}b\nc"), "a\u{fffd}[31m\u{fffd}b\nc");
    }

    #[test]
    fn tables_fit_the_terminal_and_are_whole_in_a_pipe() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [
            row(["UUID", "STATE", "NAME"]),
            row(["0123456789abcdef0123456789abcdef", "Running", "a name that is rather long 磁盘"]),
        ];
        let whole = lines(&rows, None);
        assert!(whole[1].ends_with("rather long 磁盘"), "{whole:?}");
        let narrow = lines(&rows, Some(60));
        assert!(narrow.iter().all(|line| line.chars().count() <= 60), "{narrow:?}");
        assert!(narrow[1].starts_with("0123456789abcdef0123456789abcdef  Running"), "{narrow:?}");
        assert!(narrow[1].ends_with('…'), "{narrow:?}");
        let hopeless = lines(&rows, Some(10));
        assert!(hopeless[1].starts_with("0123456789abcdef0123456789abcdef"), "{hopeless:?}");
    }
}
