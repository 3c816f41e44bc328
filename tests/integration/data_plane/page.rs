//! What the page asks for over HTTP: news, download URLs, samples.

use std::{
    io::Read,
    sync::Arc,
    time::{Duration, Instant},
};

use longshore::{
    accounts::{DOWNLOAD_MS, Download, Downloads, ServerKey},
    domain::{
        account::Caller,
        clock::{Clock, ManualClock, SystemClock},
        ids::{AccountUuid, ImageUuid, JobUuid},
    },
};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha512};

use super::{Plane, content, sent, sha256, told};

/// A session of an account.
struct Person {
    account: AccountUuid,
    token: String,
}

impl Plane {
    /// A new account, logged in.
    async fn person(&self, name: &str) -> Person {
        let accounts = &self.app.app.accounts;
        let account = accounts.create_account(name, "password", false).await.unwrap().uuid;
        Person { account, token: self.log_in(name).await }
    }

    async fn log_in(&self, name: &str) -> String {
        let password = longshore::domain::tag::hex(&Sha512::digest("password"));
        let body = json!({"logInByAccount": {"accountName": name, "password": password}});
        let (_, reply) =
            sent(self.http.put(self.url("/zstack/v1/accounts/login")).json(&body)).await;
        reply["inventory"]["uuid"].as_str().unwrap().to_owned()
    }

    async fn listen(&self, token: &str, query: &str) -> Response {
        let request = self.http.get(self.url(&format!("/v1/events{query}")));
        request.header("authorization", format!("OAuth {token}")).send().await.unwrap()
    }

    /// A whole image in one request; answers its state.
    async fn image_of(&self, token: &str, name: &str, bytes: Vec<u8>) -> Value {
        let request = self.http.put(self.url(&format!("/uploads/{name}"))).body(bytes);
        let (status, state) = sent(request.header("authorization", format!("OAuth {token}"))).await;
        assert_eq!(status, 201, "{state}");
        state
    }
}

/// What a stream says within this time, up to its end.
async fn heard(stream: &mut Response, within: Duration) -> String {
    let until = Instant::now() + within;
    let mut words = String::new();
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        match tokio::time::timeout(left, stream.chunk()).await {
            Ok(Ok(Some(bytes))) => words.push_str(std::str::from_utf8(&bytes).unwrap()),
            Ok(Ok(None)) => return words + "END",
            Ok(Err(error)) => panic!("a stream broke off: {error}"),
            Err(_) => break,
        }
    }
    words
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_the_page_go_packed_to_whoever_takes_that() {
    let plane = Plane::start(&[]).await;
    for path in ["/", "/ui/app.js", "/ui/style.css"] {
        let get = async |accepted: Option<&str>, known: Option<&str>| {
            let mut request = plane.http.get(plane.url(path));
            for (name, value) in [("accept-encoding", accepted), ("if-none-match", known)] {
                request =
                    value.into_iter().fold(request, |request, value| request.header(name, value));
            }
            let answer = request.send().await.unwrap();
            assert_eq!(answer.headers()["vary"], "Accept-Encoding", "{path} {accepted:?}");
            let field =
                |name| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
            let (status, encoding, tag) =
                (answer.status(), field("content-encoding"), field("etag").unwrap());
            (status, encoding, tag, answer.bytes().await.unwrap())
        };
        let (_, encoding, tag, plain) = get(None, None).await;
        assert_eq!(encoding, None, "{path}");
        for accepted in ["gzip, deflate, br, zstd", "gzip", "br;q=1, gzip;q=0.8, *;q=0.1"] {
            let (status, encoding, packed_tag, packed) = get(Some(accepted), None).await;
            assert_eq!((status, encoding.as_deref()), (StatusCode::OK, Some("gzip")), "{accepted}");
            assert!(packed.len() * 2 < plain.len(), "{path}: {} of {}", packed.len(), plain.len());
            let mut bytes = Vec::new();
            flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut bytes).unwrap();
            assert!(bytes == plain && packed_tag != tag, "{path} {accepted}");
            let again = get(Some(accepted), Some(&packed_tag)).await;
            assert_eq!((again.0, again.3.len()), (StatusCode::NOT_MODIFIED, 0), "{path}");
            assert_eq!(get(None, Some(&packed_tag)).await.0, StatusCode::OK, "other bytes");
        }
        for accepted in
            ["identity", "gzip;q=0, identity", "br", "identity, gzip;q=0.5", "nonsense;;"]
        {
            let (status, encoding, other, bytes) = get(Some(accepted), None).await;
            assert_eq!((status, encoding, &other), (StatusCode::OK, None, &tag), "{accepted}");
            assert!(bytes == plain, "{path} {accepted}");
        }
    }
}

