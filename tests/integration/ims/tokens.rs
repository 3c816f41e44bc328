//! Tokens by password, as Keystone gives them.

use longshore::domain::{account::Caller, query::Query};
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

/// The header that the SDKs sign with every call says in which project it is meant.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_meant_in_the_project_of_its_header() {
    let ims = Ims::start(&[]).await;
    let own = ims.account.to_string();
    let admin = json!({"name": "admin", "password": crate::support::app::PASSWORD});
    let admin = ims.log_in(&admin, &Value::Null).await;
    let admins = admin.body["token"]["project"]["id"].as_str().unwrap().to_owned();
    let admin = admin.subject_token.unwrap();
    let create = async |token: &str, project: &str| {
        let request =
            ims.http.post(ims.url("/v2/cloudimages/action")).header("X-Auth-Token", token);
        let body = json!({"name": "a", "min_disk": 40});
        Answer::of(request.header("X-Project-Id", project).json(&body)).await
    };
    let ask = async |path: String, token: &str, project: &str| {
        let request = ims.http.get(ims.url(&path)).header("X-Auth-Token", token);
        Answer::of(request.header("X-Project-Id", project)).await
    };
    // An admin's call makes the job in the project that it names.
    let made = create(&admin, &own).await;
    assert_eq!(made.status, 200, "{made:?}");
    let id = made.body["job_id"].as_str().unwrap();
    assert_eq!(ims.get(&format!("/v1/{own}/jobs/{id}")).await.status, 200, "it is the user's");
    assert_eq!(ims.get(&format!("/v1/{own}/jobs")).await.body["total"], 1);
    let job = format!("/v1/cloudimages/job/{id}");
    assert_eq!(ask(job.clone(), &admin, &own).await.status, 200);
    assert_eq!(ask(job.clone(), &admin, &admins).await.refusal(), (404, "IMG.0023"));
    // In no project of nobody's: what it made there nobody could see, finish or delete.
    let nobodys = "00000000000040008000000000000000";
    assert_eq!(create(&admin, nobodys).await.refusal(), (400, "IMG.0030"));
    let list = format!("/v1/{nobodys}/jobs");
    assert_eq!(ask(list.clone(), &admin, nobodys).await.refusal(), (400, "IMG.0030"));
    let by_path = ims.http.get(ims.url(&list)).header("X-Auth-Token", &admin);
    assert_eq!(Answer::of(by_path).await.refusal(), (400, "IMG.0030"));
    let everybody = Caller { admin: true, ..ims.caller() };
    let all = Query { reply_with_count: true, ..Query::default() };
    let all = ims.service.app.jobs.query(everybody, &all).await.unwrap();
    assert_eq!(all.total, Some(1), "the job of the user is the only one");
    // A user has one project.
    let dashed = ims.account.0.hyphenated().to_string();
    assert_eq!(create(&ims.token, &dashed).await.status, 200);
    assert_eq!(create(&ims.token, &admins).await.refusal(), (400, "IMG.0030"));
    for wrong in ["", "x"] {
        assert_eq!(create(&ims.token, wrong).await.refusal(), (400, "IMG.0067"), "{wrong}");
    }
    // Path and header name the same.
    let list = format!("/v1/{own}/jobs");
    assert_eq!(ask(list.clone(), &admin, &own).await.body["total"], 2);
    assert_eq!(ask(list.clone(), &admin, &admins).await.refusal(), (400, "IMG.0030"));
    let twice = ims.http.get(ims.url(&list)).header("X-Auth-Token", &ims.token);
    let twice = twice.header("X-Project-Id", &own).header("X-Project-Id", &own);
    assert_eq!(Answer::of(twice).await.refusal(), (400, "IMG.0067"));
    ims.stop().await;
}

/// A token can be ended by its user, which makes room for another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_can_be_ended() {
    let ims = Ims::start(&[("LONGSHORE_SESSIONS__PER_ACCOUNT_MAX", "2")]).await;
    let user = json!({"name": NAME, "password": PASSWORD});
    let second = ims.log_in(&user, &Value::Null).await.subject_token.unwrap();
    let full = {
        let identity = json!({"methods": ["password"], "password": {"user": user}});
        let request = ims.http.post(ims.url("/v3/auth/tokens"));
        request.json(&json!({"auth": {"identity": identity}})).send().await.unwrap()
    };
    assert_eq!(full.status(), 429);
    let after: u64 = full.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(after > 0);

    let end = async |token: &str, subjects: &[&str]| {
        let request = ims.http.delete(ims.url("/v3/auth/tokens")).header("X-Auth-Token", token);
        let request =
            subjects.iter().fold(request, |r, subject| r.header("X-Subject-Token", *subject));
        request.send().await.unwrap().status().as_u16()
    };
    ims.service.app.accounts.create_account("other", PASSWORD, false).await.unwrap();
    let other = json!({"name": "other", "password": PASSWORD});
    let other = ims.log_in(&other, &Value::Null).await.subject_token.unwrap();
    assert_eq!(end(&other, &[&second]).await, 404, "of another account it is not there");
    assert_eq!(end("none", &[&second]).await, 401);
    assert_eq!(end(&ims.token, &[]).await, 400);
    assert_eq!(end(&ims.token, &[&second, &second]).await, 400);
    let jobs = ims.url(&format!("/v1/{}/jobs", ims.account));
    let ask = async || Answer::of(ims.http.get(&jobs).header("X-Auth-Token", &second)).await;
    assert_eq!(ask().await.status, 200, "it lives after all that");

    assert_eq!(end(&ims.token, &[&second]).await, 204);
    // Over the connection that it was used on a moment ago.
    assert_eq!(ask().await.refusal(), (401, "APIGW.0301"));
    assert_eq!(end(&ims.token, &[&second]).await, 404, "it has ended already");
    assert_eq!(ims.log_in(&user, &Value::Null).await.status, 201, "there is room again");
    ims.stop().await;
}
