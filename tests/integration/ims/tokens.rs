//! Tokens by password, as Keystone gives them.

use serde_json::{Value, json};

use super::{Answer, Ims, NAME, PASSWORD};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_a_session_with_a_catalogue() {
    let ims = Ims::start(&[]).await;
    let account = ims.account.to_string();
    let dashed = ims.account.0.hyphenated().to_string();
    for (user, scope) in [
        (json!({"name": NAME, "password": PASSWORD}), Value::Null),
        (json!({"name": NAME, "domain": {"name": "any"}, "password": PASSWORD}), json!("unscoped")),
        (json!({"id": account, "password": PASSWORD}), json!({"domain": {"name": "any"}})),
        (json!({"id": dashed, "password": PASSWORD}), json!({"project": {"id": account}})),
        (
            json!({"name": NAME, "password": PASSWORD}),
            json!({"project": {"name": NAME, "domain": {"name": "any"}}}),
        ),
        (json!({"name": NAME, "password": PASSWORD}), json!({"project": {"id": dashed}})),
    ] {
        let answer = ims.log_in(&user, &scope).await;
        assert_eq!(answer.status, 201, "{user} {scope}: {answer:?}");
        let token = &answer.body["token"];
        assert_eq!(token["project"]["id"], account.as_str());
        assert_eq!(token["user"]["name"], NAME);
        let ends: jiff::Timestamp = token["expires_at"].as_str().unwrap().parse().unwrap();
        assert!(ends > jiff::Timestamp::now());
        let services = token["catalog"].as_array().unwrap();
        for (service, path) in [("imsv1", "/v1"), ("image", ""), ("identity", "/v3")] {
            let found = services.iter().find(|found| found["type"] == service).unwrap();
            assert_eq!(found["endpoints"][0]["url"], ims.url(path));
            assert_eq!(found["endpoints"][0]["interface"], "public");
        }
        let secret = answer.subject_token.unwrap();
        assert!(!answer.body.to_string().contains(&secret), "the token is in the header alone");
        let path = ims.url(&format!("/v1/{account}/jobs"));
        let jobs = Answer::of(ims.http.get(path).header("X-Auth-Token", &secret)).await;
        assert_eq!(jobs.status, 200);
        // It is a session for the other surfaces as well.
        let sessions = ims.service.app.accounts.authenticate(&secret).await.unwrap();
        assert_eq!(sessions.caller, ims.caller());
    }
    let version = Answer::of(ims.http.get(ims.url("/v3"))).await;
    assert_eq!(version.body["version"]["links"][0]["href"], ims.url("/v3/"));
    ims.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_known_gets_no_token() {
    let ims = Ims::start(&[]).await;
    let own = json!({"name": NAME, "password": PASSWORD});
    let long = "x".repeat(257);
    for (user, scope, status) in [
        (json!({"name": NAME, "password": "another"}), Value::Null, 401),
        (json!({"name": "nobody", "password": PASSWORD}), Value::Null, 401),
        (json!({"id": "00000000000040008000000000000000", "password": PASSWORD}), Value::Null, 401),
        (json!({"id": "../x", "password": PASSWORD}), Value::Null, 401),
        (own.clone(), json!({"project": {"name": "another"}}), 401),
        (own.clone(), json!({"project": {"id": "00000000000040008000000000000000"}}), 401),
        (own.clone(), json!({"project": []}), 400),
        (own.clone(), json!({"project": {}}), 400),
        (own.clone(), json!({"project": {"id": 7}}), 400),
        (json!({"password": PASSWORD}), Value::Null, 400),
        (json!({"name": NAME}), Value::Null, 400),
        (json!({"name": 7, "password": PASSWORD}), Value::Null, 400),
        (json!({"name": NAME, "password": long}), Value::Null, 400),
        (json!({"name": long, "password": PASSWORD}), Value::Null, 400),
        (json!([]), Value::Null, 400),
        (json!("admin"), Value::Null, 400),
    ] {
        let answer = ims.log_in(&user, &scope).await;
        assert_eq!(answer.status, status, "{user} {scope}: {answer:?}");
        assert_eq!(answer.body["error"]["code"], status);
        assert!(answer.subject_token.is_none());
        let words = answer.body["error"]["message"].as_str().unwrap();
        assert!(!words.is_empty() && words.len() < 400, "{words}");
    }
    for body in [
        json!({}),
        json!({"auth": null}),
        json!({"auth": {"identity": {"methods": ["password"]}}}),
        json!({"auth": {"identity": {"methods": "password"}}}),
        json!({"auth": {"identity": {"methods": ["totp"], "password": {"user": own}}}}),
    ] {
        let answer = Answer::of(ims.http.post(ims.url("/v3/auth/tokens")).json(&body)).await;
        assert_eq!(answer.status, 400, "{body}");
    }
    ims.stop().await;
}

/// The bound on guessing is the same as for every login.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_cannot_be_guessed_without_end() {
    let ims = Ims::start(&[]).await;
    let id = ims.account.to_string();
    let wrong = |at: usize| match at % 2 {
        0 => json!({"name": NAME, "password": "wrong"}),
        _ => json!({"id": id, "password": "wrong"}),
    };
    for at in 0..longshore::accounts::ATTEMPTS_MAX {
        assert_eq!(ims.log_in(&wrong(at), &Value::Null).await.status, 401);
    }
    for at in 0..2 {
        assert_eq!(ims.log_in(&wrong(at), &Value::Null).await.status, 429);
    }
    ims.stop().await;
}
