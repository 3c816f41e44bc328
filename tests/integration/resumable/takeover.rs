//! Two requests on one upload, and a service that stops.

use std::time::{Duration, Instant};

use super::{
    created, header, offset, patch,
    raw::{Raw, drip, path, tus_patch},
    stands, tus,
};
use crate::data_plane::{Plane, content, sha256};

/// Everything that is missing, from where the upload stands.
async fn finish(plane: &Plane, url: &str, image: &[u8]) {
    let at = stands(plane, url).await as usize;
    let last = patch(plane, url, at, &image[at..]).send().await.unwrap();
    assert_eq!((last.status().as_u16(), offset(&last)), (204, image.len() as u64));
    assert_eq!(plane.state(url).await["sha256"], sha256(image));
}

/// A PATCH of the whole of which only `sent` bytes come; they have come when this returns.
fn half(plane: &Plane, url: &str, image: &[u8], at: usize, sent: usize) -> Raw {
    Raw::half(plane, tus_patch(url, at, image.len() - at), &image[at..at + sent])
}

/// A takeover takes half a second; the rest is for a machine that is busy with other tests.
const TAKEOVER_MAX: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn head_ends_a_silent_request_and_tells_what_it_brought() {
    let plane = Plane::start(&[]).await;
    let image = content(100_000);
    let url = created(&plane, image.len()).await;
    let mut silent = half(&plane, &url, &image, 0, 30_000);
    let begun = Instant::now();
    assert_eq!(stands(&plane, &url).await, 30_000, "nothing of it is asked for again");
    assert!(begun.elapsed() < TAKEOVER_MAX, "{:?}", begun.elapsed());
    // It is told, should it ever read, and never by 423.
    let told = silent.head();
    assert!(told.starts_with("HTTP/1.1 409") && told.contains("upload-offset: 30000"), "{told}");
    finish(&plane, &url, &image).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_takes_over_from_a_silent_one() {
    let plane = Plane::start(&[]).await;
    let image = content(100_000);
    let url = created(&plane, image.len()).await;
    // One that knows how far the other came (it sent the bytes itself, before its network changed).
    let _silent = half(&plane, &url, &image, 0, 30_000);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    let taken = patch(&plane, &url, 30_000, &image[30_000..60_000]).send().await.unwrap();
    assert_eq!((taken.status().as_u16(), offset(&taken)), (204, 60_000));
    assert!(begun.elapsed() < TAKEOVER_MAX, "{:?}", begun.elapsed());
    // One that does not is told.
    let _silent = half(&plane, &url, &image, 60_000, 1000);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    let told = patch(&plane, &url, 60_000, &image[60_000..]).send().await.unwrap();
    assert_eq!((told.status().as_u16(), offset(&told)), (409, 61_000));
    assert!(begun.elapsed() < TAKEOVER_MAX, "{:?}", begun.elapsed());
    finish(&plane, &url, &image).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_bytes_flow_a_newcomer_is_refused_and_the_holder_is_not_disturbed() {
    let plane = Plane::start(&[]).await;
    let image = content(60);
    let url = created(&plane, image.len()).await;
    let mut raw = Raw::connect(&plane);
    raw.send(tus_patch(&url, 0, image.len()));
    let holder = drip(raw, image.clone(), Duration::from_millis(50));
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut refused = 0;
    while !holder.is_finished() {
        let begun = Instant::now();
        let answer = patch(&plane, &url, 0, &image).send().await.unwrap();
        assert_eq!(answer.status(), 409, "{answer:?}");
        assert!(offset(&answer) <= image.len() as u64);
        assert!(begun.elapsed() < TAKEOVER_MAX, "{:?}", begun.elapsed());
        refused += 1;
        // Questions do not end it either.
        stands(&plane, &url).await;
    }
    let (answer, took) = holder.join().unwrap();
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    assert!(refused >= 3, "{refused} in {took:?}");
    assert_eq!(plane.state(&url).await["sha256"], sha256(&image));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_begin_at_the_same_offset_one_wins() {
    let plane = Plane::start(&[]).await;
    let url = created(&plane, 40_000).await;
    for at in (0..40_000).step_by(10_000) {
        let bodies: Vec<_> = (0..6).map(|n| vec![n; 10_000]).collect();
        let sent = bodies.iter().map(|body| patch(&plane, &url, at, body).send());
        let answers = futures::future::join_all(sent).await;
        let mut won = 0;
        for answer in answers {
            let answer = answer.unwrap();
            match answer.status().as_u16() {
                204 => won += 1,
                status => assert_eq!(status, 409),
            }
            let end = (at + 10_000) as u64;
            assert!(offset(&answer) == end || offset(&answer) == at as u64, "{answer:?}");
        }
        assert_eq!(won, 1);
        assert_eq!(stands(&plane, &url).await, at as u64 + 10_000);
    }
    let state = plane.state(&url).await;
    assert_eq!(state["state"], "Succeeded", "{state}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_service_stops_no_question_is_answered_by_a_failure() {
    let plane = Plane::start(&[("LONGSHORE_DRAIN_SECS", "5")]).await;
    let image = content(100_000);
    let url = created(&plane, image.len()).await;
    let mut kept = Raw::connect(&plane);
    let question =
        format!("HEAD {} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\n\r\n", path(&url));
    kept.send(&question);
    assert!(kept.head().starts_with("HTTP/1.1 200"));
    let mut sending = half(&plane, &url, &image, 0, 30_000);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let stopped = tokio::spawn(plane.app.stop());
    let told = sending.head();
    assert!(told.starts_with("HTTP/1.1 503") && told.contains("connection: close"), "{told}");
    kept.send(&question);
    let told = kept.head();
    assert!(told.is_empty() || told.starts_with("HTTP/1.1 200"), "{told}");
    drop((kept, sending));
    stopped.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_expired_is_gone_and_its_moment_moves_with_every_byte() {
    let plane = Plane::start(&[("LONGSHORE_UPLOADS__EXPIRE_SECS", "86400")]).await;
    let url = created(&plane, 10).await;
    let expires = |answer: &reqwest::Response| {
        httpdate::parse_http_date(header(answer, "upload-expires").unwrap()).unwrap()
    };
    let head = tus(&plane, "HEAD", &url).send().await.unwrap();
    let before = expires(&head);
    let first = patch(&plane, &url, 0, b"1").send().await.unwrap();
    let day = Duration::from_hours(24);
    let now = std::time::SystemTime::now();
    assert!(expires(&first) > before, "an hour without a byte, a day with one");
    let off = expires(&first).duration_since(now).unwrap().abs_diff(day);
    assert!(off < Duration::from_mins(1), "{off:?}");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let second = patch(&plane, &url, 1, b"2").send().await.unwrap();
    assert!(expires(&second) > expires(&first));

    let jobs = &plane.app.app.jobs;
    let now_ms = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    jobs.suspend_silent(now_ms + 60_000).await.unwrap();
    jobs.expire(now_ms + 3_600_000).await.unwrap();
    assert_eq!(stands(&plane, &url).await, 2, "negative control: not yet");
    jobs.expire(now_ms + 2 * 86_400_000).await.unwrap();
    for method in ["HEAD", "DELETE"] {
        assert_eq!(tus(&plane, method, &url).send().await.unwrap().status(), 410, "{method}");
    }
    assert_eq!(patch(&plane, &url, 2, b"3").send().await.unwrap().status(), 410);
}

/// How long a takeover takes, from the request to its first counted byte. A few here; `TAKEOVERS=200` measures.
#[tokio::test(flavor = "multi_thread")]
async fn takeovers_measured() {
    let plane = Plane::start(&[]).await;
    let image = content(1000);
    let mut took = Vec::new();
    let mut heads = Vec::new();
    let mut last = Vec::new();
    let runs = std::env::var("TAKEOVERS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(8);
    for run in 0..runs {
        let url = created(&plane, image.len()).await;
        last.push(half(&plane, &url, &image, 0, 300));
        // The network changed some time ago.
        tokio::time::sleep(Duration::from_millis(run * 37 % 500)).await;
        let begun = Instant::now();
        if run % 2 == 0 {
            let answer = patch(&plane, &url, 300, &image[300..400]).send().await.unwrap();
            assert_eq!(offset(&answer), 400);
            took.push(begun.elapsed());
        } else {
            assert_eq!(stands(&plane, &url).await, 300);
            heads.push(begun.elapsed());
        }
    }
    for (name, mut times) in [("PATCH", took), ("HEAD", heads)] {
        times.sort_unstable();
        let (middle, most) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        println!("takeover by {name}: median {middle:?}, p99 {most:?} of {}", times.len());
        let bound = if runs < 100 { TAKEOVER_MAX } else { Duration::from_secs(1) };
        assert!(most < bound, "{most:?}");
    }
}
