//! Values with a syntax of their own.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use ipnet::IpNet;

use longshore_storage::digest::{Engine, Kernel, KernelChoice};

/// The value of `digest_kernel` that leaves the choice to the CPU.
const AUTO: &str = "auto";

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How clients reach the service: `http` or `https`, a host, perhaps a path; no trailing slash, query or fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// `None` if the text is no such URL.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let url = reqwest::Url::parse(text).ok()?;
        let plain = url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        let web = matches!(url.scheme(), "http" | "https") && url.has_host();
        (plain && web).then(|| Self(url.as_str().trim_end_matches('/').to_owned()))
    }

    /// The URL without a trailing slash, so that a path can be appended.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names this machine only: no other could follow an upload URL that starts with it.
    pub fn is_loopback(&self) -> bool {
        let url = reqwest::Url::parse(&self.0).ok();
        let host = url.as_ref().and_then(reqwest::Url::host_str).unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost"
            || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An address and port; `localhost` is the IPv4 loopback.
pub(super) fn listen(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}").parse().ok(),
        None => text.parse().ok(),
    }
}

/// A web origin as browsers send it: scheme, host and port, nothing after.
pub(super) fn web_origin(text: &str) -> Option<String> {
    let url = reqwest::Url::parse(text).ok()?;
    let origin = url.origin().ascii_serialization();
    (matches!(url.scheme(), "http" | "https") && origin == text).then_some(origin)
}

/// Where a web hook may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookTarget {
    /// This scheme, host and port.
    Origin(String),
    /// URLs that name an address in this network.
    Network(IpNet),
}

/// An origin, or a network.
pub(super) fn hook_target(text: &str) -> Option<HookTarget> {
    let origin = web_origin(text.trim_end_matches('/')).map(HookTarget::Origin);
    origin.or_else(|| network(text).map(HookTarget::Network))
}

/// A network, or one address.
pub(super) fn network(text: &str) -> Option<IpNet> {
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse().ok().or_else(address).map(|network: IpNet| network.trunc())
}

/// A whole number, or for bytes a number with a binary unit such as `48 MiB`.
pub(super) fn number(text: &str, bytes: bool) -> Option<u64> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "KiB" if bytes => 10,
        "MiB" if bytes => 20,
        "GiB" if bytes => 30,
        "TiB" if bytes => 40,
        _ => return None,
    };
    digits.trim().replace('_', "").parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// What `digest_kernel` may be on this machine; the default comes first.
pub(super) fn digest_kernels() -> Vec<&'static str> {
    let here =
        Kernel::ALL.into_iter().filter(|kernel| Engine::new(KernelChoice::Only(*kernel)).is_ok());
    std::iter::once(AUTO).chain(here.map(Kernel::name)).collect()
}

/// The kernels of that name, where the CPU can run them.
pub(super) fn digest_engine(text: &str) -> Option<Engine> {
    if text == AUTO {
        return Some(Engine::AUTO);
    }
    let kernel = Kernel::ALL.into_iter().find(|kernel| kernel.name() == text)?;
    Engine::new(KernelChoice::Only(kernel)).ok()
}
