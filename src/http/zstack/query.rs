//! ZStack's queries (zstack.md 1.6): the query string, and what is answered to it, the same for every kind of record.

use actix_web::{HttpRequest, HttpResponse, web};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Map, Value};

use super::{
    call::Call,
    error::{Fault, Refusal},
};
use crate::{
    domain::{
        account::Caller,
        query::{CONDITIONS_MAX, Condition, LIMIT_DEFAULT, Operator, Page, Query},
        text::{at_most, shown},
    },
    http::headers::digits,
    jobs::JobError,
    wire::zstack::{Element, Inventories, Schema, read_timestamp},
};

pub(super) use crate::http::query::pairs;

/// Longest condition that an answer repeats.
const CONDITION_CHARS_MAX: usize = 256;

/// An inventory that is queried.
pub(super) trait Queried: Element + serde::Serialize + Sized {
    /// Those that match and that the caller may see, as the caller sees them.
    async fn find(call: &Call, caller: Caller, query: &Query) -> Result<Page<Self>, Refusal>;

    /// Why a query failed, with the class of the inventory where a field is unknown.
    fn refusal(error: JobError) -> Refusal {
        Refusal::of_query(error, Self::CLASS)
    }
}

/// The query of a collection.
pub(super) async fn all<T: Queried>(
    call: Call,
    request: HttpRequest,
) -> Result<HttpResponse, Fault> {
    run::<T>(call, &request, None).await
}

/// The query of one record: a condition more, and an empty list where it is not met.
pub(super) async fn one<T: Queried>(
    call: Call,
    request: HttpRequest,
    uuid: web::Path<String>,
) -> Result<HttpResponse, Fault> {
    run::<T>(call, &request, Some(uuid.into_inner())).await
}

async fn run<T: Queried>(
    call: Call,
    request: &HttpRequest,
    uuid: Option<String>,
) -> Result<HttpResponse, Fault> {
    let caller = call.caller().await?;
    let mut asked = call.check(read::<T>(request.query_string(), call.zone())?)?;
    let field = || "uuid".to_owned();
    // NUL is in no uuid, and the records would refuse to look for it.
    let is_none = uuid.as_ref().is_some_and(|uuid| uuid.contains('\0'));
    asked.query.conditions.extend(uuid.filter(|_| !is_none).map(|value| Condition {
        field: field(),
        operator: Operator::Equal,
        value,
    }));
    if is_none {
        let operator = Operator::IsNull;
        asked.query.conditions.push(Condition { field: field(), operator, value: String::new() });
    }
    let page = call.check(T::find(&call, caller, &asked.query).await)?;
    let answer = answer(&asked, page.rows, page.total);
    call.check(answer)
}

/// A query as it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    /// What the records are asked.
    query: Query,
    /// The fields that the answer is cut down to.
    fields: Option<Vec<String>>,
}

/// Reads the query string of a query over `T`. What is badly formed is a 400; what is not offered is refused in words. `groupBy`
/// and `filterName` are: an answer that ignored them would be another one than was asked for. Unknown parameters are passed over.
fn read<T: Element>(query_string: &str, zone: &TimeZone) -> Result<Result<Asked, Refusal>, Fault> {
    let mut asked = Asked { query: Query::default(), fields: None };
    let mut seen: Vec<String> = Vec::new();
    let mut refusal = None;
    for (name, value) in pairs(query_string)? {
        if name == "q" {
            conditions(&mut asked.query, &value, zone)?;
            continue;
        }
        if seen.contains(&name) && is_ours(&name) {
            return Err(Fault::bad_request(format!(
                "more than one value for the parameter[{name}]"
            )));
        }
        match name.as_str() {
            "limit" => asked.query.limit = whole(&name, &value)?.min(LIMIT_DEFAULT),
            "start" => asked.query.start = whole(&name, &value)?,
            "count" => asked.query.count = flag(&name, &value)?,
            "replyWithCount" => asked.query.reply_with_count = flag(&name, &value)?,
            "sort" => asked.query.sort = sort(&value),
            "fields" => match fields::<T>(&value) {
                Ok(fields) => asked.fields = fields,
                Err(error) => refusal = Some(error),
            },
            "groupBy" | "filterName" if !value.trim().is_empty() => {
                refusal = Some(Refusal::invalid(format!(
                    "the query parameter[{name}] is not supported by this service; leave it out"
                )));
            }
            _ => {}
        }
        seen.push(name);
    }
    Ok(refusal.map_or(Ok(asked), Err))
}

fn is_ours(name: &str) -> bool {
    ["limit", "start", "count", "replyWithCount", "sort", "fields"].contains(&name)
}

