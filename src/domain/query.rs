//! ZStack's query grammar (zstack.md 1.6) as data. Which fields exist is known to whoever runs the query.

/// Conditions that one query may have.
pub const CONDITIONS_MAX: usize = 64;
/// Rows that one query answers if it does not say how many, and the most it may ask for.
pub const LIMIT_DEFAULT: u64 = 1000;

/// How a field is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `?=`, a list separated by commas
    In,
    /// `!?=`
    NotIn,
    /// `~=`, with `%` and `_`
    Like,
    /// `!~=`
    NotLike,
    /// `is null`
    IsNull,
    /// `not null`
    NotNull,
}

/// One condition `field<op>value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Name of the field, trimmed.
    pub field: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what, not trimmed; empty for the null tests.
    pub value: String,
}

/// One query. All conditions have to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Conditions, joined by AND.
    pub conditions: Vec<Condition>,
    /// Rows at the most.
    pub limit: u64,
    /// Rows to leave out first.
    pub start: u64,
    /// Field to sort by, and whether descending.
    pub sort: Option<(String, bool)>,
    /// Only the number of rows is wanted.
    pub count: bool,
    /// The number of all rows is wanted too.
    pub reply_with_count: bool,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            conditions: Vec::new(),
            limit: LIMIT_DEFAULT,
            start: 0,
            sort: None,
            count: false,
            reply_with_count: false,
        }
    }
}

/// Rows that a query found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows, at most `limit`; empty for `count`.
    pub rows: Vec<T>,
    /// Rows that match without limit and start, where it was asked for.
    pub total: Option<u64>,
}

/// Operators in the order in which ZStack looks for them, anywhere in the condition: `name=a>=b` is split at `>=`.
const ORDER: [(&str, Operator); 12] = [
    ("!=", Operator::NotEqual),
    (">=", Operator::GreaterOrEqual),
    ("<=", Operator::LessOrEqual),
    ("!?=", Operator::NotIn),
    ("!~=", Operator::NotLike),
    ("~=", Operator::Like),
    ("?=", Operator::In),
    ("=", Operator::Equal),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("is null", Operator::IsNull),
    ("not null", Operator::NotNull),
];

impl Condition {
    /// Reads `field<op>value`; `None` if there is no operator in it.
    pub fn parse(text: &str) -> Option<Self> {
        let (at, sign, operator) = ORDER
            .iter()
            .find_map(|(sign, operator)| text.find(sign).map(|at| (at, *sign, *operator)))?;
        Some(Self {
            field: text[..at].trim().to_owned(),
            operator,
            value: text[at + sign.len()..].to_owned(),
        })
    }

    /// The values of a list condition: separated by commas, trimmed.
    pub fn list(&self) -> impl Iterator<Item = &str> {
        self.value.split(',').map(str::trim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<(String, Operator, String)> {
        Condition::parse(text).map(|c| (c.field, c.operator, c.value))
    }

    #[test]
    fn operators_are_found_in_zstacks_order() {
        let row = |f: &str, o, v: &str| Some((f.to_owned(), o, v.to_owned()));
        assert_eq!(parsed("name=x"), row("name", Operator::Equal, "x"));
        assert_eq!(parsed("name=a>=b"), row("name=a", Operator::GreaterOrEqual, "b"));
        assert_eq!(parsed(" state != Failed"), row("state", Operator::NotEqual, " Failed"));
        assert_eq!(parsed("name~=ren%"), row("name", Operator::Like, "ren%"));
        assert_eq!(parsed("name!~=ren%"), row("name", Operator::NotLike, "ren%"));
        assert_eq!(parsed("uuid?=a, b"), row("uuid", Operator::In, "a, b"));
        assert_eq!(parsed("uuid!?=a"), row("uuid", Operator::NotIn, "a"));
        assert_eq!(parsed("description is null"), row("description", Operator::IsNull, ""));
        assert_eq!(parsed("executeTime>5"), row("executeTime", Operator::Greater, "5"));
        assert_eq!(parsed("nothing"), None);
        assert_eq!(parsed(""), None);
    }
}
