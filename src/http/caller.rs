//! Who makes a request of the data plane.

use actix_web::HttpRequest;

use super::{
    App,
    problem::{Fault, RequestFault},
    session::session_token,
};
use crate::domain::account::Caller;

/// The account whose session the request carries.
pub async fn caller(app: &App, request: &HttpRequest) -> Result<Caller, Fault> {
    let token = session_token(request).map_err(|_| RequestFault::NoSession)?;
    Ok(app.accounts.authenticate(&token).await?.caller)
}
