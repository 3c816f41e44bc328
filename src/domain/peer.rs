//! Where clients come from.

use std::net::{IpAddr, Ipv6Addr};

/// The address by which a client is counted. An IPv6 client owns its whole /64: single addresses of it are one.
pub fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}
