//! The jobs as IMS shows them, for `huaweicloudsdkims` and otcextensions; with as much of Keystone v3 as those log in with.
//!
//! # Guarantees
//! * `X-Auth-Token` takes what `POST /v3/auth/tokens` gave, which is a session like any other. `Authorization` takes SDK-HMAC-SHA256
//!   signatures of access keys, and everything else that this service takes.
//! * The project of an account is the account: its id is the account's uuid, with or without dashes. An admin may name any project, and
//!   then sees that one.
//! * A job of another account is told like one that never was: 404 with `IMG.0023`.
//! * Every answer has `X-Request-Id`; the SDK shows it in its exceptions.

mod call;
mod codes;
mod create;
mod error;
mod fields;
mod jobs;
mod tokens;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode};

use self::error::Fault;
use super::routes::{Table, at, delete, get, post};
use crate::{http::request_id::RequestId, wire::ims::Code};

/// Every path of IMS, and Keystone's.
pub(super) fn routes() -> Table {
    Table::flat(refuse_method)
        .service(at("/v3", [get().open().to(tokens::version)]))
        .service(at(
            "/v3/auth/tokens",
            [post().open().to(tokens::issue), delete().to(tokens::revoke)],
        ))
        .service(at("/v1/cloudimages/job/{job_id}", [get().to(jobs::show)]))
        .service(at("/v1/cloudimages/dataimages/action", [post().to(create::data_image)]))
        .service(at("/v2/cloudimages/action", [post().to(create::image)]))
        .service(at("/v1/{project_id}/jobs", [get().to(jobs::list)]))
        .service(at("/v1/{project_id}/jobs/{job_id}", [get().to(jobs::show_in_project)]))
}

fn refuse_method(request: &HttpRequest, allow: &str) -> HttpResponse {
    let words = format!("this path takes {allow}; nothing was changed");
    let fault = Fault::told(StatusCode::METHOD_NOT_ALLOWED, Code::NotSupported, words);
    error::answer(&fault, &RequestId::of(request))
}
