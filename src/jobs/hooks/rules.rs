//! Which URLs a web hook may call, and which addresses their names may lead to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;

use crate::config::HookTarget;

/// The name of this machine to itself.
const LOCALHOST: &str = "localhost";
/// Longest URL.
const URL_BYTES_MAX: usize = 2048;
/// Where clouds answer questions about a machine, and hand out its credentials; those within 169.254.0.0/16 are link-local anyhow.
const METADATA: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// What the operator allows. Nothing, if the list is empty.
///
/// A name has to be listed with its scheme and port. An address may be listed the same way, or lie in a listed network. A listed name
/// must not lead to this machine, to link-local addresses, or to a cloud's metadata, unless those are listed as addresses: names belong
/// to whoever runs their DNS.
#[derive(Debug, Clone, Default)]
pub struct HookRules(Vec<HookTarget>);

impl HookRules {
    /// These targets.
    pub const fn new(targets: Vec<HookTarget>) -> Self {
        Self(targets)
    }

    /// The URL, if it may be called.
    pub(super) fn url(&self, text: &str) -> Option<Url> {
        if text.len() > URL_BYTES_MAX {
            return None;
        }
        let mut url = Url::parse(text).ok()?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none();
        let origin = url.origin().ascii_serialization();
        let is_listed = |target: &HookTarget| match target {
            HookTarget::Origin(listed) => *listed == origin,
            HookTarget::Network(network) => {
                literal(&url).is_some_and(|address| network.contains(&address))
            }
        };
        let allowed = plain && self.0.iter().any(is_listed);
        url.set_fragment(None);
        allowed.then_some(url)
    }

    fn lists(&self, name: &str) -> bool {
        self.0.iter().any(|target| match target {
            HookTarget::Origin(listed) => {
                Url::parse(listed).is_ok_and(|url| url.host_str() == Some(name))
            }
            HookTarget::Network(_) => false,
        })
    }

    /// Whether a listed name may lead to this address.
    pub(super) fn address(&self, name: &str, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let literally = self.0.iter().any(|target| match target {
            HookTarget::Origin(listed) => {
                Url::parse(listed).ok().and_then(|url| literal(&url)) == Some(address)
            }
            HookTarget::Network(network) => network.contains(&address),
        });
        // Who lists `localhost` means it.
        let meant = name == LOCALHOST && address.is_loopback() && self.lists(LOCALHOST);
        literally || meant || !is_inner(address)
    }
}

/// The address that a URL names.
fn literal(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// This machine, its link, its cloud, or nobody in particular.
fn is_inner(address: IpAddr) -> bool {
    if METADATA.contains(&address) {
        return true;
    }
    match address {
        IpAddr::V4(v4) => {
            v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.octets()[0] == 0
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unicast_link_local()
                || embedded(v6).is_some_and(|v4| is_inner(IpAddr::V4(v4)))
        }
    }
}

/// The IPv4 address within an address of NAT64 (64:ff9b::/96, 64:ff9b:1::/48) or 6to4 (2002::/16), or in the old form `::a.b.c.d`.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let octets = address.octets();
    let at = |from: usize| {
        let within: Option<[u8; 4]> = octets[from..from + 4].try_into().ok();
        within.map(Ipv4Addr::from)
    };
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0x64, 0xff9b, 1, ..] | [0, 0, 0, 0, 0, 0, ..] => at(12),
        [0x2002, ..] => at(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ipnet::IpNet;

    use super::*;

    fn rules(targets: &[&str]) -> HookRules {
        let target = |text: &&str| {
            let network: Result<IpNet, _> = text.parse();
            network.map_or_else(|_| HookTarget::Origin((*text).to_owned()), HookTarget::Network)
        };
        HookRules::new(targets.iter().map(target).collect())
    }

    #[test]
    fn nothing_is_allowed_unless_it_is_listed() {
        for url in ["http://a.example/x", "http://127.0.0.1/", "https://10.0.0.1"] {
            assert_eq!(HookRules::default().url(url), None, "{url}");
        }
        let rules = rules(&["https://a.example", "http://b.example:8080", "10.1.0.0/16"]);
        for (url, allowed) in [
            ("https://a.example/hook?key=1", true),
            ("https://A.EXAMPLE:443", true),
            ("http://a.example/hook", false),
            ("https://a.example:8443/hook", false),
            ("https://a.example.evil.example/", false),
            ("https://a.example@evil.example/", false),
            ("https://user@a.example/", false),
            ("https://:pw@a.example/", false),
            ("https://a.example\\@evil.example/", true),
            ("http://b.example:8080/", true),
            ("http://b.example/", false),
            ("http://10.1.2.3:9000/", true),
            ("https://10.1.2.3/", true),
            ("http://10.2.0.1/", false),
            ("http://[::ffff:10.1.2.3]/", true),
            ("http://167838211/", true),
            ("http://167903747/", false),
            ("ftp://a.example/", false),
            ("file:///etc/passwd", false),
            ("a.example", false),
            ("", false),
        ] {
            assert_eq!(rules.url(url).is_some(), allowed, "{url}");
        }
        let long = format!("https://a.example/{}", "x".repeat(URL_BYTES_MAX));
        assert_eq!(rules.url(&long), None);
        // A backslash is a slash to URL parsers: the host is the listed one, and so is what is called.
        let odd = rules.url("https://a.example\\@evil.example/").unwrap();
        assert_eq!(odd.host_str(), Some("a.example"));
    }

    #[test]
    fn a_name_must_not_lead_inside() {
        let names = rules(&["https://a.example"]);
        for (address, allowed) in [
            ("192.0.2.1", true),
            ("10.0.0.1", true),
            ("fd00::1", true),
            ("127.0.0.1", false),
            ("127.9.9.9", false),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("169.254.169.254", false),
            ("100.100.100.200", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::1", false),
            ("::", false),
            ("fe80::1", false),
            ("fd00:ec2::254", false),
            ("::ffff:169.254.169.254", false),
            ("64:ff9b::a9fe:a9fe", false),
            ("64:ff9b::c000:201", true),
            ("64:ff9b:1::7f00:1", false),
            ("::127.0.0.1", false),
            ("::192.0.2.1", true),
            ("168.63.129.16", false),
            ("fd20:ce::254", false),
            ("2002:7f00:1::1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(names.address("a.example", address.parse().unwrap()), allowed, "{address}");
        }
        let listed = rules(&["https://a.example", "127.0.0.0/8", "http://169.254.169.254"]);
        for address in ["127.0.0.1", "169.254.169.254"] {
            assert!(listed.address("a.example", address.parse().unwrap()), "{address} is listed");
        }
        assert!(!listed.address("a.example", "169.254.169.253".parse().unwrap()));
        assert!(!names.address("localhost", "127.0.0.1".parse().unwrap()), "it is not listed");
        let names = rules(&["https://localhost:9000"]);
        assert!(names.address("localhost", "127.0.0.1".parse().unwrap()));
        assert!(!names.address("a.example", "127.0.0.1".parse().unwrap()));
        assert!(!names.address("localhost", "169.254.169.254".parse().unwrap()));
    }
}
