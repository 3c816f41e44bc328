//! Web hooks over HTTP.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use reqwest::{
    Client, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::CONTENT_TYPE,
    redirect::Policy,
};

use super::{HookCall, HookFailure, HookRules, HookSender};

/// For the whole of a try, and for its connection.
const TRY_MAX: Duration = Duration::from_secs(10);
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Sends hooks with a client of its own: no proxy, no redirect, no cookie, and its own resolver.
pub struct HttpHooks(Client);

impl HttpHooks {
    /// A client that connects to no address that these rules forbid.
    pub fn new(rules: HookRules) -> Result<Self, reqwest::Error> {
        // Whoever came first has installed the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .dns_resolver(Arc::new(Resolver(Arc::new(rules))))
            .timeout(TRY_MAX)
            .connect_timeout(CONNECT_MAX)
            // A kept connection would go where the name led once.
            .pool_max_idle_per_host(0)
            .build()?;
        Ok(Self(client))
    }
}

#[async_trait]
impl HookSender for HttpHooks {
    async fn send(&self, url: &Url, call: &HookCall) -> Result<(), HookFailure> {
        let request = self
            .0
            .post(url.clone())
            .header(CONTENT_TYPE, "application/json;charset=utf-8")
            .header("X-Job-UUID", call.id.to_string())
            .header("X-Job-Success", if call.success { "true" } else { "false" })
            .body(call.body.clone());
        // The words of an error name the URL, whose path may be a secret. The body of the answer is not read.
        let answer = request.send().await.map_err(|error| unreachable(&error.without_url()))?;
        let status = answer.status();
        if status.is_success() { Ok(()) } else { Err(HookFailure::Status(status.as_u16())) }
    }
}

fn unreachable(error: &dyn std::error::Error) -> HookFailure {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words.push_str(": ");
        words.push_str(&cause.to_string());
        source = cause.source();
    }
    HookFailure::Unreachable(words)
}

/// The system's resolver, without the addresses that the rules forbid.
struct Resolver(Arc<HookRules>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = Arc::clone(&self.0);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> =
                found.filter(|found| rules.address(name.as_str(), found.ip())).collect();
            if allowed.is_empty() {
                return Err("the name leads to no address that a web hook may call".into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}
