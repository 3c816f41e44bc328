//! ZStack's query grammar as SQL. Names come from the tables in `queryable.rs`, values are always bound: nothing that a client sends
//! becomes part of a statement.

use crate::domain::{
    account::Scope,
    query::{CONDITIONS_MAX, Condition, LIMIT_DEFAULT, Operator, Page, Query},
};

use super::{
    DbError, Result,
    clause::{Clause, LIST_MAX, Sign, VALUES_MAX, like_pattern},
    dialect::{Dialect, SqlText, Value},
    query_index::{
        found_by_text, is_selective, narrow_equal, narrow_like, not_by_index, null_order,
    },
    query_time::{Moment, moment},
    sql::SqlDatabase,
    values::rows_max,
};

use super::queryable::{Field, Kind, Queryable};
pub(super) use super::queryable::{
    IMAGES, JOBS, RUNS, SCHEDULED_JOB_GROUPS, SCHEDULED_JOBS, STORAGES, SYSTEM_TAGS, TRIGGERS,
    USER_TAGS,
};

/// Runs a query over the records that `scope` may see.
pub(super) async fn page<D: Dialect, T>(
    database: &SqlDatabase<D>,
    of: &Queryable,
    query: &Query,
    scope: Scope,
    convert: fn(&D::Row) -> Result<T>,
) -> Result<Page<T>> {
    page_over(database, of, Vec::new(), query, scope, convert).await
}

/// [`page`] over records whose statements begin with these values.
pub(super) async fn page_over<D: Dialect, T>(
    database: &SqlDatabase<D>,
    of: &Queryable,
    values: Vec<Value>,
    query: &Query,
    scope: Scope,
    convert: fn(&D::Row) -> Result<T>,
) -> Result<Page<T>> {
    let Statements { total, rows } = statements(of, values, query, scope)?;
    let mut page = Page { rows: Vec::new(), total: None };
    if let Some((sql, values)) = total {
        page.total = Some(database.read_number(SqlText::Built(sql), values).await?);
    }
    if let Some((sql, values)) = rows {
        page.rows = database.read_all(SqlText::Built(sql), values, convert).await?;
    }
    Ok(page)
}

/// What one query asks the database.
pub(super) struct Statements {
    pub(super) total: Option<(String, Vec<Value>)>,
    pub(super) rows: Option<(String, Vec<Value>)>,
}

pub(super) fn statements(
    of: &Queryable,
    values: Vec<Value>,
    query: &Query,
    scope: Scope,
) -> Result<Statements> {
    let conditions = conditions(of, values, query, scope)?;
    // Also where only the number is wanted: an unknown field is an error in every query.
    let order = order(of, query)?;
    let total = if query.count || query.reply_with_count {
        Some(match tallied(of, query, scope)? {
            Some(tallied) => tallied,
            None => conditions.clone().after(of.count),
        })
    } else {
        None
    };
    if query.count {
        return Ok(Statements { total, rows: None });
    }
    let mut all = conditions;
    all.push(&order);
    all.push(" LIMIT ");
    all.bind(rows_max(query.limit.min(LIMIT_DEFAULT)));
    all.push(" OFFSET ");
    all.bind(rows_max(query.start));
    Ok(Statements { total, rows: Some(all.after(of.select)) })
}

/// The total as a sum over the tally, if the conditions name nothing that it does not have. The caller has checked them.
fn tallied(of: &Queryable, query: &Query, scope: Scope) -> Result<Option<(String, Vec<Value>)>> {
    let (Some(tally), Some(account)) = (&of.tally, of.account) else { return Ok(None) };
    if query.conditions.iter().any(|condition| condition.field != tally.by) {
        return Ok(None);
    }
    let mut clause = Clause::default();
    let whose = match scope {
        // The row of all accounts together.
        Scope::All => String::new(),
        Scope::Account(uuid) => uuid.to_string(),
    };
    clause.compare(account, Sign::Equal, whose);
    for condition in &query.conditions {
        clause.push(" AND ");
        field_condition(&mut clause, field(of, &condition.field)?, condition)?;
    }
    Ok(Some(clause.after(tally.select)))
}

