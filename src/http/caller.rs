//! Who makes a request of the data plane.

use std::net::{IpAddr, Ipv4Addr};

use actix_web::HttpRequest;

use super::{
    App,
    problem::{Fault, RequestFault},
    session::session_token,
};
use crate::domain::account::Caller;

/// Where a request comes from.
pub fn address(request: &HttpRequest) -> IpAddr {
    // Only a request that came over no socket has no address: none of ours.
    request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip())
}

/// The account whose session the request carries.
pub async fn caller(app: &App, request: &HttpRequest) -> Result<Caller, Fault> {
    let token = session_token(request).map_err(|_| RequestFault::NoSession)?;
    Ok(app.accounts.authenticate(&token).await?.caller)
}
