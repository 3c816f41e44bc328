//! Who makes a request of the data plane.

use std::net::{IpAddr, Ipv4Addr};

use actix_web::HttpRequest;

use super::{
    App,
    headers::BadHeader,
    problem::{Fault, RequestFault},
    session::{NoSession, proof},
};
use crate::domain::account::Caller;

/// Where a request comes from.
pub fn address(request: &HttpRequest) -> IpAddr {
    // Only a request that came over no socket has no address: none of ours.
    request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip())
}

/// The account whose session the request carries, or whose access key signed it.
pub async fn caller(app: &App, request: &HttpRequest) -> Result<Caller, Fault> {
    let proof = proof(request).map_err(|error| match error {
        NoSession::Missing | NoSession::OtherScheme => Fault::from(RequestFault::NoSession),
        NoSession::Signature(error) => BadHeader::new("authorization", error.to_string()).into(),
    })?;
    Ok(app.accounts.identify(&proof).await?.caller)
}
