//! Logging in and out, validating and renewing sessions.

use actix_web::{HttpRequest, HttpResponse, web};

use super::{
    body::{Body, Params},
    call::{Call, Work},
    error::{Fault, Refusal},
    reply::StoredReply,
};
use crate::{
    accounts::{AccountError, ChangeRequest, OpenedSession},
    jobs::Kept,
    wire::zstack::{
        Code, Empty, Inventory, Schema, SessionInventory, Validity, account_inventory, timestamp,
    },
};

const LOG_IN: (&str, &str) = ("logInByAccount", "org.zstack.header.identity.APILogInByAccountMsg");
const UPDATE: (&str, &str) = ("updateAccount", "org.zstack.header.identity.APIUpdateAccountMsg");
const RENEW: (&str, &str) = ("renewSession", "org.zstack.header.identity.APIRenewSessionMsg");
/// What a session may be renewed by, in seconds.
const RENEW_SECS: std::ops::RangeInclusive<i64> = 60..=31_536_000;
/// What it is renewed by if the call does not say.
const RENEW_SECS_DEFAULT: i64 = 7200;
/// Longest account name and password hash.
const CHARS_MAX: usize = 255;
const DESCRIPTION_CHARS_MAX: usize = 2048;

/// LogInByAccount; needs no session.
pub(super) async fn log_in(
    call: Call,
    request: HttpRequest,
    mut body: Body,
) -> Result<HttpResponse, Fault> {
    // Passwords are hashed two at a time: a queue of one address must not be as long as it likes, others wait in it.
    let _counted = body.stay_counted();
    let (_, mut params) = body.action(&[LOG_IN], request.path())?;
    let (name, password) = call.check(credentials(&mut params))?;
    let session = call.check(call.app.accounts.log_in(&name, &password, call.peer).await)?;
    let inventory = inventory(&session, call.zone());
    let schema = Schema::one("inventory", &inventory);
    Ok(call.reply(Inventory { inventory }, schema))
}

fn credentials(params: &mut Params) -> Result<(String, String), Refusal> {
    Ok((params.needed("accountName", CHARS_MAX)?, params.needed("password", CHARS_MAX)?))
}

/// LogInByUser: ZStack has users below accounts, this service has not.
pub(super) async fn log_in_by_user(call: Call) -> Result<HttpResponse, Fault> {
    let words = "there are no users below accounts; log in by account: PUT /v1/accounts/login";
    call.check(Err(Refusal::new(Code::OperationFailed, words)))
}

/// UpdateAccount: one's own password, or any as an admin.
pub(super) async fn update(
    call: Call,
    request: HttpRequest,
    uuid: web::Path<String>,
    body: Body,
) -> Result<HttpResponse, Fault> {
    let (_, params) = body.action(&[UPDATE], request.path())?;
    let uuid = uuid.into_inner();
    call.accept(Kept::Durably, |work| updated(work, uuid, params)).await
}

async fn updated(work: Work, uuid: String, mut params: Params) -> Result<StoredReply, Refusal> {
    let change = ChangeRequest {
        name: params.text("name", CHARS_MAX)?,
        password: params.text("password", CHARS_MAX)?,
        old_password: params.text("oldPassword", CHARS_MAX)?,
        description: params.text("description", DESCRIPTION_CHARS_MAX)?,
    };
    let uuid =
        uuid.parse().map_err(|_| AccountError::NoSuchAccount(uuid.chars().take(64).collect()))?;
    let (accounts, caller) = (&work.app.accounts, work.caller);
    let account = accounts.change_account(caller, work.session, uuid, change, work.peer).await?;
    let inventory = account_inventory(&account, work.zone());
    let schema = Schema::one("inventory", &inventory);
    work.done(Inventory { inventory }, schema)
}

/// LogOut; needs no session but the one that it ends.
pub(super) async fn log_out(call: Call, token: web::Path<String>) -> Result<HttpResponse, Fault> {
    call.check(call.app.accounts.log_out(&token).await)?;
    Ok(call.reply(Empty {}, Schema::default()))
}

/// ValidateSession; needs no session.
pub(super) async fn validate(call: Call, token: web::Path<String>) -> Result<HttpResponse, Fault> {
    let valid = match call.app.accounts.authenticate(&token).await {
        Ok(_) => true,
        Err(AccountError::SessionExpired) => false,
        Err(error) => call.check(Err(error))?,
    };
    Ok(call.reply(Validity { valid }, Schema::default()))
}

/// RenewSession. The result holds the session, so that it is kept in memory alone.
pub(super) async fn renew(
    call: Call,
    request: HttpRequest,
    token: web::Path<String>,
    body: Body,
) -> Result<HttpResponse, Fault> {
    let (_, params) = body.action(&[RENEW], request.path())?;
    let token = token.into_inner();
    call.accept(Kept::Secretly, |work| renewed(work, token, params)).await
}

async fn renewed(work: Work, token: String, mut params: Params) -> Result<StoredReply, Refusal> {
    let secs = params.number("duration")?.unwrap_or(RENEW_SECS_DEFAULT);
    let fits = RENEW_SECS.contains(&secs);
    let secs = u64::try_from(secs).ok().filter(|_| fits).ok_or_else(|| {
        Refusal::invalid(format!(
            "field[duration] has to be {} to {} seconds, but {secs} found",
            RENEW_SECS.start(),
            RENEW_SECS.end()
        ))
    })?;
    let session = work.app.accounts.authenticate(&token).await?;
    if session.caller.account != work.caller.account && !work.caller.admin {
        return Err(Refusal::new(Code::PermissionDenied, "the session is another account's"));
    }
    let session = work.app.accounts.renew(&token, secs).await?;
    let inventory = inventory(&session, work.zone());
    let schema = Schema::one("inventory", &inventory);
    work.done(Inventory { inventory }, schema)
}

fn inventory(session: &OpenedSession, zone: &jiff::tz::TimeZone) -> SessionInventory {
    let account = session.caller.account.to_string();
    SessionInventory {
        uuid: session.token.to_string(),
        account_uuid: account.clone(),
        user_uuid: account,
        expired_date: timestamp(session.expires_ms, zone),
        create_date: timestamp(session.created_ms, zone),
    }
}
