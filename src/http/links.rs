//! Absolute URLs that answers hold.

use actix_web::HttpRequest;

use super::{App, peer::TrustedProxies};
use crate::{
    accounts::Capability,
    domain::ids::{ApiId, UploadUuid},
};

/// The request names a host that cannot stand in a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the header Host is not a host name or address with an optional port")]
pub struct BadHost;

/// `http(s)://<Host>` of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base(String);

impl Base {
    /// As the client sees us: trusted proxies tell it by `Forwarded` or `X-Forwarded-Host` and `-Proto`.
    pub fn of(request: &HttpRequest, proxies: &TrustedProxies) -> Result<Self, BadHost> {
        let (scheme, host) = proxies.called(request);
        // The text goes into JSON strings inside JSON strings: nothing in it may need escaping.
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
        if host.is_empty() || host.len() > 261 || !host.bytes().all(is_plain) {
            return Err(BadHost);
        }
        Ok(Self(format!("{scheme}://{host}")))
    }

    /// Where the result of an asynchronous call is polled.
    pub fn api_job(&self, id: ApiId) -> String {
        format!("{}/zstack/v1/api-jobs/{id}", self.0)
    }

    /// Where the bytes of an upload go: a secret, since whoever has it may send them.
    pub fn upload(&self, app: &App, upload: UploadUuid, generation: i64) -> String {
        let base = self.uploads(app);
        format!("{base}/{}", app.capabilities.issue(Capability { upload, generation }))
    }

    /// Where uploads go in general.
    pub fn uploads(&self, app: &App) -> String {
        format!("{}/imagestore/upload", self.public(app))
    }

    /// Where clients reach us, without a slash at its end.
    pub fn public<'a>(&'a self, app: &'a App) -> &'a str {
        app.settings.public_url.as_deref().unwrap_or(&self.0).trim_end_matches('/')
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn the_base_is_what_the_client_called() {
        let base = |host: &'static str| {
            let request = TestRequest::default().insert_header(("Host", host)).to_http_request();
            Base::of(&request, &TrustedProxies::default())
        };
        let id = ApiId::random();
        assert_eq!(
            base("images.example:8080").unwrap().api_job(id),
            format!("http://images.example:8080/zstack/v1/api-jobs/{id}")
        );
        assert!(base("[::1]:80").is_ok());
        for bad in ["a\"b", "a b", "a/b", "a\\b", "a<b>"] {
            assert_eq!(base(bad), Err(BadHost), "{bad}");
        }
        let behind_tls = TestRequest::default()
            .insert_header(("Host", "a"))
            .insert_header(("X-Forwarded-Proto", "https"))
            .peer_addr("127.0.0.1:1".parse().unwrap())
            .to_http_request();
        let proxies = TrustedProxies::new(vec!["127.0.0.0/8".parse().unwrap()]);
        assert_eq!(Base::of(&behind_tls, &proxies), Ok(Base("https://a".to_owned())));
        let none = TrustedProxies::default();
        assert_eq!(Base::of(&behind_tls, &none), Ok(Base("http://a".to_owned())));
    }
}