fn conditions(query: &mut Query, text: &str, zone: &TimeZone) -> Result<(), Fault> {
    if text.trim().is_empty() {
        return Ok(());
    }
    let condition = Condition::parse(text).ok_or_else(|| {
        let text = at_most(text, CONDITION_CHARS_MAX);
        Fault::bad_request(format!(
            "Invalid query parameter. The '{text}' in the parameter[q] doesn't contain any query operator. \
             Valid query operators are [!=, >=, <=, !?=, !~=, ~=, ?=, =, >, <, is null, not null]"
        ))
    })?;
    query.conditions.push(in_zone(condition, zone));
    if query.conditions.len() > CONDITIONS_MAX {
        return Err(Fault::bad_request(format!("at most {CONDITIONS_MAX} conditions are taken")));
    }
    Ok(())
}

/// A time on the wire is in the wire's time zone and does not say so; the records take it with one.
fn in_zone(condition: Condition, zone: &TimeZone) -> Condition {
    let field = condition.field.rsplit('.').next().unwrap_or_default();
    if !["createDate", "lastOpDate", "startTime"].contains(&field) {
        return condition;
    }
    let zoned = |text: &str| match read_timestamp(text, zone).map(Timestamp::from_millisecond) {
        Some(Ok(time)) => time.to_string(),
        Some(Err(_)) | None => text.to_owned(),
    };
    let value = match condition.operator {
        Operator::In | Operator::NotIn => condition.list().map(zoned).collect::<Vec<_>>().join(","),
        Operator::Equal
        | Operator::NotEqual
        | Operator::Greater
        | Operator::GreaterOrEqual
        | Operator::Less
        | Operator::LessOrEqual
        | Operator::Like
        | Operator::NotLike
        | Operator::IsNull
        | Operator::NotNull => zoned(&condition.value),
    };
    Condition { value, ..condition }
}

fn whole(name: &str, value: &str) -> Result<u64, Fault> {
    let number = digits(value.trim_matches(' '));
    number.filter(|&number| i64::try_from(number).is_ok()).ok_or_else(|| {
        let value = shown(value);
        Fault::bad_request(format!("the parameter[{name}] is not a whole number: [{value}]"))
    })
}

fn flag(name: &str, value: &str) -> Result<bool, Fault> {
    match value.trim() {
        text if text.eq_ignore_ascii_case("true") => Ok(true),
        text if text.is_empty() || text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(Fault::bad_request(format!("the parameter[{name}] is neither true nor false"))),
    }
}

/// `+f`, `-f` or `f`; an unescaped `+` arrives as a space.
fn sort(value: &str) -> Option<(String, bool)> {
    let value = value.trim();
    let (name, descending) = match value.strip_prefix('-') {
        Some(name) => (name, true),
        None => (value.strip_prefix('+').unwrap_or(value), false),
    };
    Some((name.trim().to_owned(), descending)).filter(|(name, _)| !name.is_empty())
}

fn fields<T: Element>(value: &str) -> Result<Option<Vec<String>>, Refusal> {
    let names = value.split(',').map(str::trim).filter(|name| !name.is_empty());
    let mut kept = Vec::new();
    for name in names {
        if !T::FIELDS.contains(&name) {
            return Err(Refusal::invalid(format!(
                "field[{}] is invalid, no such field on inventory class[{}]",
                shown(name),
                T::CLASS
            )));
        }
        if !kept.iter().any(|there| there == name) {
            kept.push(name.to_owned());
        }
    }
    Ok(Some(kept).filter(|kept| !kept.is_empty()))
}

/// An inventory cut down to some of its fields.
fn cut<T: serde::Serialize>(row: &T, fields: &[String]) -> Result<Value, Refusal> {
    match serde_json::to_value(row) {
        Ok(Value::Object(mut object)) => {
            let kept: Map<String, Value> = fields
                .iter()
                .filter_map(|name| object.remove(name).map(|value| (name.clone(), value)))
                .collect();
            Ok(Value::Object(kept))
        }
        Ok(_) => Err(Refusal::Defect("an inventory is not an object".to_owned())),
        Err(error) => Err(Refusal::Defect(error.to_string())),
    }
}

