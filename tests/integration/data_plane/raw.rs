//! Connections that do what no HTTP library does.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use super::{Job, Plane, content};

fn path(job: &Job) -> &str {
    job.url.splitn(4, '/').nth(3).expect("a path")
}

fn connect(plane: &Plane) -> TcpStream {
    let stream = TcpStream::connect(plane.app.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Sends what is given and reads until the server closes, or 20 s of silence.
fn exchange(plane: &Plane, bytes: &[u8]) -> String {
    let mut stream = connect(plane);
    // A server that refuses early may have closed already: its answer is what counts.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

async fn wait_for_offset(plane: &Plane, job: &Job, offset: u64) {
    let begun = Instant::now();
    loop {
        let state = plane.state(&job.url).await;
        if state["offset"] == offset {
            return;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "offset {offset} is not reached: {state}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_keeps_its_bytes() {
    let plane = Plane::start(&[]).await;
    let image = content(100_000);
    let job = plane.submit("cut", &[]).await;
    let mut stream = connect(&plane);
    let head = format!("PUT /{} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", path(&job));
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&image[..40_000]).unwrap();
    drop(stream);
    wait_for_offset(&plane, &job, 40_000).await;

    // The same in a multipart form of unknown length, cut inside the file.
    let mut stream = connect(&plane);
    let head = format!(
        "POST /{} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Type: multipart/form-data; boundary=B\r\n\
         X-IMAGE-SIZE: 100000\r\nX-SLICE-OFFSET: 40000\r\nX-SLICE-SIZE: 60000\r\n\r\n",
        path(&job)
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut part = b"--B\r\nContent-Disposition: form-data; filename=f\r\n\r\n".to_vec();
    part.extend_from_slice(&image[40_000..70_000]);
    stream.write_all(format!("{:x}\r\n", part.len()).as_bytes()).unwrap();
    stream.write_all(&part).unwrap();
    stream.write_all(b"\r\n").unwrap();
    drop(stream);
    wait_for_offset(&plane, &job, 70_000).await;

    // A form whose file is shorter than announced ends before its closing boundary: that is never taken for image.
    let mut form = b"--B\r\nContent-Disposition: form-data; filename=f\r\n\r\n".to_vec();
    form.extend_from_slice(&image[70_000..80_000]);
    form.extend_from_slice(b"\r\n--B--\r\n");
    let mut request = format!(
        "POST /{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\
         Content-Type: multipart/form-data; boundary=B\r\nX-IMAGE-SIZE: 100000\r\nX-SLICE-OFFSET: 70000\r\n\
         X-SLICE-SIZE: 30000\r\n\r\n{:x}\r\n",
        path(&job),
        form.len()
    )
    .into_bytes();
    request.extend_from_slice(&form);
    request.extend_from_slice(b"\r\n0\r\n\r\n");
    let answer = exchange(&plane, &request);
    assert!(
        answer.starts_with("HTTP/1.1 500") && answer.contains("\"retryable\":true"),
        "{answer}"
    );
    wait_for_offset(&plane, &job, 80_000).await;
    let rest = plane.put(&job.url, 80_000, &image[80_000..], 100_000).send().await.unwrap();
    let state: serde_json::Value = rest.json().await.unwrap();
    assert_eq!(state["sha256"], super::sha256(&image), "not a byte of framing is in the image");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_body_is_closed_with_words_and_its_bytes_are_kept() {
    let plane = Plane::start(&[("LONGSHORE_UPLOADS__BODY_IDLE_SECS", "1")]).await;
    let image = content(1000);
    let job = plane.submit("silent", &[]).await;
    let mut stream = connect(&plane);
    let head = format!("PUT /{} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", path(&job));
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&image[..300]).unwrap();
    let begun = Instant::now();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("idle_body"), "{answer}");
    assert!((1..10).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    wait_for_offset(&plane, &job, 300).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_expects_100_is_told_to_go_on() {
    let plane = Plane::start(&[]).await;
    let image = content(1000);
    let job = plane.submit("expect", &[]).await;
    let mut stream = connect(&plane);
    let head = format!(
        "PUT /{} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
        path(&job)
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(&image).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("Succeeded"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_refusal_is_read_by_a_client_that_sends_everything_first() {
    let plane = Plane::start(&[]).await;
    let job = plane.submit("early", &[]).await;
    for megabytes in [1_usize, 16] {
        let mut request = format!(
            "PUT /{}x HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
            path(&job),
            megabytes << 20
        )
        .into_bytes();
        request.resize(request.len() + (megabytes << 20), 7);
        let answer = exchange(&plane, &request);
        assert!(
            answer.starts_with("HTTP/1.1 404") && answer.contains("not_found"),
            "{megabytes}: {answer}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_framing_harms_nobody() {
    let plane = Plane::start(&[]).await;
    let job = plane.submit("framing", &[]).await;
    let put = format!("PUT /{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", path(&job));
    let post = format!("POST /{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", path(&job));
    let form = "Content-Type: multipart/form-data; boundary=B\r\n";
    for (request, status) in [
        (format!("{put}Content-Length: -1\r\n\r\nx"), "400"),
        (format!("{put}Content-Length: +1\r\n\r\nx"), "400"),
        (format!("{put}Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy"), "400"),
        (format!("{put}Content-Length: 18446744073709551616\r\n\r\nx"), "400"),
        (
            format!(
                "{put}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
            ),
            "400",
        ),
        (format!("{put}\r\n"), "411"),
        (
            format!(
                "{put}Content-Length: 1\r\nContent-Range: bytes 18446744073709551615-18446744073709551615/*\r\n\r\nx"
            ),
            "400",
        ),
        (
            format!(
                "{put}Content-Length: 1\r\nContent-Range: bytes 18446744073709551614-18446744073709551614/18446744073709551615\r\n\r\nx"
            ),
            "413",
        ),
        (format!("{post}Content-Length: 1\r\nX-IMAGE-SIZE: 18446744073709551615\r\n\r\nx"), "500"),
        (
            format!("{post}Content-Length: 1\r\nX-IMAGE-SIZE: 1\r\nX-SLICE-OFFSET: -0\r\n\r\nx"),
            "400",
        ),
        (format!("{post}{form}Content-Length: 5\r\nX-IMAGE-SIZE: 1\r\n\r\n--B--"), "400"),
        (format!("{post}{form}Content-Length: 5\r\nX-IMAGE-SIZE: 1\r\n\r\n--B\r\n"), "400"),
    ] {
        let answer = exchange(&plane, request.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request:?} -> {answer}");
    }
    // A chunk without a length ends the connection, with words if the request had been looked at by then.
    let answer =
        exchange(&plane, format!("{put}Transfer-Encoding: chunked\r\n\r\nzz\r\nx").as_bytes());
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    // Everything is as before, and the upload works.
    assert_eq!(plane.state(&job.url).await["storedBytes"], 0);
    let image = content(1000);
    let answer = plane.put(&job.url, 0, &image, 1000).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_body_is_closed_with_words_and_its_bytes_are_kept() {
    let plane = Plane::start(&[
        ("LONGSHORE_UPLOADS__BODY_RATE_MIN_BYTES", "1000"),
        ("LONGSHORE_UPLOADS__BODY_RATE_WINDOW_SECS", "1"),
    ])
    .await;
    let job = plane.submit("slow", &[]).await;
    let mut stream = connect(&plane);
    let head = format!("PUT /{} HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n", path(&job));
    stream.write_all(head.as_bytes()).unwrap();
    let mut drip = stream.try_clone().unwrap();
    let dripping = std::thread::spawn(move || {
        let begun = Instant::now();
        let mut sent = 0;
        while begun.elapsed() < Duration::from_secs(10) && drip.write_all(b"x").is_ok() {
            sent += 1;
            std::thread::sleep(Duration::from_millis(50));
        }
        sent
    });
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("slow_body"), "{answer}");
    let sent: u64 = dripping.join().unwrap();
    let kept = plane.state(&job.url).await["offset"].as_u64().unwrap();
    assert!(0 < kept && kept <= sent && sent < 180, "{kept} of {sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_on_the_disk_is_refused_before_its_first_byte() {
    let plane = Plane::start(&[]).await;
    let request = format!(
        "PUT /uploads/huge HTTP/1.1\r\nHost: x\r\nAuthorization: OAuth {}\r\nContent-Length: {}\r\n\r\n",
        plane.token,
        (16_u64 << 40) - 1
    );
    let answer = exchange(&plane, request.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 507") && answer.contains("no_space"), "{answer}");
    let jobs = plane.url("/zstack/v1/longjobs?count=true");
    let (_, jobs) = super::sent(plane.with_session(plane.http.get(jobs))).await;
    assert_eq!(jobs["total"], 0, "no job is left of it");
}
