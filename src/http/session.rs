//! The session that a request names: `Authorization: OAuth <session>`, or `Bearer`.

use actix_web::{HttpRequest, http::header::AUTHORIZATION};

/// Why a request names no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoSession {
    /// There is no `Authorization`.
    #[error("missing header 'Authorization'")]
    Missing,
    /// It is of another kind.
    #[error("Authorization type must be 'OAuth'")]
    OtherScheme,
}

/// The token of the session that a request names. Whether there is such a session is not looked at.
pub fn session_token(request: &HttpRequest) -> Result<String, NoSession> {
    let header = request.headers().get(AUTHORIZATION).ok_or(NoSession::Missing)?;
    let text = header.to_str().map_err(|_| NoSession::OtherScheme)?.trim();
    let (scheme, token) = text.split_once(' ').ok_or(NoSession::OtherScheme)?;
    if scheme.eq_ignore_ascii_case("OAuth") || scheme.eq_ignore_ascii_case("Bearer") {
        return Ok(token.trim().to_owned());
    }
    Err(NoSession::OtherScheme)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn only_sessions_are_taken() {
        let token = |value: &'static str| {
            session_token(
                &TestRequest::default().insert_header((AUTHORIZATION, value)).to_http_request(),
            )
        };
        assert_eq!(token("OAuth abc").as_deref(), Ok("abc"));
        assert_eq!(token("oauth  abc ").as_deref(), Ok("abc"));
        assert_eq!(token("Bearer abc").as_deref(), Ok("abc"));
        assert_eq!(token("OAuth null").as_deref(), Ok("null"));
        for other in ["Basic abc", "ZStack id:sig", "abc", "", "OAuth"] {
            assert_eq!(token(other), Err(NoSession::OtherScheme), "{other}");
        }
        let none = TestRequest::default().to_http_request();
        assert_eq!(session_token(&none), Err(NoSession::Missing));
    }
}