const SOON: Duration = Duration::from_millis(1200);

#[tokio::test(flavor = "multi_thread")]
async fn news_are_heard_by_those_who_may_see_them_and_by_nobody_else() {
    let plane = Plane::start(&[]).await;
    let (ann, bob) = (plane.person("ann").await, plane.person("bob").await);
    let admin = plane.log_in("admin").await;
    let mut streams = Vec::new();
    for token in [&ann.token, &bob.token, &admin] {
        let mut stream = plane.listen(token, "").await;
        assert_eq!(stream.status(), StatusCode::OK);
        assert_eq!(stream.headers()["content-type"], "text/event-stream");
        assert_eq!(heard(&mut stream, Duration::from_millis(200)).await, ": listening\n\n");
        streams.push(stream);
    }
    let state = plane.image_of(&ann.token, "hers", content(1000)).await;
    let job = state["jobUuid"].as_str().unwrap();
    let told = format!("data: {{\"jobs\":[{{\"job\":\"{job}\",\"state\":\"Succeeded\"}}]");
    for (who, hears) in [(0, true), (1, false), (2, true)] {
        let words = heard(&mut streams[who], SOON).await;
        assert_eq!(words.contains(&told), hears, "{who}: {words}");
        assert_eq!(words.is_empty(), !hears, "{who}: {words}");
    }
    // His stream works: what is his he hears.
    plane.image_of(&bob.token, "his", content(999)).await;
    assert!(heard(&mut streams[1], SOON).await.starts_with("data: {\"jobs\":[{"));
    assert_eq!(heard(&mut streams[0], SOON).await, "");

    // What an admin deletes is told to whom it belonged.
    heard(&mut streams[2], SOON).await;
    let deleter = Caller { account: AccountUuid::random(), admin: true };
    let uuid: JobUuid = job.parse().unwrap();
    plane.app.app.jobs.delete(deleter, uuid).await.unwrap();
    let gone = "data: {\"images\":true,\"all\":false}\n\n";
    assert_eq!(heard(&mut streams[0], SOON).await, gone);
    assert_eq!(heard(&mut streams[2], SOON).await, gone);
    assert_eq!(heard(&mut streams[1], SOON).await, "");
    // What is not there any more is no news.
    plane.app.app.jobs.delete(deleter, uuid).await.unwrap();
    assert_eq!(heard(&mut streams[2], SOON).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_beats_and_ends_with_its_time_or_its_session() {
    let plane = Plane::start(&[]).await;
    let ann = plane.person("ann").await;
    let other = plane.log_in("ann").await;
    let (mut ended, mut lives) =
        (plane.listen(&ann.token, "").await, plane.listen(&other, "").await);
    let mut short = plane.listen(&other, "?for=2").await;
    plane.app.app.accounts.log_out(&ann.token).await.unwrap();
    let begun = Instant::now();
    assert_eq!(heard(&mut short, Duration::from_secs(5)).await, ": listening\n\nEND");
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(1500) && took < Duration::from_secs(4), "{took:?}");

    let wait = Duration::from_secs(20).saturating_sub(begun.elapsed());
    let (ended, lives) = tokio::join!(heard(&mut ended, wait), heard(&mut lives, wait));
    assert!(ended.ends_with("END"), "its session is over: {ended}");
    assert_eq!(lives, ": listening\n\n: still here\n\n");
    // An end that comes for another reason would come to both.
    assert_eq!(plane.listen(&ann.token, "").await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_account_takes_no_places_of_others() {
    let plane = Plane::start(&[]).await;
    let (ann, bob) = (plane.person("ann").await, plane.person("bob").await);
    let mut streams = Vec::new();
    for number in 0..longshore::jobs::LISTENERS_OF_ACCOUNT_MAX {
        let stream = plane.listen(&ann.token, if number == 0 { "?for=3" } else { "" }).await;
        assert_eq!(stream.status(), StatusCode::OK);
        streams.push(stream);
    }
    let refused = plane.listen(&ann.token, "").await;
    assert!(refused.headers().contains_key("retry-after"));
    let (status, problem) = told(refused).await;
    assert_eq!((status, &problem["code"]), (503, &Value::from("busy")), "{problem}");
    assert_eq!(plane.listen(&bob.token, "").await.status(), StatusCode::OK);
    // Whose time is over leaves a place, though nobody has read that.
    let begun = Instant::now();
    while plane.listen(&ann.token, "?for=1").await.status() != StatusCode::OK {
        assert!(begun.elapsed() < Duration::from_secs(10), "the place is not free");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_behind_a_gap_is_sampled_and_counts_as_a_request() {
    let plane = Plane::start(&[("LONGSHORE_UPLOADS__REQUESTS_PER_ACCOUNT_MAX", "2")]).await;
    let bytes = content(3 << 20);
    let job = plane.submit("gap", &[format!("imageSize::{}", bytes.len())]).await;
    for range in [0..1_000_000, 1_500_000..2_500_000] {
        let put = plane.put(&job.url, range.start, &bytes[range], bytes.len());
        assert_eq!(sent(put).await.0, 200);
    }
    let url = plane.url(&format!("/v1/images/{}/samples", job.image));
    let (status, told) = sent(plane.with_session(plane.http.get(&url))).await;
    assert_eq!(status, 200);
    let samples = told["samples"].as_array().unwrap();
    let byte_at =
        |sample: &Value, name: &str| usize::try_from(sample[name].as_u64().unwrap()).unwrap();
    for sample in samples {
        let range = byte_at(sample, "start")..byte_at(sample, "end");
        assert_eq!(sample["sha256"], sha256(&bytes[range.clone()]), "{range:?}");
    }
    let behind = samples.iter().filter(|sample| byte_at(sample, "start") >= 1_500_000).count();
    assert_eq!((samples.len(), behind), (16, 8), "{told}");

    let admin = plane.log_in("admin").await;
    let _at_work = [plane.listen(&admin, "").await, plane.listen(&admin, "").await];
    assert_eq!(sent(plane.with_session(plane.http.get(&url))).await.0, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_url_shows_its_image_for_its_time_and_nothing_else() {
    let plane = Plane::start(&[]).await;
    let ann = plane.person("ann").await;
    let bytes = content(100_000);
    let state = plane.image_of(&ann.token, "mine", bytes.clone()).await;
    let image: ImageUuid = state["imageUuid"].as_str().unwrap().parse().unwrap();
    let asked = plane.http.post(plane.url(&format!("/v1/images/{image}/download-url")));
    let (status, told) = sent(asked.header("authorization", format!("OAuth {}", ann.token))).await;
    assert_eq!(status, 200);
    let url = plane.url(told["url"].as_str().unwrap());

    // No session goes along.
    let whole = plane.http.get(&url).send().await.unwrap();
    let disposition = whole.headers()["content-disposition"].to_str().unwrap().to_owned();
    assert!(disposition.starts_with("attachment; filename=\"mine.raw\""), "{disposition}");
    assert_eq!(whole.headers()["x-content-type-options"], "nosniff");
    assert!(whole.bytes().await.unwrap() == bytes);
    let part = plane.http.get(&url).header("range", "bytes=70000-70999").send().await.unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()["content-range"], "bytes 70000-70999/100000");
    assert!(part.bytes().await.unwrap() == bytes[70_000..71_000]);
    let head = plane.http.head(&url).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(head.headers()["content-length"], "100000");
    assert!(head.bytes().await.unwrap().is_empty());

    let status_of = async |url: &str| plane.http.get(url).send().await.unwrap().status().as_u16();
    let key = ServerKey::load_or_create(&plane.app.data_dir().join("server.key")).unwrap();
    let found =
        plane.app.app.uploads.ready_image(Caller { account: ann.account, admin: false }, image);
    let generation = found.await.unwrap().record.created_ms;
    let reader = Caller { account: ann.account, admin: false };
    let minted = |download: Download, age_ms: i64| {
        let then = Arc::new(ManualClock::at(SystemClock.now_ms() - age_ms));
        let (text, _) = Downloads::new(&key, then).issue(download);
        plane.url(&format!("/downloads/{text}"))
    };
    let right = Download { image, generation, reader };
    assert_eq!(status_of(&minted(right, DOWNLOAD_MS - 60_000)).await, 200, "it is not over yet");
    assert_eq!(status_of(&minted(right, DOWNLOAD_MS + 1)).await, 404, "its time is over");
    let older = Download { generation: generation - 1, ..right };
    assert_eq!(status_of(&minted(older, 0)).await, 404, "another image had this uuid");
    let stranger = Caller { account: AccountUuid::random(), admin: false };
    let foreign = Download { reader: stranger, ..right };
    assert_eq!(status_of(&minted(foreign, 0)).await, 404, "what they may not see");

    plane.app.app.jobs.delete_image(reader, image, false, &[]).await.unwrap();
    assert_eq!(status_of(&url).await, 404, "it is deleted");
}
