//! Conditions in the words of the indexes (migration 0004): the same answers, found without looking at every row.

use crate::domain::query::{Condition, Operator};

use super::clause::{Clause, Sign, like_pattern};

/// Columns that hold no NULL and that pages are sorted by: saying where NULLs come would keep PostgreSQL from using their index.
const NEVER_NULL: [&str; 10] = [
    "j.created_ms",
    "j.last_op_ms",
    "j.uuid",
    "i.created_ms",
    "i.last_op_ms",
    "i.uuid",
    "t.created_ms",
    "t.uuid",
    "h.id",
    "h.started_ms",
];

/// Where NULLs come in an order by this expression.
pub(super) fn null_order(expression: &str) -> &'static str {
    if NEVER_NULL.contains(&expression) { "" } else { " NULLS LAST" }
}

/// Whether a condition finds a few rows by an index of its own, whoever's they are.
pub(super) fn is_selective(condition: &Condition) -> bool {
    match condition.field.as_str() {
        "uuid" | "apiId" | "targetResourceUuid" | "resourceUuid" | "tag" | "__systemTag__"
        | "__userTag__" | "id" | "fireInstanceId" | "schedulerJobUuid" | "triggerUuid" => {
            found_by_text(condition.operator)
        }
        "name" => match condition.operator {
            Operator::Equal => true,
            Operator::Like => {
                like_pattern(&condition.value).is_some_and(|p| range_of(&p).is_some())
            }
            Operator::NotEqual
            | Operator::Greater
            | Operator::GreaterOrEqual
            | Operator::Less
            | Operator::LessOrEqual
            | Operator::In
            | Operator::NotIn
            | Operator::NotLike
            | Operator::IsNull
            | Operator::NotNull => false,
        },
        _ => false,
    }
}

/// A column that is compared but not searched by. SQLite, which knows no statistics, would go through all rows of an account,
/// because they come in order, to find the one with an id.
pub(super) fn not_by_index(column: &str) -> String {
    format!("COALESCE({column}, '')")
}

/// Whether this comparison finds tags by their text through an index.
pub(super) const fn found_by_text(operator: Operator) -> bool {
    match operator {
        Operator::Equal | Operator::In => true,
        Operator::NotEqual
        | Operator::Greater
        | Operator::GreaterOrEqual
        | Operator::Less
        | Operator::LessOrEqual
        | Operator::NotIn
        | Operator::Like
        | Operator::NotLike
        | Operator::IsNull
        | Operator::NotNull => false,
    }
}

/// Names of jobs and images have an index over their lower-case form.
fn has_lower_index(sql: &str) -> bool {
    sql == "j.name" || sql == "i.name"
}

/// Ahead of `name = value`: the few rows that differ in case at the most.
pub(super) fn narrow_equal(clause: &mut Clause, sql: &str, value: &str) {
    if has_lower_index(sql) {
        clause.compare(&format!("LOWER({sql})"), Sign::Equal, value.to_ascii_lowercase());
        clause.push(" AND ");
    }
}

/// Ahead of `LOWER(name) LIKE pattern`: the range of names that begin as the pattern does.
pub(super) fn narrow_like(clause: &mut Clause, sql: &str, pattern: &str) {
    if !has_lower_index(sql) {
        return;
    }
    let Some((from, below)) = range_of(pattern) else { return };
    let lower = format!("LOWER({sql})");
    clause.compare(&lower, Sign::GreaterOrEqual, from);
    clause.push(" AND ");
    clause.compare(&lower, Sign::Less, below);
    clause.push(" AND ");
}

/// Everything that begins with the letters before the pattern's first wildcard: from the first text on, below the second, compared
/// byte by byte. `None` if it begins with a wildcard.
fn range_of(pattern: &str) -> Option<(String, String)> {
    let mut from = String::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '%' | '_' => break,
            '\\' => from.push(letters.next()?),
            other => from.push(other),
        }
    }
    let mut below = from.clone();
    while let Some(last) = below.pop() {
        if let Some(next) = following(last) {
            below.push(next);
            return Some((from, below));
        }
    }
    None
}

/// The next character in order of code points, which is the order of their bytes.
fn following(letter: char) -> Option<char> {
    match letter {
        '\u{d7ff}' => Some('\u{e000}'),
        other => char::from_u32(u32::from(other) + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_begins_where_its_letters_do() {
        let range = |pattern: &str| range_of(pattern);
        let row = |from: &str, below: &str| Some((from.to_owned(), below.to_owned()));
        assert_eq!(range("ren%"), row("ren", "reo"));
        assert_eq!(range("a_c"), row("a", "b"));
        assert_eq!(range("100\\%%"), row("100%", "100&"));
        assert_eq!(range("a\\\\"), row("a\\", "a]"));
        assert_eq!(range("z\u{10ffff}%"), row("z\u{10ffff}", "{"));
        assert_eq!(range("\u{d7ff}"), row("\u{d7ff}", "\u{e000}"));
        for none in ["%a", "_", "", "\u{10ffff}%"] {
            assert_eq!(range(none), None, "{none}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_begins_so_is_in_the_range(start in "[a-z\\PC]{1,5}", rest in "\\PC{0,5}") {
            let start = start.to_ascii_lowercase().replace(['%', '_', '\\'], "x");
            if let Some((from, below)) = range_of(&format!("{start}%")) {
                let name = format!("{start}{rest}");
                proptest::prop_assert!(from <= name && name < below);
            }
        }
    }
}