/// The answer to a query: rows, or only their number.
fn answer<T: Element + serde::Serialize>(
    asked: &Asked,
    rows: Vec<T>,
    total: Option<u64>,
) -> Result<HttpResponse, Refusal> {
    if asked.query.count {
        let body = Inventories::<Value> { inventories: None, total: Some(total.unwrap_or(0)) };
        return Ok(Call::query_reply(body, Schema::default()));
    }
    let total = asked.query.reply_with_count.then(|| total.unwrap_or(0));
    let Some(fields) = &asked.fields else {
        let schema = Schema::list("inventories", &rows, None);
        return Ok(Call::query_reply(Inventories { inventories: Some(rows), total }, schema));
    };
    let present = rows.iter().map(|row| cut(row, fields)).collect::<Result<Vec<_>, _>>()?;
    let schema = Schema::list("inventories", &rows, Some(fields));
    Ok(Call::query_reply(Inventories { inventories: Some(present), total }, schema))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::zstack::LongJobInventory;

    fn read(query_string: &str) -> Result<Result<Asked, Refusal>, Fault> {
        super::read::<LongJobInventory>(query_string, &TimeZone::UTC)
    }

    #[test]
    fn the_recorded_query_is_read() {
        let asked = read(concat!(
            "q=name%7E%3Dren%25&q=state%21%3DFailed&q=jobName%3F%3DAPIAddImageMsg%2CAPIOther",
            "&limit=1&start=0&replyWithCount=true&sort=-createDate"
        ))
        .unwrap()
        .unwrap();
        let shown: Vec<_> = asked
            .query
            .conditions
            .iter()
            .map(|c| (c.field.as_str(), c.operator, c.value.as_str()))
            .collect();
        assert_eq!(
            shown,
            [
                ("name", Operator::Like, "ren%"),
                ("state", Operator::NotEqual, "Failed"),
                ("jobName", Operator::In, "APIAddImageMsg,APIOther"),
            ]
        );
        assert_eq!((asked.query.limit, asked.query.start), (1, 0));
        assert_eq!(asked.query.sort, Some(("createDate".to_owned(), true)));
        assert!(asked.query.reply_with_count && !asked.query.count);
    }

    #[test]
    fn sorting_up_is_written_in_three_ways() {
        for text in ["sort=%2BcreateDate", "sort=+createDate", "sort=createDate"] {
            let asked = read(text).unwrap().unwrap();
            assert_eq!(asked.query.sort, Some(("createDate".to_owned(), false)), "{text}");
        }
    }

    #[test]
    fn badly_formed_queries_are_a_400() {
        let many = "q=a%3D1&".repeat(CONDITIONS_MAX + 1);
        for (text, words) in [
            ("q=nothing", "doesn't contain any query operator"),
            ("limit=ten", "[limit]"),
            ("limit=-1", "[limit]"),
            ("limit=%2B1", "[limit]"),
            ("limit=1%C2%A0", "[limit]"),
            ("start=1.5", "[start]"),
            ("start=18446744073709551615", "[start]"),
            ("count=maybe", "[count]"),
            ("limit=1&limit=2", "more than one value"),
            ("q=a%3D%00", "NUL"),
            (many.as_str(), "conditions"),
        ] {
            let error = read(text).unwrap_err();
            assert!(matches!(&error, Fault::Text(status, _) if status.as_u16() == 400));
            assert!(error.to_string().contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_not_offered_is_refused_in_words() {
        for (text, word) in
            [("groupBy=state", "groupBy"), ("filterName=x", "filterName"), ("fields=nope", "nope")]
        {
            let Err(Refusal::Told(error)) = read(text).unwrap() else { panic!("{text}") };
            assert!(error.details.contains(word), "{error:?}");
        }
        let asked = read("groupBy=&limit=5000&fields=uuid,,name,uuid&other=x").unwrap().unwrap();
        assert_eq!(asked.query.limit, LIMIT_DEFAULT);
        assert_eq!(asked.fields, Some(vec!["uuid".to_owned(), "name".to_owned()]));
    }

    #[test]
    fn times_get_the_zone_of_the_wire() {
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        let value = |text: &str| {
            let asked = super::read::<LongJobInventory>(&format!("q={text}"), &zone);
            asked.unwrap().unwrap().query.conditions.remove(0).value
        };
        assert_eq!(value("createDate=Nov 21, 2026 12:05:00 AM"), "2026-11-20T16:05:00Z");
        assert_eq!(value("lastOpDate%3E2026-11-21 00:05:00"), "2026-11-20T16:05:00Z");
        assert_eq!(value("createDate%3E1795190700000"), "1795190700000");
        assert_eq!(
            value("createDate?=2026-11-21 00:05:00, 1795190700000"),
            "2026-11-20T16:05:00Z,1795190700000"
        );
        assert_eq!(
            value("backupStorageRefs.createDate=2026-11-21 00:05:00"),
            "2026-11-20T16:05:00Z"
        );
        assert_eq!(value("name=2026-11-21 00:05:00"), "2026-11-21 00:05:00");
    }
}
