//! Who makes a request, by its session.

use actix_web::{HttpRequest, http::header::AUTHORIZATION};

use super::{
    App,
    problem::{Fault, RequestFault},
};
use crate::domain::account::Caller;

/// The account whose session the request carries: `Authorization: OAuth <session>`, or `Bearer`.
pub async fn caller(app: &App, request: &HttpRequest) -> Result<Caller, Fault> {
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(session_token).ok_or(RequestFault::NoSession)?;
    Ok(app.accounts.authenticate(token).await?.caller)
}

fn session_token(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    ["OAuth", "Bearer"].iter().any(|known| scheme.eq_ignore_ascii_case(known)).then(|| token.trim())
}

/// What stands for this request in answers and logs.
pub fn request_id(_request: &HttpRequest) -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_schemes_name_a_session() {
        for (header, token) in [
            ("OAuth abc", Some("abc")),
            ("oauth  abc ", Some("abc")),
            ("Bearer abc", Some("abc")),
            ("Basic abc", None),
            ("abc", None),
            ("", None),
        ] {
            assert_eq!(session_token(header), token, "{header}");
        }
    }
}
