//! Who makes a request of the data plane.

use std::net::{IpAddr, Ipv4Addr};

use actix_web::HttpRequest;

use super::{
    App,
    problem::{Fault, RequestFault},
    session::session_token,
};
use crate::{
    domain::account::Caller,
    uploads::{Admission, Party, UploadError},
};

/// Counts a request for the address that it comes from: while it is not known, or does not matter any more, for whom it works.
pub fn admit_address(app: &App, request: &HttpRequest) -> Result<Admission, UploadError> {
    // Only a request that came over no socket has no address: none of ours.
    let address = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    app.uploads.admit_request(Party::Address(address))
}

/// The account whose session the request carries.
pub async fn caller(app: &App, request: &HttpRequest) -> Result<Caller, Fault> {
    let token = session_token(request).map_err(|_| RequestFault::NoSession)?;
    Ok(app.accounts.authenticate(&token).await?.caller)
}
