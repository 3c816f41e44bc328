//! Web hooks, `X-API-Timeout`, proxies and passwords over HTTP.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};

use super::{
    http::{Site, read},
    sent,
};

/// A receiver that answers each request with the next of `answers`, then 200; and the requests as they came.
async fn receiver(answers: Vec<String>) -> (u16, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut answers = answers.into_iter();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            loop {
                let text = String::from_utf8_lossy(&request).into_owned();
                let length = text.split_once("\r\n\r\n").and_then(|(head, body)| {
                    let mut lines = head.lines();
                    let length = lines.find_map(|line| line.strip_prefix("content-length: "))?;
                    let length: usize = length.parse().ok()?;
                    Some(body.len() >= length)
                });
                if length == Some(true) {
                    break;
                }
                let mut buffer = [0; 4096];
                match stream.read(&mut buffer).await {
                    Ok(0) | Err(_) => break,
                    Ok(read) => request.extend_from_slice(&buffer[..read]),
                }
            }
            let answer = answers.next().unwrap_or_else(|| "200 OK\r\n".to_owned());
            let answer = format!("HTTP/1.1 {answer}content-length: 0\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
            if tell.send(String::from_utf8(request).unwrap()).is_err() {
                return;
            }
        }
    });
    (port, told)
}

async fn next(told: &mut mpsc::UnboundedReceiver<String>) -> (String, Value) {
    let request = tokio::time::timeout(Duration::from_secs(20), told.recv()).await;
    let request = request.expect("a hook arrives").unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), serde_json::from_str(body).unwrap())
}

const JOB: &str = "0123456789ab4def8123456789abcdef";
const DELETE: &str = "/zstack/v1/longjobs/0123456789ab4def8123456789abcde0";

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_sent_where_the_operator_allows_it() {
    // The first answer would lead astray: it is no redirect for us, but a failure, and the same URL is tried again.
    let (other, mut strayed) = receiver(Vec::new()).await;
    let astray = format!("307 Temporary Redirect\r\nlocation: http://127.0.0.1:{other}/\r\n");
    let (port, mut told) = receiver(vec![astray]).await;
    let allowed = format!("http://127.0.0.1:{port}, http://localhost:{port}");
    let site = Site::start(&[("LONGSHORE_HTTP__WEB_HOOKS_ALLOWED", &allowed)]);
    let session = site.admin().await;
    let url = format!("http://127.0.0.1:{port}/hook?key=1");
    let headers = [("Authorization", session.as_str()), ("X-Web-Hook", &url), ("X-Job-UUID", JOB)];
    let image = r#"{"name":"a","url":"upload://a","format":"raw"}"#;
    let submit = json!({"params":{"jobName":"APIAddImageMsg","jobData":image}}).to_string();
    let accepted = site.send("POST", "/zstack/v1/longjobs", &headers, submit).await;
    let (status, polled) = site.polled(accepted).await;
    assert_eq!(status, 200);
    for _ in 0..2 {
        let (head, body) = next(&mut told).await;
        assert!(head.starts_with("post /hook?key=1 http/1.1"), "{head}");
        assert!(head.contains(&format!("x-job-uuid: {JOB}")), "{head}");
        assert!(head.contains("x-job-success: true"), "{head}");
        assert_eq!(body, polled, "the very result that is polled, the upload URL in it");
    }
    assert!(strayed.try_recv().is_err(), "no redirect is followed");

    // A refusal is told as well, and a name that means this machine because the operator said so.
    let url = format!("http://localhost:{port}/");
    let headers = [("Authorization", session.as_str()), ("X-Web-Hook", &url)];
    let submit = json!({"params":{"jobName":"X"}}).to_string();
    let accepted = site.send("POST", "/zstack/v1/longjobs", &headers, submit).await;
    assert_eq!(accepted.status(), 202);
    let (head, body) = next(&mut told).await;
    assert!(head.contains("x-job-success: false"), "{head}");
    assert_eq!(body["error"]["code"], "SYS.1007");

    // Who is not known sends nothing anywhere, and is told at once: nobody would poll.
    let headers = [("Authorization", "OAuth null"), ("X-Web-Hook", url.as_str())];
    let refused = site.send("DELETE", DELETE, &headers, "").await;
    assert_eq!(refused.status(), 503);
    assert_eq!(read(refused).await["error"]["code"], "ID.1001");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(told.try_recv().is_err());
    site.stop().await;
}