fn field<'q>(of: &'q Queryable, name: &str) -> Result<&'q Field> {
    of.fields.iter().find(|field| field.name == name).ok_or_else(|| DbError::UnknownField {
        field: name.chars().take(64).collect::<String>().escape_debug().to_string(),
    })
}

fn order(of: &Queryable, query: &Query) -> Result<String> {
    let (by, way) = match &query.sort {
        Some((name, true)) => (field(of, name)?.sql, "DESC"),
        Some((name, false)) => (field(of, name)?.sql, "ASC"),
        None => (of.created, "ASC"),
    };
    // The uuid makes the order total: pages neither repeat nor skip a row.
    Ok(format!(" ORDER BY {by} {way}{nulls}, {uuid} ASC", nulls = null_order(by), uuid = of.uuid))
}

fn conditions(of: &Queryable, values: Vec<Value>, query: &Query, scope: Scope) -> Result<Clause> {
    if query.conditions.len() > CONDITIONS_MAX {
        let given = format!("{} conditions, at most {CONDITIONS_MAX}", query.conditions.len());
        return Err(DbError::bad_value("q", &given));
    }
    let mut clause = Clause::after_values(values);
    clause.push(of.only);
    if let (Scope::Account(uuid), Some(account)) = (scope, of.account) {
        clause.push(" AND ");
        if query.conditions.iter().any(is_selective) {
            clause.compare(&not_by_index(account), Sign::Equal, uuid);
        } else {
            clause.compare(account, Sign::Equal, uuid);
        }
    }
    for condition in &query.conditions {
        if condition.value.contains('\0') {
            return Err(DbError::bad_value(&condition.field, &condition.value));
        }
        clause.push(" AND ");
        match (condition.field.as_str(), of.tags) {
            ("__systemTag__", Some(on)) => {
                tag_condition(&mut clause, of, (on, "system"), condition)?;
            }
            ("__userTag__", Some(on)) => tag_condition(&mut clause, of, (on, "user"), condition)?,
            (name, _) => field_condition(&mut clause, field(of, name)?, condition)?,
        }
        if clause.is_too_large() {
            return Err(DbError::bad_value("q", &format!("more than {VALUES_MAX} values")));
        }
    }
    Ok(clause)
}

fn field_condition(clause: &mut Clause, field: &Field, condition: &Condition) -> Result<()> {
    let (sql, value) = (field.sql, condition.value.as_str());
    match condition.operator {
        Operator::Equal => {
            narrow_equal(clause, sql, value);
            compare(clause, field, Sign::Equal, value)
        }
        Operator::NotEqual => compare(clause, field, Sign::NotEqual, value),
        Operator::Greater => compare(clause, field, Sign::Greater, value),
        Operator::GreaterOrEqual => compare(clause, field, Sign::GreaterOrEqual, value),
        Operator::Less => compare(clause, field, Sign::Less, value),
        Operator::LessOrEqual => compare(clause, field, Sign::LessOrEqual, value),
        Operator::In => list(clause, field, false, condition),
        Operator::NotIn => list(clause, field, true, condition),
        Operator::Like => like(clause, field, false, condition),
        Operator::NotLike => like(clause, field, true, condition),
        Operator::IsNull => {
            clause.push(&format!("({sql}) IS NULL"));
            Ok(())
        }
        Operator::NotNull => {
            clause.push(&format!("({sql}) IS NOT NULL"));
            Ok(())
        }
    }
}

