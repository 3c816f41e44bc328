//! `GET /v3`, `POST` and `DELETE /v3/auth/tokens`: as much of Keystone as the clients of IMS need to log in. A token is a session like any other.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{self, HeaderName},
    },
    web,
};
use jiff::Timestamp;
use serde::Serialize;

use super::{
    call::{Call, read_counted},
    codes::keystone_status,
    error::Fault,
};
use crate::{
    accounts::{AccountError, LoggedIn, Login},
    domain::{
        clock::EpochMs,
        ids::without_dashes,
        text::{at_most, shown},
    },
    http::{
        App, json::parse_object, links::Base, problem, problem::Fault as DataFault,
        request_id::RequestId,
    },
    wire::{
        ims::{
            AuthRequest, Issued, KeystoneError, KeystoneFault, Project, Token, TokenBody, User,
            version as keystone_version,
        },
        problem::Problem,
    },
};

const X_SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");
/// Longest name, id or password.
const CHARS_MAX: usize = 256;
/// When to ask again, where an account has as many tokens as it may: one may have been ended by then.
const TOKENS_RETRY_MS: u64 = 60_000;
/// Longest sentence of a parser that an answer repeats.
const PARSER_CHARS_MAX: usize = 160;

/// A refusal in Keystone's form.
struct Refused {
    status: StatusCode,
    words: String,
    retry_after_ms: Option<u64>,
}

impl Refused {
    fn new(status: StatusCode, words: impl Into<String>) -> Self {
        Self { status, words: words.into(), retry_after_ms: None }
    }

    fn bad(words: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, words)
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Told { status, words, retry_after_ms, .. } => {
                Self { status, words, retry_after_ms }
            }
            Fault::Unknown(words) => Self::new(StatusCode::UNAUTHORIZED, words),
        }
    }
}

impl From<AccountError> for Refused {
    fn from(error: AccountError) -> Self {
        let is_full = matches!(error, AccountError::TooManySessions);
        let status = keystone_status(&error);
        let problem = Problem::from(&DataFault::from(error));
        Self {
            status,
            words: problem.detail,
            retry_after_ms: problem.retry_after_ms.or(is_full.then_some(TOKENS_RETRY_MS)),
        }
    }
}

/// `GET /v3`: which Keystone this is.
pub(super) async fn version(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    match Base::of(&request, &app.settings.trusted_proxies) {
        Ok(base) => {
            let body = keystone_version(base.public(&app));
            json(StatusCode::OK, &body)
        }
        Err(error) => refusal(&request, &Refused::bad(error.to_string())),
    }
}

/// `POST /v3/auth/tokens`: by password, for the account's own project.
pub(super) async fn issue(
    app: web::Data<App>,
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    match issued(&app, &request, payload).await {
        Ok((token, secret)) => {
            let mut answer = json(StatusCode::CREATED, &TokenBody { token });
            if let Ok(secret) = secret.parse() {
                answer.headers_mut().insert(X_SUBJECT_TOKEN, secret);
            }
            answer
        }
        Err(refused) => refusal(&request, &refused),
    }
}

/// `DELETE /v3/auth/tokens`: ends the token in `X-Subject-Token`, for whoever may.
pub(super) async fn revoke(
    app: web::Data<App>,
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    match revoked(&app, &request, payload).await {
        Ok(()) => {
            HttpResponse::NoContent().insert_header((header::CACHE_CONTROL, "no-store")).finish()
        }
        Err(refused) => refusal(&request, &refused),
    }
}

async fn revoked(app: &App, request: &HttpRequest, payload: web::Payload) -> Result<(), Refused> {
    let call = Call::read(app, request, payload).await?;
    let mut all = request.headers().get_all(X_SUBJECT_TOKEN);
    let (Some(token), None) = (all.next(), all.next()) else {
        return Err(Refused::bad(
            "X-Subject-Token has to come once, with the token that is to end",
        ));
    };
    let token = token.to_str().unwrap_or_default().trim();
    if app.accounts.log_out_of(call.caller, token).await? {
        return Ok(());
    }
    let words = "there is no such token of this user, or it has ended already; nothing was changed";
    Err(Refused::new(StatusCode::NOT_FOUND, words))
}

