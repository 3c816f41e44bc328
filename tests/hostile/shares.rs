//! What one account, or one address, may take of what all share.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use longshore::{
    db::{DbOptions, open},
    domain::{account::Account, ids::AccountUuid},
};

use crate::{
    app::PASSWORD,
    wire::{Then, connect, exchange, read_answer, request},
    world::{World, log_in},
};

/// Requests that may write one upload at once.
const WRITERS: usize = 8;

/// A second account, with the password of the first.
pub(crate) fn add_account(world: &World, name: &str) {
    let url = format!("sqlite:{}", world.app.data_dir().join("longshore.db").display());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let created = runtime.block_on(async {
        let db = open(&url, &DbOptions::default()).await.unwrap();
        let admin = db.account_named("admin").await.unwrap().expect("the first account");
        let account =
            Account { uuid: AccountUuid::random(), name: name.to_owned(), admin: false, ..admin };
        db.create_account(account).await.unwrap()
    });
    assert!(created);
}

/// Bodies that have begun and do not go on, each in a place of its own, up to eight for each upload.
pub(crate) fn stalled_bodies(world: &World, count: usize) -> Vec<TcpStream> {
    let mut job = None;
    (0..count)
        .map(|at| {
            let place = at % WRITERS;
            if place == 0 {
                // Of a stated length: 1 GiB is promised to each of those that state none.
                let size = format!("imageSize::{}", WRITERS * 100_000);
                job = Some(world.submit(&format!("stalled {at}"), &[size]).unwrap());
            }
            let path = &job.as_ref().unwrap().path;
            let first = place * 100_000;
            let mut stream = connect(world.address());
            let head = format!(
                "PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Range: bytes {first}-{}/*\r\nContent-Length: 100000\r\n\r\nx",
                first + 99_999
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect()
}

/// How many of these have been answered, and that the answer is 503 with words and a time to come again.
fn refused(streams: &[TcpStream]) -> usize {
    streams
        .iter()
        .filter(|stream| {
            let mut stream = *stream;
            stream.set_nonblocking(true).unwrap();
            let mut answer = [0; 4096];
            match stream.read(&mut answer) {
                // Its answer was read before.
                Ok(0) => false,
                Ok(bytes) => {
                    let answer = String::from_utf8_lossy(&answer[..bytes]);
                    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
                    assert!(answer.to_ascii_lowercase().contains("retry-after: "), "{answer}");
                    assert!(answer.contains("are at work already"), "{answer}");
                    true
                }
                Err(error) => {
                    let closed = error.kind() == std::io::ErrorKind::ConnectionReset;
                    assert!(closed || error.kind() == std::io::ErrorKind::WouldBlock, "{error}");
                    false
                }
            }
        })
        .count()
}

/// Another account logs in, creates an upload and finishes it.
fn another_uploads(world: &World) {
    let token = format!("OAuth {}", log_in(world.address(), "bob", PASSWORD));
    let begun = Instant::now();
    let put = request("PUT", "/uploads/mine", &[("Authorization", &token)], vec![7; 1 << 20]);
    let answer = exchange(world.address(), &put, Then::Wait);
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

fn one_account_takes_its_share_only(requests: usize, share: usize) {
    let max = share.to_string();
    let world = World::start_idle(&[("LONGSHORE_UPLOADS__REQUESTS_PER_ACCOUNT_MAX", &max)]);
    add_account(&world, "bob");
    let streams = stalled_bodies(&world, requests);
    another_uploads(&world);
    let begun = Instant::now();
    let mut answered = 0;
    while answered < requests - share {
        answered += refused(&streams);
        assert!(begun.elapsed() < Duration::from_secs(20), "{answered} of {requests} are refused");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(answered, requests - share);
    another_uploads_too(&world);
    drop(streams);
    // Room comes back as soon as the others have gone.
    let begun = Instant::now();
    loop {
        let put = world.request("PUT", "/uploads/own", b"content");
        if exchange(world.address(), &put, Then::Wait).status == 201 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "the share is not given back");
        std::thread::sleep(Duration::from_millis(50));
    }
    world.end();
}

/// Also now that the first account has all of its share.
fn another_uploads_too(world: &World) {
    assert!(world.is_alive());
    let own =
        exchange(world.address(), &world.request("PUT", "/uploads/own", b"content"), Then::Wait);
    assert_eq!(own.status, 503, "the share is used up: {}", own.body);
    another_uploads(world);
}

#[test]
fn an_account_that_stalls_keeps_no_other_out() {
    one_account_takes_its_share_only(120, 40);
}

#[test]
#[ignore = "needs a few thousand file descriptors"]
fn two_thousand_requests_of_one_account_keep_no_other_out() {
    one_account_takes_its_share_only(2000, 1024);
}

/// Negative control: without a share the same requests take every connection, and nobody else is heard.
#[test]
fn without_shares_one_account_takes_everything() {
    for (share, is_heard) in [("30", true), ("1000", false)] {
        let world = World::start_idle(&[
            ("LONGSHORE_UPLOADS__REQUESTS_PER_ACCOUNT_MAX", share),
            ("LONGSHORE_HTTP__CONNECTIONS_MAX", "60"),
            ("LONGSHORE_WORKERS", "2"),
        ]);
        let first = stalled_bodies(&world, 62);
        let begun = Instant::now();
        // Those that are refused go away after a moment; those that are not do not.
        while refused(&first) > 0 || begun.elapsed() < Duration::from_secs(4) {
            std::thread::sleep(Duration::from_millis(100));
            assert!(begun.elapsed() < Duration::from_secs(20));
        }
        let mut more: Vec<_> = (0..8).map(|_| connect(world.address())).collect();
        let heard = more.iter_mut().all(|stream| {
            stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            stream.write_all(&request("GET", "/healthz", &[], "")).unwrap();
            let mut byte = [0];
            matches!(stream.read(&mut byte), Ok(1))
        });
        assert_eq!(heard, is_heard, "with a share of {share}");
        drop((first, more));
        world.end();
    }
}

/// Behind a proxy all clients come from one address: whom it calls for counts, if it is a trusted one.
#[test]
fn clients_behind_a_trusted_proxy_have_a_share_each() {
    for (trusted, status) in [("127.0.0.0/8", 400), ("10.0.0.0/8", 503)] {
        let world = World::start_idle(&[
            ("LONGSHORE_UPLOADS__REQUESTS_PER_ADDRESS_MAX", "3"),
            ("LONGSHORE_HTTP__TRUSTED_PROXIES", trusted),
        ]);
        let slow = "PUT /zstack/v1/accounts/login HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.1\r\nContent-Length: 100\r\n\r\n{";
        let slow: Vec<_> = (0..3)
            .map(|_| {
                let mut stream = connect(world.address());
                stream.write_all(slow.as_bytes()).unwrap();
                stream
            })
            .collect();
        std::thread::sleep(Duration::from_millis(300));
        let login = |client: &str| {
            let headers = [("X-Forwarded-For", client)];
            let login = request("PUT", "/zstack/v1/accounts/login", &headers, "{}");
            exchange(world.address(), &login, Then::Wait).status
        };
        assert_eq!(login("192.0.2.1"), 503, "its share is used up");
        assert_eq!(login("192.0.2.2"), status, "with {trusted} trusted");
        drop(slow);
        world.end();
    }
}

/// Passwords are hashed two at a time: one address must not fill the queue in which all wait.
#[test]
fn an_address_has_a_share_of_the_logins_that_wait() {
    let world = World::start_idle(&[("LONGSHORE_UPLOADS__REQUESTS_PER_ADDRESS_MAX", "4")]);
    let attempts: Vec<_> = (0..24)
        .map(|at| {
            let address = world.address();
            let body = format!(r#"{{"logInByAccount":{{"accountName":"a{at}","password":"x"}}}}"#);
            std::thread::spawn(move || {
                let login = request("PUT", "/zstack/v1/accounts/login", &[], body);
                exchange(address, &login, Then::Wait).body
            })
        })
        .collect();
    let told: Vec<_> = attempts.into_iter().map(|attempt| attempt.join().unwrap()).collect();
    let hashed = told.iter().filter(|told| told.contains("ID.1000")).count();
    let refused = told.iter().filter(|told| told.contains("are at work already")).count();
    assert_eq!(hashed + refused, 24, "{told:?}");
    assert!(hashed >= 4 && refused >= 8, "{hashed} were hashed, {refused} refused");
    world.end();
}

/// Whoever names no account is counted by address: slow logins do not fill the service either.
#[test]
fn an_address_without_an_account_has_a_share_too() {
    let world = World::start_idle(&[("LONGSHORE_UPLOADS__REQUESTS_PER_ADDRESS_MAX", "10")]);
    let job = world.submit("goes on", &[]).unwrap();
    let login = "PUT /zstack/v1/accounts/login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{";
    let mut slow: Vec<_> = (0..30)
        .map(|_| {
            let mut stream = connect(world.address());
            stream.write_all(login.as_bytes()).unwrap();
            // One after the other, so that it is known who comes too late.
            std::thread::sleep(Duration::from_millis(10));
            stream
        })
        .collect();
    for stream in &mut slow[10..] {
        let answer = read_answer(stream, false);
        assert_eq!(answer.status, 503, "{}", answer.body);
        assert!(answer.body.contains("are at work already"), "{}", answer.body);
    }
    // An upload whose URL is known goes on, and health is answered.
    let put = request("PUT", &job.path, &[], b"content");
    assert_eq!(exchange(world.address(), &put, Then::Wait).status, 200);
    assert!(world.is_alive());
    drop(slow);
    let begun = Instant::now();
    while exchange(
        world.address(),
        &request("PUT", "/zstack/v1/accounts/login", &[], "{}"),
        Then::Wait,
    )
    .status
        != 400
    {
        assert!(begun.elapsed() < Duration::from_secs(10), "the share is not given back");
        std::thread::sleep(Duration::from_millis(20));
    }
    world.end();
}
