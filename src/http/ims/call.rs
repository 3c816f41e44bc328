//! Who calls, and with which body: what every call of IMS has in common.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{self, HeaderName},
    },
    web,
};
use serde::Serialize;

use super::error::{self, Fault};
use crate::{
    accounts::{Proof, SDK_SCHEME, SdkSignedRequest, Sent},
    domain::{
        account::Caller,
        ids::{AccountUuid, without_dashes},
    },
    http::{App, json::read_bytes, request_id::RequestId, session},
    uploads::{Admission, Party},
    wire::ims::Code,
};

const X_AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
/// In which project a call is meant; the SDKs sign it with every one.
const X_PROJECT_ID: HeaderName = HeaderName::from_static("x-project-id");

/// A call whose caller is known.
pub(super) struct Call {
    /// Who calls: the owner of the project that `X-Project-Id` names, where it is there.
    pub(super) caller: Caller,
    /// The project that `X-Project-Id` names.
    project: Option<AccountUuid>,
    /// All of the body.
    pub(super) body: Vec<u8>,
}

impl Call {
    /// Reads the body, since a signature may be over it, and asks who calls.
    pub(super) async fn read(
        app: &App,
        request: &HttpRequest,
        payload: web::Payload,
    ) -> Result<Self, Fault> {
        let (body, _counted) = read_counted(app, request, payload).await?;
        let proof = proof(request, &body)?;
        let caller = app.accounts.identify(&proof).await?.caller;
        let Some(project) = project_header(request)? else {
            return Ok(Self { caller, project: None, body });
        };
        let caller = within(app, caller, project, "X-Project-Id").await?;
        Ok(Self { caller, project: Some(project), body })
    }

    /// The caller as the owner of the project that the path names.
    pub(super) async fn in_project(&self, app: &App, named: &str) -> Result<Caller, Fault> {
        let project = project_id(named, "the path")?;
        if self.project.is_some_and(|header| header != project) {
            let words = "the path and X-Project-Id name different projects: give the same, or leave X-Project-Id out";
            return Err(Fault::bad(Code::Project, words));
        }
        within(app, self.caller, project, "the path").await
    }
}

/// What `X-Project-Id` says; twice is refused, since nobody could tell which of the two is meant.
fn project_header(request: &HttpRequest) -> Result<Option<AccountUuid>, Fault> {
    let mut all = request.headers().get_all(X_PROJECT_ID);
    let Some(first) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(Fault::bad(Code::ProjectId, "X-Project-Id has to come once"));
    }
    project_id(first.to_str().unwrap_or_default().trim(), "X-Project-Id").map(Some)
}

fn project_id(text: &str, place: &str) -> Result<AccountUuid, Fault> {
    without_dashes(text).parse().map_err(|_| {
        let words = format!(
            "the project id in {place} is not a uuid of 32 hex digits: give the account's uuid"
        );
        Fault::bad(Code::ProjectId, words)
    })
}

/// The caller as the owner of a project. An admin may name anybody's, but not nobody's: a wrong digit would make jobs and images that no
/// account can see, finish or delete.
async fn within(
    app: &App,
    caller: Caller,
    project: AccountUuid,
    place: &str,
) -> Result<Caller, Fault> {
    let owner = caller.within(project).ok_or_else(|| {
        let words = format!(
            "the project in {place} is not the one of this token or access key: give the account's own uuid"
        );
        Fault::bad(Code::Project, words)
    })?;
    if project != caller.account && !app.accounts.exists(project).await? {
        let words = format!(
            "there is no project {project}, which {place} names: give the uuid of an account. Nothing was changed"
        );
        return Err(Fault::bad(Code::Project, words));
    }
    Ok(owner)
}

/// The body, and the place of the request among those of its address: until it is read nobody has asked who sends it.
pub(super) async fn read_counted(
    app: &App,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<(Vec<u8>, Admission), Fault> {
    let client = app.settings.trusted_proxies.client(request);
    let admission = app.uploads.admit_request(Party::Address(client))?;
    let (bytes_max, within) = (app.settings.json_bytes_max, app.settings.body_idle);
    Ok((read_bytes(payload, bytes_max, within).await?, admission))
}

/// What the request shows: a token first, then a signature of one of Huawei's SDKs, then whatever else this service takes.
fn proof(request: &HttpRequest, body: &[u8]) -> Result<Proof, Fault> {
    if let Some(token) = request.headers().get(X_AUTH_TOKEN) {
        return Ok(Proof::Session(token.to_str().unwrap_or_default().trim().to_owned()));
    }
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|text| text.to_str().ok());
    let credentials = shown.and_then(|text| {
        let (scheme, credentials) = text.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case(SDK_SCHEME).then_some(credentials)
    });
    let Some(credentials) = credentials else { return Ok(session::proof(request)?) };
    let uri = request.uri();
    let sent = Sent {
        method: request.method().as_str(),
        path: uri.path(),
        query: uri.query().unwrap_or_default(),
        header: &|name| values(request, name),
        body,
    };
    let signed = SdkSignedRequest::read(credentials, &sent);
    signed.map(Proof::SdkSignature).map_err(|error| Fault::Unknown(error.to_string()))
}

/// All values of a header, as the bytes that were signed. A host that is in the target alone was not signed as a header.
fn values(request: &HttpRequest, name: &str) -> Vec<Vec<u8>> {
    request.headers().get_all(name).map(|value| value.as_bytes().to_vec()).collect()
}

/// The answer of a call that went well, or the refusal.
pub(super) fn reply<T: Serialize>(
    request: &HttpRequest,
    outcome: Result<T, Fault>,
) -> HttpResponse {
    match outcome {
        Ok(body) => {
            let mut answer = HttpResponse::build(StatusCode::OK);
            answer.insert_header((header::CACHE_CONTROL, "no-store")).json(body)
        }
        Err(fault) => error::answer(&fault, &RequestId::of(request)),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn the_host_of_the_target_is_no_header() {
        let request = TestRequest::default().uri("http://host:8080/v1/x").to_http_request();
        assert!(request.uri().authority().is_some(), "the target has one");
        assert_eq!(values(&request, "host"), Vec::<Vec<u8>>::new());
        let request =
            TestRequest::default().insert_header(("Host", "a")).append_header(("Host", "b"));
        let both = values(&request.to_http_request(), "host");
        assert_eq!(both, [b"a".to_vec(), b"b".to_vec()]);
    }
}
