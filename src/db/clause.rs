//! A WHERE clause under construction: whitelisted text, and values that are bound.

use std::fmt::Write as _;

use super::dialect::Value;

/// Values that one list condition may have: SQLite takes expressions 1,000 deep.
pub(super) const LIST_MAX: usize = 500;
/// Values that one query may have. SQLite finds each placeholder by a linear search: 28,000 of them took 10 seconds.
pub(super) const VALUES_MAX: usize = 2000;
/// Longest LIKE pattern in bytes: the time to match grows with its wildcards.
const PATTERN_BYTES_MAX: usize = 4096;

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Sign {
    const fn sql(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
        }
    }
}

/// Text and the values of its placeholders.
#[derive(Debug, Clone, Default)]
pub(super) struct Clause {
    sql: String,
    values: Vec<Value>,
}

impl Clause {
    /// Empty, behind a head that has these values.
    pub(super) const fn after_values(values: Vec<Value>) -> Self {
        Self { sql: String::new(), values }
    }

    /// Text of ours, never a client's.
    pub(super) fn push(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    /// A placeholder with its value.
    pub(super) fn bind(&mut self, value: impl Into<Value>) {
        self.values.push(value.into());
        // Writing to a String does not fail.
        let _ = write!(self.sql, "${}", self.values.len());
    }

    /// `expression sign $n`
    pub(super) fn compare(&mut self, expression: &str, sign: Sign, value: impl Into<Value>) {
        let _ = write!(self.sql, "{expression} {} ", sign.sql());
        self.bind(value);
    }

    /// `expression IN ($n, ...)`
    pub(super) fn list(&mut self, expression: &str, negated: bool, values: &[&str]) {
        let _ = write!(self.sql, "{expression} {}IN (", if negated { "NOT " } else { "" });
        for (at, value) in values.iter().enumerate() {
            self.push(if at == 0 { "" } else { ", " });
            self.bind(*value);
        }
        self.push(")");
    }

    /// LIKE without regard to the case of ASCII letters; `pattern` comes from [`like_pattern`].
    pub(super) fn like(&mut self, expression: &str, negated: bool, pattern: &str) {
        let not = if negated { "NOT " } else { "" };
        let _ = write!(self.sql, "LOWER({expression}) {not}LIKE ");
        self.bind(pattern);
        self.push(" ESCAPE '\\'");
    }

    /// Whether there are more values than one query may have.
    pub(super) const fn is_too_large(&self) -> bool {
        self.values.len() > VALUES_MAX
    }

    /// The whole statement.
    pub(super) fn after(self, head: &'static str) -> (String, Vec<Value>) {
        (format!("{head}{}", self.sql), self.values)
    }
}

/// A client's LIKE pattern as both databases understand it; `None` if it is too long.
///
/// Lower-cased here and not by the database, whose LOWER follows the locale of its parameters, while columns compare as "C". A
/// backslash at the very end, an error on PostgreSQL, stands for itself.
pub(super) fn like_pattern(text: &str) -> Option<String> {
    if text.len() > PATTERN_BYTES_MAX {
        return None;
    }
    let mut pattern = text.to_ascii_lowercase();
    let trailing = pattern.bytes().rev().take_while(|&byte| byte == b'\\').count();
    if trailing % 2 == 1 {
        pattern.push('\\');
    }
    Some(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailing_backslash_is_made_whole() {
        assert_eq!(like_pattern("A%\\").as_deref(), Some("a%\\\\"));
        assert_eq!(like_pattern("a\\\\").as_deref(), Some("a\\\\"));
        assert_eq!(like_pattern("\\_É").as_deref(), Some("\\_É"));
        assert_eq!(like_pattern(&"%".repeat(PATTERN_BYTES_MAX + 1)), None);
    }

    #[test]
    fn values_are_numbered_and_never_in_the_text() {
        let mut clause = Clause::default();
        clause.compare("a", Sign::Less, "x' OR 1=1");
        clause.push(" AND ");
        clause.list("b", true, &["y", "z"]);
        let (sql, values) = clause.after("SELECT ");
        assert_eq!(sql, "SELECT a < $1 AND b NOT IN ($2, $3)");
        assert_eq!(values, [Value::from("x' OR 1=1"), "y".into(), "z".into()]);
    }
}