/// One comparison with one value, which has to fit the field.
fn compare(clause: &mut Clause, field: &Field, sign: Sign, value: &str) -> Result<()> {
    let bad = || DbError::bad_value(field.name, value);
    let sql = field.sql;
    match field.kind {
        Kind::Text => clause.compare(&format!("({sql})"), sign, value),
        Kind::Number => {
            let number: i64 = value.trim().parse().map_err(|_| bad())?;
            clause.compare(&format!("({sql})"), sign, number);
        }
        Kind::Flag => {
            let truth = match value.trim().to_ascii_lowercase().as_str() {
                "true" | "1" => 1,
                "false" | "0" => 0,
                _ => return Err(bad()),
            };
            clause.compare(&format!("({sql})"), sign, truth);
        }
        Kind::Time => match moment(value).ok_or_else(bad)? {
            Moment::Millisecond(ms) => clause.compare(sql, sign, ms),
            // Wire times show whole seconds: what a client saw has to find its row.
            Moment::Second(secs) => clause.compare(&format!("({sql} / 1000)"), sign, secs),
        },
    }
    Ok(())
}

fn list(clause: &mut Clause, field: &Field, negated: bool, condition: &Condition) -> Result<()> {
    let values = condition.list().take(LIST_MAX + 1).collect::<Vec<_>>();
    if values.len() > LIST_MAX {
        let given = format!("more than {LIST_MAX} values");
        return Err(DbError::bad_value(field.name, &given));
    }
    if field.kind == Kind::Text {
        clause.list(&format!("({})", field.sql), negated, &values);
        return Ok(());
    }
    clause.push(if negated { "NOT (" } else { "(" });
    for (at, value) in values.into_iter().enumerate() {
        clause.push(if at == 0 { "" } else { " OR " });
        compare(clause, field, Sign::Equal, value)?;
    }
    clause.push(")");
    Ok(())
}

fn like(clause: &mut Clause, field: &Field, negated: bool, condition: &Condition) -> Result<()> {
    let bad = || DbError::bad_value(field.name, &condition.value);
    let pattern = like_pattern(&condition.value).ok_or_else(bad)?;
    let sql = field.sql;
    let sql = match field.kind {
        Kind::Text => format!("({sql})"),
        Kind::Number => format!("CAST(({sql}) AS TEXT)"),
        Kind::Flag => format!("(CASE WHEN ({sql}) = 1 THEN 'true' ELSE 'false' END)"),
        // A time has no one text; ask for a range.
        Kind::Time => return Err(bad()),
    };
    if !negated {
        narrow_like(clause, field.sql, &pattern);
    }
    clause.like(&sql, negated, &pattern);
    Ok(())
}

/// A condition over tags holds if one tag meets it; its negation if none does.
fn tag_condition(
    clause: &mut Clause,
    of: &Queryable,
    (on, kind): (&'static str, &'static str),
    condition: &Condition,
) -> Result<()> {
    const TAG: Field = Field { name: "tag", sql: "t.tag", kind: Kind::Text };
    let (exists, operator) = match condition.operator {
        Operator::NotEqual => ("NOT EXISTS", Some(Operator::Equal)),
        Operator::NotIn => ("NOT EXISTS", Some(Operator::In)),
        Operator::NotLike => ("NOT EXISTS", Some(Operator::Like)),
        Operator::IsNull => ("NOT EXISTS", None),
        Operator::NotNull => ("EXISTS", None),
        Operator::Equal
        | Operator::Greater
        | Operator::GreaterOrEqual
        | Operator::Less
        | Operator::LessOrEqual
        | Operator::In
        | Operator::Like => ("EXISTS", Some(condition.operator)),
    };
    if exists == "EXISTS" && operator.is_some_and(found_by_text) {
        // From the tag to its few resources, and not from every resource to its tags.
        clause.push(&format!(
            "{} IN (SELECT t.resource_uuid FROM tag t WHERE t.resource_type = '{on}' \
             AND t.kind = '{kind}'",
            of.uuid
        ));
    } else {
        clause.push(&format!(
            "{exists} (SELECT 1 FROM tag t WHERE t.resource_uuid = {} \
             AND t.resource_type = '{on}' AND t.kind = '{kind}'",
            of.uuid
        ));
    }
    if let Some(operator) = operator {
        clause.push(" AND ");
        let positive = Condition { operator, ..condition.clone() };
        field_condition(clause, &TAG, &positive)?;
    }
    clause.push(")");
    Ok(())
}
