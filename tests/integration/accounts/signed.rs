//! Requests that are signed with an access key, against the real service.

use serde_json::json;

use super::http::{Key, Site, java_date, read};

const LONG_JOBS: &str = "/zstack/v1/longjobs";

#[tokio::test]
async fn a_signed_client_does_everything_that_a_session_does() {
    let site = Site::start(&[]);
    let key = Key::of(&site, "admin").await;
    let jobs =
        key.send(&site, "GET", &format!("{LONG_JOBS}?limit=5&q=state=Running"), &[], "").await;
    assert_eq!(jobs.status(), 200, "{}", jobs.text().await.unwrap());
    let image = r#"{"name":"a","url":"upload://a","format":"raw"}"#;
    let submit = json!({"params":{"jobName":"APIAddImageMsg","jobData":image},
        "systemTags":["uploadImage::signed"]});
    let accepted = key.send(&site, "POST", LONG_JOBS, &[], submit.to_string()).await;
    let (status, job) = site.polled(accepted).await;
    assert_eq!(status, 200, "{job}");
    let job = job["inventory"]["uuid"].as_str().unwrap();
    let actions = format!("{LONG_JOBS}/{job}/actions");
    let update = json!({"updateLongJob":{"name":"by key"}}).to_string();
    let accepted = key.send(&site, "PUT", &actions, &[], update).await;
    assert_eq!(site.polled(accepted).await.1["inventory"]["name"], "by key");

    // The data plane: by the client's own name, by the image, and in one request.
    let keyed = "/imagestore/upload/uploadImage::signed";
    let state = key.send(&site, "GET", keyed, &[], "").await;
    assert_eq!(state.status(), 200, "{}", state.text().await.unwrap());
    let sent = key.send(&site, "PUT", "/uploads/signed%20whole", &[], vec![7_u8; 1000]).await;
    assert_eq!(sent.status(), 201, "{}", sent.text().await.unwrap());
    let sent = read(sent).await;
    let content = format!("/images/{}/content", sent["imageUuid"].as_str().unwrap());
    let bytes = key.send(&site, "GET", &content, &[], "").await;
    assert_eq!(bytes.bytes().await.unwrap(), vec![7_u8; 1000]);

    let accepted = key.send(&site, "DELETE", &format!("{LONG_JOBS}/{job}"), &[], "").await;
    assert_eq!(site.polled(accepted).await.0, 503, "it is not final");
    site.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_signature_is_told() {
    let site = Site::start(&[]);
    let key = Key::of(&site, "admin").await;
    let date = java_date(0);
    let right = key.sign("GET", &date, LONG_JOBS);
    let other = Key { secret: "another".to_owned(), id: key.id.clone() };
    let unknown = Key { id: "AAAAAAAAAAAAAAAAAAAA".to_owned(), secret: key.secret.clone() };
    let (early, late) = (java_date(-16 * 60), java_date(16 * 60));
    for (name, date, authorization, status, words) in [
        ("right", Some(&date), right.clone(), 200, "inventories"),
        ("early", Some(&early), key.sign("GET", &early, LONG_JOBS), 403, "requestTimeTooSkewed"),
        ("late", Some(&late), key.sign("GET", &late, LONG_JOBS), 403, "requestTimeTooSkewed"),
        ("no date", None, right.clone(), 400, "missing header 'Date'"),
        ("date", Some(&"yesterday".to_owned()), right.clone(), 400, "must look like"),
        ("no colon", Some(&date), "ZStack abc".to_owned(), 400, "<access key id>:"),
        ("other date", Some(&java_date(5)), right.clone(), 503, "wrong accessKey signature"),
        ("method", Some(&date), key.sign("PUT", &date, LONG_JOBS), 503, "wrong accessKey"),
        ("path", Some(&date), key.sign("GET", &date, "/zstack/v1/images"), 503, "wrong accessKey"),
        ("secret", Some(&date), other.sign("GET", &date, LONG_JOBS), 503, "wrong accessKey"),
        ("id", Some(&date), unknown.sign("GET", &date, LONG_JOBS), 503, "access key id[AAAA"),
    ] {
        let mut headers = vec![("Authorization", authorization.as_str())];
        headers.extend(date.map(|date| ("Date", date.as_str())));
        let answer = site.send("GET", LONG_JOBS, &headers, "").await;
        assert_eq!(answer.status(), status, "{name}");
        let text = answer.text().await.unwrap();
        assert!(text.contains(words), "{name}: {text}");
        assert!(status != 503 || text.contains("ID.1000"), "{name}: {text}");
    }
    // An asynchronous call: the time is told at once, the signature at the poll.
    let skewed = key.sign("POST", &early, LONG_JOBS);
    let headers = [("Authorization", skewed.as_str()), ("Date", early.as_str())];
    let answer = site.send("POST", LONG_JOBS, &headers, "{}").await;
    assert_eq!(
        (answer.status().as_u16(), answer.text().await.unwrap().as_str()),
        (403, "requestTimeTooSkewed")
    );
    let wrong = other.sign("POST", &date, LONG_JOBS);
    let headers = [("Authorization", wrong.as_str()), ("Date", date.as_str())];
    let accepted = site.send("POST", LONG_JOBS, &headers, "{}").await;
    let (status, answer) = site.polled(accepted).await;
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("ID.1000")));
    // The data plane in its own dialect.
    let path = "/imagestore/upload/uploadImage::x";
    for (date, signer, status) in
        [(&date, &other, 401), (&date, &unknown, 401), (&early, &key, 403)]
    {
        let signature = signer.sign("GET", date, path);
        let headers = [("Authorization", signature.as_str()), ("Date", date.as_str())];
        assert_eq!(site.send("GET", path, &headers, "").await.status(), status);
    }
    let malformed = [("Authorization", "ZStack x"), ("Date", date.as_str())];
    assert_eq!(site.send("GET", path, &malformed, "").await.status(), 400);
    site.stop().await;
}

