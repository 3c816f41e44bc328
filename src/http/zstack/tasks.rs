//! Results of asynchronous calls, and the progress of what they started.

use actix_web::{HttpResponse, http::StatusCode, web};

use super::{
    call::Call,
    error::{Fault, Refusal},
    reply::{StoredReply, call_failure, json, text_of_json},
};
use crate::{
    domain::{ids::ApiId, text::shown},
    jobs::{CallState, DbError},
    wire::zstack::{Empty, Inventories, Schema, progress_inventory},
};

/// The poll of an asynchronous call. Open to everybody who knows the id: the SDKs poll with `OAuth null` at times.
pub(super) async fn api_job(call: Call, id: web::Path<String>) -> Result<HttpResponse, Fault> {
    let expired = || Fault::Text(StatusCode::NOT_FOUND, "the job has been expired".to_owned());
    let id: ApiId = id.parse().map_err(|_| expired())?;
    match call.app.calls.look_up(id, call_failure).await {
        Ok(CallState::Unknown) => Err(expired()),
        Ok(CallState::Running) => Ok(json(StatusCode::ACCEPTED, &Empty {})),
        Ok(CallState::Ended(result)) => {
            let body = call.check(StoredReply::revealed(&result.body, &call.app, &call.base))?;
            let status =
                if result.success { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            Ok(text_of_json(status, body))
        }
        // A 503 here would be taken for the end of the call. It is not: the client asks again.
        Err(error @ DbError::Unavailable { .. }) => {
            tracing::warn!(api_id = %id, %error, "the result of a call cannot be read now");
            Ok(json(StatusCode::ACCEPTED, &Empty {}))
        }
        Err(error) => call.check(Err(error)),
    }
}

/// GetTaskProgress: empty once the call's job has ended.
pub(super) async fn progress(call: Call, id: web::Path<String>) -> Result<HttpResponse, Fault> {
    let caller = call.caller().await?;
    let id: ApiId = call.check(id.parse().map_err(|_| {
        let id = shown(&id);
        Refusal::invalid(format!("parameter apiId[{id}] is not a valid uuid."))
    }))?;
    let progress = call.check(call.app.jobs.progress(caller, id).await)?;
    let rows: Vec<_> = progress.iter().map(progress_inventory).collect();
    let schema = Schema::list("inventories", &rows, None);
    Ok(call.reply(Inventories { inventories: Some(rows), total: None }, schema))
}
