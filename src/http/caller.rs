//! Who makes a request of the data plane.

use actix_web::HttpRequest;

use super::{
    App,
    headers::BadHeader,
    problem::{Fault, RequestFault},
    session::{NoSession, proof},
};
use crate::domain::account::Caller;

/// The account whose session the request carries, or whose access key signed it.
pub async fn caller(app: &App, request: &HttpRequest) -> Result<Caller, Fault> {
    let proof = proof(request).map_err(|error| match error {
        NoSession::Missing | NoSession::OtherScheme => Fault::from(RequestFault::NoSession),
        NoSession::Signature(error) => BadHeader::new("authorization", error.to_string()).into(),
    })?;
    Ok(app.accounts.identify(&proof).await?.caller)
}