#[tokio::test]
async fn a_hook_elsewhere_is_refused_before_anything_is_done() {
    let (port, mut told) = receiver(Vec::new()).await;
    let allowed = "http://a.example, 10.0.0.0/8";
    let site = Site::start(&[("LONGSHORE_HTTP__WEB_HOOKS_ALLOWED", allowed)]);
    let session = site.admin().await;
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("http://localhost:{port}/"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "http://a.example:81/".to_owned(),
        "http://a.example@127.0.0.1/".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        let headers =
            [("Authorization", session.as_str()), ("X-Web-Hook", &url), ("X-Job-UUID", JOB)];
        let refused = site.send("DELETE", DELETE, &headers, "").await;
        assert_eq!(refused.status(), 400, "{url}");
        let words = refused.text().await.unwrap();
        assert!(words.contains("http.web_hooks_allowed"), "{words}");
    }
    let headers = [("Authorization", session.as_str()), ("X-Job-UUID", JOB)];
    let accepted = site.send("DELETE", DELETE, &headers, "").await;
    assert_eq!(site.polled(accepted).await.0, 200, "the id was not taken by the refusals");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(told.try_recv().is_err(), "nothing was ever sent");
    site.stop().await;
}

/// A session is in no row, no log, and no hook.
#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_holds_a_session_is_sent_nowhere() {
    let (port, mut told) = receiver(Vec::new()).await;
    let allowed = format!("http://127.0.0.1:{port}");
    let site = Site::start(&[("LONGSHORE_HTTP__WEB_HOOKS_ALLOWED", &allowed)]);
    let session = site.admin().await;
    let token = session.strip_prefix("OAuth ").unwrap();
    let path = format!("/zstack/v1/accounts/sessions/{token}/renew");
    let renew = r#"{"renewSession":{"duration":3600}}"#;
    let headers = [("Authorization", session.as_str()), ("X-Job-UUID", JOB)];
    let with_hook = [&headers[..], &[("X-Web-Hook", &allowed)]].concat();
    let refused = site.send("PUT", &path, &with_hook, renew).await;
    assert_eq!(refused.status(), 400);
    assert!(refused.text().await.unwrap().contains("poll the location"));
    let accepted = site.send("PUT", &path, &headers, renew).await;
    let (status, renewed) = site.polled(accepted).await;
    assert_eq!(
        (status, &renewed["inventory"]["uuid"]),
        (200, &json!(token)),
        "the id was not taken"
    );
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(told.try_recv().is_err(), "nothing was ever sent");
    site.stop().await;
}

#[tokio::test]
async fn the_time_of_a_call_is_the_clients_within_bounds() {
    let site = Site::start(&[]);
    let session = site.admin().await;
    for (secs, told) in
        [("1", Some(1000)), ("259200", Some(259_200_000)), ("0", None), ("-1", None)]
            .into_iter()
            .chain([("259201", None), ("1.5", None), ("x", None), ("", None)])
    {
        let headers = [("Authorization", session.as_str()), ("X-API-Timeout", secs)];
        let answer = site.send("DELETE", DELETE, &headers, "").await;
        if let Some(told) = told {
            assert_eq!(read(answer).await["apiTimeout"], told, "{secs}");
        } else {
            assert_eq!(answer.status(), 400, "{secs}");
            assert!(answer.text().await.unwrap().contains("from 1 to 259200"), "{secs}");
        }
    }
    let headers = [("Authorization", session.as_str())];
    let answer = read(site.send("DELETE", DELETE, &headers, "").await).await;
    assert_eq!(answer["apiTimeout"], 1_800_000, "ZStack's own");
    site.stop().await;
}

