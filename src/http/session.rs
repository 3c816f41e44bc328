//! How a request shows who makes it: `Authorization: OAuth <session>` (or `Bearer`), or `ZStack <access key id>:<signature>`.

use actix_web::{
    HttpRequest,
    http::header::{AUTHORIZATION, DATE},
};

use crate::accounts::{MalformedSignature, Proof, SignedRequest};

/// Why a request does not show who makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoSession {
    /// There is no `Authorization`.
    #[error("missing header 'Authorization'")]
    Missing,
    /// It is of another kind.
    #[error("Authorization type must be 'OAuth'")]
    OtherScheme,
    /// It is signed, and the signature cannot be read.
    #[error(transparent)]
    Signature(#[from] MalformedSignature),
}

/// What a request shows. Whether there is such a session, and whether the signature is right, is not looked at.
pub fn proof(request: &HttpRequest) -> Result<Proof, NoSession> {
    let header = request.headers().get(AUTHORIZATION).ok_or(NoSession::Missing)?;
    let text = header.to_str().map_err(|_| NoSession::OtherScheme)?.trim();
    let (scheme, rest) = text.split_once(' ').ok_or(NoSession::OtherScheme)?;
    if scheme.eq_ignore_ascii_case("OAuth") || scheme.eq_ignore_ascii_case("Bearer") {
        return Ok(Proof::Session(rest.trim().to_owned()));
    }
    if scheme.eq_ignore_ascii_case("ZStack") {
        let date = request.headers().get(DATE).and_then(|date| date.to_str().ok());
        let (method, path) = (request.method().as_str(), request.uri().path());
        return Ok(Proof::Signature(SignedRequest::read(rest, date, method, path)?));
    }
    Err(NoSession::OtherScheme)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn only_sessions_and_signatures_are_taken() {
        let shown = |value: &'static str| {
            proof(&TestRequest::default().insert_header((AUTHORIZATION, value)).to_http_request())
        };
        let session = |token: &str| Ok(Proof::Session(token.to_owned()));
        assert_eq!(shown("OAuth abc"), session("abc"));
        assert_eq!(shown("oauth  abc "), session("abc"));
        assert_eq!(shown("Bearer abc"), session("abc"));
        assert_eq!(shown("OAuth null"), session("null"));
        for other in ["Basic abc", "abc", "", "OAuth", "ZStack"] {
            assert_eq!(shown(other), Err(NoSession::OtherScheme), "{other}");
        }
        let malformed = |what| Err(NoSession::Signature(what));
        assert_eq!(shown("ZStack abc"), malformed(MalformedSignature::Credentials));
        assert_eq!(shown("ZStack abcdefgh:AAAA"), malformed(MalformedSignature::NoDate));
        let none = TestRequest::default().to_http_request();
        assert_eq!(proof(&none), Err(NoSession::Missing));
    }

    #[test]
    fn a_signed_request_is_what_came_over_the_wire() {
        let request = TestRequest::put()
            .uri("/zstack/v1/longjobs/a%20b?x=1")
            .insert_header((AUTHORIZATION, "ZStack abcdefgh:AAAA"))
            .insert_header((DATE, "Fri, 20 Nov 2026 15:38:42 UTC"))
            .to_http_request();
        let expected = SignedRequest::read(
            "abcdefgh:AAAA",
            Some("Fri, 20 Nov 2026 15:38:42 UTC"),
            "PUT",
            "/zstack/v1/longjobs/a%20b",
        );
        assert_eq!(proof(&request), Ok(Proof::Signature(expected.unwrap())));
    }
}
