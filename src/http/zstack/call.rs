//! What every call has in common: who calls, how it wants to be answered, at once or later.

use std::{
    future::{Future, Ready, ready},
    net::IpAddr,
    time::Duration,
};

use actix_web::{FromRequest, HttpRequest, HttpResponse, dev::Payload, http::StatusCode, web};
use jiff::tz::TimeZone;
use serde::Serialize;

use super::{
    error::{Fault, Refusal},
    reply::{Mark, StoredReply, call_failure, defect_words, json, refused},
};
use crate::{
    accounts::{AccountError, Identified, Proof},
    domain::{
        account::Caller,
        ids::{ApiId, SessionUuid},
    },
    http::{
        App,
        links::Base,
        request_id::RequestId,
        session::{NoSession, proof},
    },
    jobs::{
        ApiJobResult, Begun, CALL_TIMEOUT, CALL_TIMEOUT_SECS, HookCall, HookRefused, HookUrl, Kept,
        OnEnd, Terms,
    },
    wire::zstack::{Accepted, Code, Reply, Schema},
};

/// One call of the control plane, before anybody looked at its body.
pub(super) struct Call {
    /// Everything that handlers use.
    pub(super) app: web::Data<App>,
    /// The host that the client called.
    pub(super) base: Base,
    /// For words about defects.
    pub(super) request_id: String,
    /// Where the client is.
    pub(super) peer: IpAddr,
    job_uuid: Option<ApiId>,
    timeout: Duration,
    hook: Option<HookUrl>,
    wants_schema: bool,
    proof: Result<Proof, NoSession>,
}

/// What the work of an asynchronous call has at hand.
pub(super) struct Work {
    /// Everything that handlers use.
    pub(super) app: web::Data<App>,
    /// Who called.
    pub(super) caller: Caller,
    /// Their session; none if the call is signed with an access key.
    pub(super) session: Option<SessionUuid>,
    /// Where the client is.
    pub(super) peer: IpAddr,
    /// The id of the call: its `X-Job-UUID`, or ours.
    pub(super) api_id: ApiId,
    /// Stands for the upload URL in the result.
    pub(super) mark: Mark,
    wants_schema: bool,
}

impl FromRequest for Call {
    type Error = Fault;
    type Future = Ready<Result<Self, Fault>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::read(request))
    }
}

impl Call {
    fn read(request: &HttpRequest) -> Result<Self, Fault> {
        let app = request.app_data::<web::Data<App>>().cloned();
        let app = app.ok_or_else(|| {
            Fault::Text(StatusCode::INTERNAL_SERVER_ERROR, "the service is not set up".to_owned())
        })?;
        let job_uuid = request.headers().get("X-Job-UUID").map(|value| {
            value.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
                Fault::bad_request("the header X-Job-UUID is not a uuid of 32 hex digits")
            })
        });
        let proxies = &app.settings.trusted_proxies;
        Ok(Self {
            base: Base::of(request, proxies)?,
            peer: proxies.client(request),
            request_id: RequestId::of(request),
            job_uuid: job_uuid.transpose()?,
            timeout: timeout(request)?,
            hook: hook(request, &app)?,
            wants_schema: request.headers().contains_key("X-JSON-Schema"),
            proof: proof(request),
            app,
        })
    }

    /// The time zone of timestamps.
    pub(super) fn zone(&self) -> &TimeZone {
        &self.app.settings.wire_time_zone
    }

    /// Who calls; a wrong session is refused at once, as synchronous calls do.
    pub(super) async fn caller(&self) -> Result<Caller, Fault> {
        Ok(self.check(self.identify().await?)?.caller)
    }

    /// Who calls, if anybody is known to. What is wrong with the header itself is told at once, and so is the time of a signed
    /// request: ZStack looks at both before it makes a call of the request.
    async fn identify(&self) -> Result<Result<Identified, AccountError>, Fault> {
        let proof = self.proof.as_ref().map_err(|error| *error)?;
        match self.app.accounts.identify(proof).await {
            Err(error @ AccountError::TimeTooSkewed) => {
                Err(Fault::Text(StatusCode::FORBIDDEN, error.to_string()))
            }
            identified => Ok(identified),
        }
    }

    /// The value, or what is answered instead. A defect is logged here, once.
    pub(super) fn check<T>(&self, outcome: Result<T, impl Into<Refusal>>) -> Result<T, Fault> {
        outcome.map_err(|error| match error.into() {
            Refusal::Told(error) => Fault::Refused(error),
            Refusal::Defect(chain) => {
                tracing::error!(request_id = self.request_id, error = chain, "a call failed");
                Fault::Text(StatusCode::INTERNAL_SERVER_ERROR, defect_words(&self.request_id))
            }
        })
    }

    /// The answer of a synchronous call.
    pub(super) fn reply(&self, body: impl Serialize, schema: Schema) -> HttpResponse {
        json(StatusCode::OK, &Reply { body, schema: self.wants_schema.then_some(schema) })
    }

    /// The answer of a query: its schema is always in it.
    pub(super) fn query_reply(body: impl Serialize, schema: Schema) -> HttpResponse {
        json(StatusCode::OK, &Reply { body, schema: Some(schema) })
    }

    /// Answers 202 and does the work on its own. Every refusal from here on, a wrong session included, is told at the poll: the Java SDK
    /// drops the code of an error that an asynchronous call answers directly.
    pub(super) async fn accept<F, W>(self, kept: Kept, work: W) -> Result<HttpResponse, Fault>
    where
        W: FnOnce(Work) -> F,
        F: Future<Output = Result<StoredReply, Refusal>> + Send + 'static,
    {
        if kept == Kept::Secretly && self.hook.is_some() {
            return Err(Fault::bad_request(
                "X-Web-Hook is not supported by this call: its result holds a session, which is sent nowhere; leave it out and poll the location of the answer",
            ));
        }
        let identified = self.identify().await?;
        let api_id = self.job_uuid.unwrap_or_else(ApiId::random);
        let begun = match identified {
            Ok(Identified { caller, session }) => {
                let at_hand = Work {
                    app: self.app.clone(),
                    caller,
                    session,
                    peer: self.peer,
                    api_id,
                    mark: Mark::random(),
                    wants_schema: self.wants_schema,
                };
                let terms =
                    Terms { kept, timeout: self.timeout, on_end: self.on_end(api_id, caller)? };
                let (work, request_id) = (work(at_hand), self.request_id.clone());
                let work = async move { ended(work.await, &request_id) };
                self.app.calls.start(api_id, terms, call_failure, work).await
            }
            // Whoever is not known to us sends nothing anywhere; and who waits for a hook does not poll.
            Err(error) if self.hook.is_some() => return self.check(Err(error)),
            Err(error) => {
                // Nor do they fill rows.
                let result = refused(error.into(), &self.request_id);
                let work = std::future::ready(result);
                self.app.calls.start(api_id, Kept::InMemory, call_failure, work).await
            }
        };
        match self.check(begun)? {
            Begun::Started => Ok(json(
                StatusCode::ACCEPTED,
                &Accepted {
                    location: self.base.api_job(api_id),
                    api_timeout: u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX),
                },
            )),
            Begun::Duplicate => {
                Err(Fault::bad_request(format!("Duplicate job uuid[{api_id}], give another one")))
            }
            Begun::Busy => Err(Fault::Refused(
                Code::Unavailable.with("too many calls are at work; nothing was done: try again"),
            )),
        }
    }
}

