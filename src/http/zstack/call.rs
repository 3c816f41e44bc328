//! What every call has in common: who calls, how it wants to be answered, at once or later.

use std::future::{Future, Ready, ready};

use actix_web::{FromRequest, HttpRequest, HttpResponse, dev::Payload, http::StatusCode, web};
use jiff::tz::TimeZone;
use serde::Serialize;

use super::{
    error::{Fault, Refusal},
    reply::{Mark, StoredReply, call_failure, defect_words, json, refused},
};
use crate::{
    domain::{account::Caller, ids::ApiId},
    http::{
        App,
        links::Base,
        request_id::RequestId,
        session::{NoSession, session_token},
    },
    jobs::{ApiJobResult, Begun, CALL_TIMEOUT, Kept},
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
    job_uuid: Option<ApiId>,
    wants_schema: bool,
    session: Result<String, NoSession>,
}

/// What the work of an asynchronous call has at hand.
pub(super) struct Work {
    /// Everything that handlers use.
    pub(super) app: web::Data<App>,
    /// Who called.
    pub(super) caller: Caller,
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
        if request.headers().contains_key("X-Web-Hook") {
            return Err(Fault::bad_request(
                "X-Web-Hook is not supported; leave it out and poll the location of the answer",
            ));
        }
        let job_uuid = request.headers().get("X-Job-UUID").map(|value| {
            value.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
                Fault::bad_request("the header X-Job-UUID is not a uuid of 32 hex digits")
            })
        });
        Ok(Self {
            app,
            base: Base::of(request)?,
            request_id: RequestId::of(request),
            job_uuid: job_uuid.transpose()?,
            wants_schema: request.headers().contains_key("X-JSON-Schema"),
            session: session_token(request),
        })
    }

    /// The time zone of timestamps.
    pub(super) fn zone(&self) -> &TimeZone {
        &self.app.settings.wire_time_zone
    }

    /// Who calls; a wrong session is refused at once, as synchronous calls do.
    pub(super) async fn caller(&self) -> Result<Caller, Fault> {
        let token = self.session.as_ref().map_err(|error| *error)?;
        Ok(self.check(self.app.accounts.authenticate(token).await)?.caller)
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
        let token = self.session.as_ref().map_err(|error| *error)?;
        let api_id = self.job_uuid.unwrap_or_else(ApiId::random);
        let begun = match self.app.accounts.authenticate(token).await {
            Ok(session) => {
                let at_hand = Work {
                    app: self.app.clone(),
                    caller: session.caller,
                    api_id,
                    mark: Mark::random(),
                    wants_schema: self.wants_schema,
                };
                let (work, request_id) = (work(at_hand), self.request_id.clone());
                let work = async move { ended(work.await, &request_id) };
                self.app.calls.start(api_id, kept, call_failure, work).await
            }
            Err(error) => {
                // Whoever is not known to us fills no rows.
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
                    api_timeout: u64::try_from(CALL_TIMEOUT.as_millis()).unwrap_or(u64::MAX),
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