#[tokio::test]
async fn a_forwarded_host_counts_only_from_a_trusted_proxy() {
    for (trusted, host) in [("127.0.0.1", "images.example"), ("10.0.0.0/8", "127.0.0.1")] {
        let site = Site::start(&[("LONGSHORE_HTTP__TRUSTED_PROXIES", trusted)]);
        let session = site.admin().await;
        let headers = [("Authorization", session.as_str()), ("X-Forwarded-Host", "images.example")];
        let answer = read(site.send("DELETE", DELETE, &headers, "").await).await;
        let location = answer["location"].as_str().unwrap();
        assert!(location.starts_with(&format!("http://{host}")), "{location}");
        site.stop().await;
    }
}

#[tokio::test]
async fn a_password_is_changed_over_the_api() {
    let site = Site::start(&[]);
    let accounts = &site.service.app.accounts;
    let ann = accounts.create_account("ann", "password", false).await.unwrap();
    let here = site.log_in("ann", "password").await.unwrap();
    let there = site.log_in("ann", "password").await.unwrap();
    let path = format!("/zstack/v1/accounts/{}/actions", ann.uuid);
    let change = async |session: &str, path: &str, fields: Value| {
        let headers = [("Authorization", session), ("X-JSON-Schema", "true")];
        let body = json!({ "updateAccount": fields }).to_string();
        site.polled(site.send("PUT", path, &headers, body).await).await
    };
    let (status, refused) = change(&here, &path, json!({"password": sent("a new one")})).await;
    assert_eq!((status, &refused["error"]["code"]), (503, &json!("SYS.1007")), "{refused}");
    let fields = json!({"password": sent("a new one"), "oldPassword": sent("password")});
    let (status, changed) = change(&here, &path, fields).await;
    assert_eq!(status, 200, "{changed}");
    assert_eq!(changed["inventory"]["name"], "ann");
    assert_eq!(changed["inventory"]["type"], "Normal");
    assert_eq!(changed["schema"]["inventory"], "org.zstack.header.identity.AccountInventory");
    assert!(!changed.to_string().contains("argon2") && !changed.to_string().contains("assword"));
    let valid = async |session: &str| {
        let token = session.strip_prefix("OAuth ").unwrap();
        let path = format!("/zstack/v1/accounts/sessions/{token}/valid");
        read(site.send("GET", &path, &[], "").await).await["valid"].as_bool().unwrap()
    };
    assert_eq!([valid(&here).await, valid(&there).await], [true, false]);
    assert_eq!(site.log_in("ann", "password").await.unwrap_err()["code"], "ID.1000");

    // The other path of the SDKs, an admin, and somebody else.
    let admin = site.admin().await;
    let path = format!("/zstack/v1/accounts/{}", ann.uuid);
    let fields = json!({"password": sent("by the admin"), "description": "lab"});
    let (status, changed) = change(&admin, &path, fields).await;
    assert_eq!((status, &changed["inventory"]["description"]), (200, &json!("lab")));
    assert!(!valid(&here).await);
    site.log_in("ann", "by the admin").await.unwrap();
    accounts.create_account("bob", "password", false).await.unwrap();
    let bob = site.log_in("bob", "password").await.unwrap();
    let (_, refused) = change(&bob, &path, json!({"password": sent("by bob, too")})).await;
    assert_eq!(refused["error"]["code"], "SYS.1003", "{refused}");
    let (_, refused) = change(&admin, "/zstack/v1/accounts/nonsense", json!({})).await;
    assert_eq!(refused["error"]["code"], "SYS.1003", "{refused}");

    // Guessing comes to an end, in words, and users below accounts do not exist.
    for _ in 0..10 {
        site.log_in("ann", "wrong").await.unwrap_err();
    }
    let refused = site.log_in("ann", "by the admin").await.unwrap_err();
    assert!(refused["details"].as_str().unwrap().contains("wait "), "{refused}");
    let by_user = site.send("PUT", "/zstack/v1/accounts/users/login", &[], "{}").await;
    assert_eq!(by_user.status(), 503);
    assert!(by_user.text().await.unwrap().contains("log in by account"));
    site.stop().await;
}
