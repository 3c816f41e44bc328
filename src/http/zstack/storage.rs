//! QueryBackupStorage: the one storage, found by ZStack's query grammar.

use std::cmp::Ordering;

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::Value;

use super::{
    call::Call,
    error::{Fault, Refusal, unknown_field},
    query,
};
use crate::{
    domain::query::{Condition, Operator},
    wire::zstack::{BackupStorageInventory, Element, STORAGE_TYPE, timestamp},
};

/// QueryBackupStorage.
pub(super) async fn query_all(call: Call, request: HttpRequest) -> Result<HttpResponse, Fault> {
    query(call, &request, None).await
}

/// QueryBackupStorage by uuid.
pub(super) async fn query_one(
    call: Call,
    request: HttpRequest,
    uuid: web::Path<String>,
) -> Result<HttpResponse, Fault> {
    query(call, &request, Some(uuid.into_inner())).await
}

async fn query(
    call: Call,
    request: &HttpRequest,
    uuid: Option<String>,
) -> Result<HttpResponse, Fault> {
    call.caller().await?;
    let asked = query::read::<BackupStorageInventory>(request.query_string(), call.zone())?;
    let asked = call.check(asked)?;
    let row = inventory(&call).await?;
    let mut matches = uuid.is_none_or(|uuid| uuid == row.uuid);
    for condition in &asked.query.conditions {
        matches &= call.check(holds(condition, &row))?;
    }
    let total = (asked.query.count || asked.query.reply_with_count).then_some(u64::from(matches));
    let is_shown = matches && asked.query.limit > 0 && asked.query.start == 0;
    let rows = if is_shown { vec![row] } else { Vec::new() };
    let answer = query::answer(&asked, rows, total);
    call.check(answer)
}

async fn inventory(call: &Call) -> Result<BackupStorageInventory, Fault> {
    let (storage, total_capacity, available_capacity) =
        call.check(call.app.jobs.storage().await)?;
    let date = timestamp(storage.created_ms, call.zone());
    Ok(BackupStorageInventory {
        uuid: storage.uuid.to_string(),
        name: storage.name,
        url: call.base.uploads(&call.app),
        total_capacity,
        available_capacity,
        storage_type: STORAGE_TYPE.to_owned(),
        state: "Enabled".to_owned(),
        status: "Connected".to_owned(),
        create_date: date.clone(),
        last_op_date: date,
        attached_zone_uuids: Vec::new(),
    })
}

/// Whether the one row satisfies a condition, by the rules that the databases follow for all others.
fn holds(condition: &Condition, row: &BackupStorageInventory) -> Result<bool, Refusal> {
    let field = condition.field.as_str();
    let listed = ["attachedZoneUuids", "createDate", "lastOpDate"];
    if !BackupStorageInventory::FIELDS.contains(&field) || listed.contains(&field) {
        return Err(unknown_field(field, BackupStorageInventory::CLASS));
    }
    let row = serde_json::to_value(row).map_err(|error| Refusal::Defect(error.to_string()))?;
    let compared = |text: &str| match &row[field] {
        Value::Number(number) => {
            let value: u64 = text.trim().parse().map_err(|_| {
                let text: String = text.chars().take(64).collect();
                Refusal::invalid(format!("value [{text}] does not fit the field [{field}]"))
            })?;
            Ok::<_, Refusal>(number.as_u64().unwrap_or_default().cmp(&value))
        }
        value => Ok(value.as_str().unwrap_or_default().cmp(text)),
    };
    let like = || {
        let text = row[field].as_str().map_or_else(|| row[field].to_string(), str::to_owned);
        is_like(&text.to_lowercase(), &condition.value.to_lowercase())
    };
    let listed = || condition.list().map(&compared).collect::<Result<Vec<_>, _>>();
    let value = condition.value.as_str();
    Ok(match condition.operator {
        Operator::Equal => compared(value)? == Ordering::Equal,
        Operator::NotEqual => compared(value)? != Ordering::Equal,
        Operator::Greater => compared(value)? == Ordering::Greater,
        Operator::GreaterOrEqual => compared(value)? != Ordering::Less,
        Operator::Less => compared(value)? == Ordering::Less,
        Operator::LessOrEqual => compared(value)? != Ordering::Greater,
        Operator::In => listed()?.contains(&Ordering::Equal),
        Operator::NotIn => !listed()?.contains(&Ordering::Equal),
        Operator::Like => like(),
        Operator::NotLike => !like(),
        Operator::IsNull => false,
        Operator::NotNull => true,
    })
}

/// SQL's LIKE: `%` any text, `_` one character. Greedy with one point of return, so linear in practice and never exponential.
fn is_like(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) =
        (text.chars().collect(), pattern.chars().collect());
    let (mut at, mut want, mut back) = (0, 0, None);
    while at < text.len() {
        match pattern.get(want) {
            Some('%') => {
                back = Some((want, at));
                want += 1;
            }
            Some(&c) if c == '_' || c == text[at] => {
                at += 1;
                want += 1;
            }
            _ => {
                let Some((percent, from)) = back else { return false };
                back = Some((percent, from + 1));
                (want, at) = (percent + 1, from + 1);
            }
        }
    }
    pattern[want..].iter().all(|&c| c == '%')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> BackupStorageInventory {
        let text = String::new;
        BackupStorageInventory {
            uuid: "1d2c".to_owned(),
            name: "Local".to_owned(),
            url: text(),
            total_capacity: 100,
            available_capacity: 40,
            storage_type: STORAGE_TYPE.to_owned(),
            state: "Enabled".to_owned(),
            status: "Connected".to_owned(),
            create_date: text(),
            last_op_date: text(),
            attached_zone_uuids: vec![],
        }
    }

    #[test]
    fn conditions_are_those_of_the_databases() {
        for (condition, expected) in [
            ("uuid=1d2c", true),
            ("uuid=1d2d", false),
            ("uuid!=1d2c", false),
            ("uuid?=x, 1d2c", true),
            ("uuid!?=x,1d2c", false),
            ("name~=lo%", true),
            ("name~=l_cal", true),
            ("name~=%c%l", true),
            ("name~=cal", false),
            ("name!~=lo%", false),
            ("availableCapacity>39", true),
            ("availableCapacity>40", false),
            ("availableCapacity<=40", true),
            ("availableCapacity>=9", true),
            ("state=Enabled", true),
            ("type=ImageStoreBackupStorage", true),
            ("name not null", true),
            ("name is null", false),
        ] {
            let condition = Condition::parse(condition).unwrap();
            assert_eq!(holds(&condition, &row()), Ok(expected), "{condition:?}");
        }
        for bad in ["zone.uuid=x", "availableCapacity>much", "nope=1"] {
            assert!(holds(&Condition::parse(bad).unwrap(), &row()).is_err(), "{bad}");
        }
    }
}
