//! Who makes a request of the data plane.

use actix_web::HttpRequest;

use super::{
    App,
    headers::BadHeader,
    problem::{Fault, RequestFault},
    session::{NoSession, proof},
};
use crate::{accounts::Proof, domain::account::Caller};

/// The account whose session the request carries, or whose access key signed it.
pub async fn caller(app: &App, request: &HttpRequest) -> Result<Caller, Fault> {
    Ok(caller_by(app, request).await?.0)
}

/// The same, with what the request shows, for whoever looks again later whether it still holds.
pub(super) async fn caller_by(app: &App, request: &HttpRequest) -> Result<(Caller, Proof), Fault> {
    let proof = proof(request).map_err(|error| match error {
        NoSession::Missing | NoSession::OtherScheme => Fault::from(RequestFault::NoSession),
        NoSession::Signature(error) => BadHeader::new("authorization", error.to_string()).into(),
    })?;
    let caller = app.accounts.identify(&proof).await?.caller;
    Ok((caller, proof))
}
