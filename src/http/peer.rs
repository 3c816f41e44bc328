//! Where a request comes from, and which host it was sent to: what a proxy says of it counts only if the proxy is a trusted one.

use std::net::{IpAddr, Ipv4Addr};

use actix_web::{
    HttpRequest,
    http::{header, uri::Authority},
};
use ipnet::IpNet;

/// The addresses whose `Forwarded` and `X-Forwarded-*` are believed.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

/// The list that proxies append the address of their client to.
const X_FORWARDED_FOR: &str = "x-forwarded-for";

impl TrustedProxies {
    /// These networks.
    pub const fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    fn hold(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address.to_canonical()))
    }

    /// Whether the request came from one of them.
    fn sent(&self, request: &HttpRequest) -> bool {
        request.peer_addr().is_some_and(|peer| self.hold(peer.ip()))
    }

    /// The client's address: the nearest one that is not a trusted proxy. Only the part of `X-Forwarded-For` that trusted proxies wrote
    /// counts, which is its end; what stands before may be the client's invention.
    pub fn client(&self, request: &HttpRequest) -> IpAddr {
        let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
        if !self.hold(peer) {
            return peer;
        }
        let lists = request.headers().get_all(X_FORWARDED_FOR);
        let hops: Vec<&str> =
            lists.filter_map(|list| list.to_str().ok()).flat_map(|list| list.split(',')).collect();
        let mut client = peer;
        for hop in hops.iter().rev() {
            let Ok(address) = hop.trim().parse::<IpAddr>() else { break };
            client = address;
            if !self.hold(address) {
                break;
            }
        }
        client
    }

    /// Scheme and host that the client called: as a trusted proxy tells them, else as the request itself has them.
    pub fn called(&self, request: &HttpRequest) -> (&'static str, String) {
        if self.sent(request) {
            let told = request.connection_info();
            let scheme = if told.scheme() == "https" { "https" } else { "http" };
            return (scheme, told.host().to_owned());
        }
        let named = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        let named = named.or_else(|| request.uri().authority().map(Authority::as_str));
        let scheme = if request.app_config().secure() { "https" } else { "http" };
        (scheme, named.map_or_else(|| request.app_config().host().to_owned(), str::to_owned))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn trusted() -> TrustedProxies {
        TrustedProxies::new(vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/24".parse().unwrap()])
    }

    fn request(peer: &str, headers: &[(&'static str, &'static str)]) -> HttpRequest {
        let request = TestRequest::default().peer_addr(format!("{peer}:1").parse().unwrap());
        let with = |request: TestRequest, header: &(&'static str, &'static str)| {
            request.append_header(*header)
        };
        headers.iter().fold(request, with).to_http_request()
    }

    #[test]
    fn only_a_trusted_proxy_may_say_which_host_was_called() {
        for (forwarded, told) in [
            (("X-Forwarded-Host", "evil.example"), "evil.example"),
            (("Forwarded", "host=evil.example;proto=http"), "evil.example"),
        ] {
            let headers = [("Host", "ours.example"), forwarded];
            let by_proxy = trusted().called(&request("127.0.0.1", &headers));
            assert_eq!(by_proxy, ("http", told.to_owned()));
            let by_anybody = trusted().called(&request("192.0.2.1", &headers));
            assert_eq!(by_anybody, ("http", "ours.example".to_owned()));
        }
        let tls = [("Host", "ours.example"), ("X-Forwarded-Proto", "https")];
        assert_eq!(trusted().called(&request("10.0.0.9", &tls)).0, "https");
        assert_eq!(trusted().called(&request("10.0.1.9", &tls)).0, "http");
    }

    #[test]
    fn a_client_cannot_invent_its_address() {
        let client = |peer: &str, list: &'static str| {
            let headers = [("X-Forwarded-For", list)];
            trusted().client(&request(peer, &headers)).to_string()
        };
        assert_eq!(client("192.0.2.1", "198.51.100.7"), "192.0.2.1", "not a proxy of ours");
        assert_eq!(client("127.0.0.1", "198.51.100.7"), "198.51.100.7");
        assert_eq!(client("127.0.0.1", "1.2.3.4, 198.51.100.7"), "198.51.100.7", "the last counts");
        assert_eq!(client("127.0.0.1", "198.51.100.7, 10.0.0.2"), "198.51.100.7", "two proxies");
        assert_eq!(client("127.0.0.1", "1.2.3.4, garbage, 10.0.0.2"), "10.0.0.2");
        assert_eq!(trusted().client(&request("127.0.0.1", &[])).to_string(), "127.0.0.1");
        let nobody = TrustedProxies::default();
        let headers = [("X-Forwarded-For", "198.51.100.7")];
        assert_eq!(nobody.client(&request("127.0.0.1", &headers)).to_string(), "127.0.0.1");
    }
}