#[tokio::test]
async fn an_access_key_is_its_accounts_until_it_is_forgotten() {
    let site = Site::start(&[]);
    let accounts = &site.service.app.accounts;
    accounts.create_account("ann", "password", false).await.unwrap();
    let (anns, admins) = (Key::of(&site, "ann").await, Key::of(&site, "admin").await);
    let sent = admins.send(&site, "PUT", "/uploads/of-admin", &[], vec![7_u8; 10]).await;
    assert_eq!(sent.status(), 201);
    let images = "/zstack/v1/images";
    let count = async |key: &Key| {
        let answer = read(key.send(&site, "GET", images, &[], "").await).await;
        answer["inventories"].as_array().unwrap().len()
    };
    assert_eq!([count(&anns).await, count(&admins).await], [0, 1], "ann sees her own alone");

    accounts.enable_account("ann", false).await.unwrap();
    let refused = anns.send(&site, "GET", images, &[], "").await;
    assert_eq!(refused.status(), 503, "checked at use");
    accounts.enable_account("ann", true).await.unwrap();
    assert_eq!(count(&anns).await, 0, "it works again");
    assert!(accounts.delete_access_key(&anns.id.parse().unwrap()).await.unwrap());
    let refused = anns.send(&site, "GET", images, &[], "").await;
    assert!(refused.text().await.unwrap().contains("is not known"));

    // Neither the database nor anything else beside the server key holds the secret.
    let secret = admins.secret.as_bytes();
    for entry in std::fs::read_dir(site.service.data_dir()).unwrap() {
        let path = entry.unwrap().path();
        let Ok(bytes) = std::fs::read(&path) else { continue };
        assert!(!bytes.windows(secret.len()).any(|part| part == secret), "{}", path.display());
    }
    site.stop().await;
}