impl Call {
    /// Sends the result to the web hook of the call, if it has one. Its place is taken now: a call that cannot be told does not begin.
    fn on_end(&self, id: ApiId, caller: Caller) -> Result<Option<OnEnd>, Fault> {
        let Some(url) = self.hook.clone() else { return Ok(None) };
        let place = self.app.hooks.reserve(url, caller.account);
        let place = place.map_err(|error| hook_refused(&error))?;
        let (app, base) = (self.app.clone(), self.base.clone());
        Ok(Some(Box::new(move |result| {
            if let Ok(body) = StoredReply::revealed(&result.body, &app, &base) {
                let success = result.success;
                app.hooks.deliver(place, HookCall { id, success, body });
            } else {
                tracing::error!(api_id = %id, "a result could not be read for its hook");
            }
        })))
    }
}

fn timeout(request: &HttpRequest) -> Result<Duration, Fault> {
    let Some(value) = request.headers().get("X-API-Timeout") else { return Ok(CALL_TIMEOUT) };
    let secs = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    let secs = secs.filter(|secs| CALL_TIMEOUT_SECS.contains(secs)).ok_or_else(|| {
        Fault::bad_request(format!(
            "the header X-API-Timeout is not a number of seconds from {} to {}",
            CALL_TIMEOUT_SECS.start(),
            CALL_TIMEOUT_SECS.end()
        ))
    })?;
    Ok(Duration::from_secs(secs))
}

fn hook(request: &HttpRequest, app: &App) -> Result<Option<HookUrl>, Fault> {
    let Some(value) = request.headers().get("X-Web-Hook") else { return Ok(None) };
    let text = value.to_str().map_err(|_| Fault::bad_request("the header X-Web-Hook is no URL"))?;
    app.hooks.check(text).map(Some).map_err(|error| hook_refused(&error))
}

fn hook_refused(error: &HookRefused) -> Fault {
    match error {
        HookRefused::NotAllowed(_) => Fault::bad_request(error.to_string()),
        HookRefused::Busy => Fault::Refused(Code::Unavailable.with(error.to_string())),
    }
}

impl Work {
    /// The result, with the schema if the call asked for one.
    pub(super) fn done(
        &self,
        body: impl Serialize,
        schema: Schema,
    ) -> Result<StoredReply, Refusal> {
        StoredReply::plain(&self.reply(body, schema))
    }

    /// The body of the result.
    pub(super) fn reply<T>(&self, body: T, schema: Schema) -> Reply<T> {
        Reply { body, schema: self.wants_schema.then_some(schema) }
    }

    /// The time zone of timestamps.
    pub(super) fn zone(&self) -> &TimeZone {
        &self.app.settings.wire_time_zone
    }
}

fn ended(outcome: Result<StoredReply, Refusal>, request_id: &str) -> ApiJobResult {
    match outcome {
        Ok(reply) => reply.into_result(true),
        Err(refusal) => refused(refusal, request_id),
    }
}