async fn issued(
    app: &App,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<(Token, String), Refused> {
    let base = Base::of(request, &app.settings.trusted_proxies)
        .map_err(|error| Refused::bad(error.to_string()))?;
    // Passwords are hashed two at a time: a queue of one address must not be as long as it likes, others wait in it.
    let (body, _counted) = read_counted(app, request, payload).await?;
    let body = parse_object(&body).map_err(Fault::from)?;
    let AuthRequest { auth } = serde_json::from_value(body.into()).map_err(|error| {
        let words = at_most(&error.to_string(), PARSER_CHARS_MAX);
        Refused::bad(format!("the body is no request for a token by password: {words}"))
    })?;
    let user = auth.identity.password.map(|password| password.user);
    let user = user.filter(|_| auth.identity.methods.iter().any(|method| method == "password"));
    let user = user.ok_or_else(|| {
        Refused::bad("tokens are given by password alone: methods has to hold password, and password.user who it is")
    })?;
    let peer = app.settings.trusted_proxies.client(request);
    let login = login(&user)?;
    let logged_in = app.accounts.log_in_plain(login, &user.password, peer).await?;
    let token = logged_in.session.token.to_string();
    if let Err(refused) = is_own_project(&auth.scope, &logged_in) {
        app.accounts.log_out(&token).await?;
        return Err(refused);
    }
    let issued = Issued {
        id: logged_in.session.caller.account.to_string(),
        name: logged_in.name,
        issued_at: time(logged_in.session.created_ms),
        expires_at: time(logged_in.session.expires_ms),
    };
    Ok((Token::of(issued, base.public(app)), token))
}

fn login(user: &User) -> Result<Login<'_>, Refused> {
    let fits = |text: &str| text.chars().count() <= CHARS_MAX && !text.contains('\0');
    let texts = [user.name.as_deref(), user.id.as_deref(), Some(user.password.as_str())];
    if !texts.into_iter().flatten().all(fits) {
        return Err(Refused::bad("a name, an id or a password has at most 256 characters"));
    }
    match (user.name.as_deref(), user.id.as_deref()) {
        (Some(name), _) => Ok(Login::Name(name)),
        (None, Some(id)) => match without_dashes(id).parse() {
            Ok(uuid) => Ok(Login::Uuid(uuid)),
            // Told like any account that does not exist.
            Err(_) => Ok(Login::Name("")),
        },
        (None, None) => Err(Refused::bad("password.user has to hold a name or an id")),
    }
}

/// The project of an account is the account. A scope that names none means it.
fn is_own_project(scope: &serde_json::Value, own: &LoggedIn) -> Result<(), Refused> {
    let Some(project) = scope.get("project").filter(|project| !project.is_null()) else {
        return Ok(());
    };
    let project = serde_json::from_value::<Project>(project.clone()).ok();
    let project = project.filter(|project| project.id.is_some() || project.name.is_some());
    let Some(project) = project else {
        return Err(Refused::bad("scope.project has to hold a name or an id"));
    };
    let own_id = own.session.caller.account.to_string();
    let names_other = |given: Option<&str>, own: &str| given.is_some_and(|given| given != own);
    let id = project.id.as_deref().map(|id| without_dashes(id).to_ascii_lowercase());
    if names_other(id.as_deref(), &own_id) || names_other(project.name.as_deref(), &own.name) {
        let given = project.id.as_deref().or(project.name.as_deref()).unwrap_or_default();
        let words = format!(
            "there is no project {} for this user: the project of a user is the account itself; name it as the user, or leave the scope out",
            shown(given)
        );
        return Err(Refused::new(StatusCode::UNAUTHORIZED, words));
    }
    Ok(())
}

/// Keystone's form: `2026-11-20T15:24:30.000000Z`.
fn time(time_ms: EpochMs) -> String {
    format!("{:.6}", Timestamp::from_millisecond(time_ms).unwrap_or_default())
}

fn json(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    let mut answer = HttpResponse::build(status);
    answer.insert_header((header::CACHE_CONTROL, "no-store")).json(body)
}

fn refusal(request: &HttpRequest, refused: &Refused) -> HttpResponse {
    let Refused { status, words, retry_after_ms } = refused;
    let request_id = RequestId::of(request);
    if status.is_server_error() {
        tracing::warn!(request_id, status = status.as_u16(), words, "no token was issued");
    }
    let title = status.canonical_reason().unwrap_or_default().to_owned();
    let error = KeystoneFault { code: status.as_u16(), title, message: words.clone() };
    let mut answer = json(*status, &KeystoneError { error });
    if let Some(after_ms) = retry_after_ms
        && let Ok(after) = problem::retry_after_secs(*after_ms).parse()
    {
        answer.headers_mut().insert(header::RETRY_AFTER, after);
    }
    answer
}
