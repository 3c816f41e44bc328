//! Methods that a path does not take, OPTIONS, and callers from elsewhere.

use std::{collections::BTreeMap, net::SocketAddr};

use actix_web::{App, test as http_test, web};
use longshore::http;

use super::world::{Ask, Who, World, id};

/// Standard methods and one that nobody knows.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "INVENTED"];

/// Every path with the methods that the table gives it.
fn paths() -> BTreeMap<String, Vec<String>> {
    let mut paths = BTreeMap::<String, Vec<String>>::new();
    for route in http::routes() {
        paths.entry(route.path).or_default().push(route.method.to_string());
    }
    paths
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_path_names_its_methods() {
    let world = World::start(&[]).await;
    for (path, methods) in paths() {
        let allow = format!("{}, OPTIONS", methods.join(", "));
        let some = path.split('/').map(|segment| match segment.split_once('{') {
            Some((before, _)) => format!("{before}{}", id()),
            None => segment.to_owned(),
        });
        let some = some.collect::<Vec<_>>().join("/");
        let options = world.ask(Who::Nobody, &Ask::new("OPTIONS", &some)).await;
        assert_eq!((options.status, options.header("allow")), (204, allow.as_str()), "{path}");
        for method in METHODS.iter().filter(|method| methods.iter().all(|ours| ours != *method)) {
            let answer = world.ask(Who::Nobody, &Ask::new(method, &some).body("x")).await;
            let told = (answer.status, answer.header("allow").to_owned());
            assert_eq!(told, (405, allow.clone()), "{method} {path}");
            let words = answer.text();
            assert!(*method == "HEAD" || words.contains(&allow), "{method} {path}: {words}");
            let is_our_own =
                ["/v1/events", "/v1/images/", "/v1/jobs/"].iter().any(|own| path.starts_with(own));
            let is_ims =
                !is_our_own && ["/v1/", "/v2/", "/v3"].iter().any(|start| path.starts_with(start));
            let kind = if path.starts_with("/zstack/") {
                "text/plain; charset=utf-8"
            } else if is_ims {
                "application/json"
            } else {
                "application/problem+json"
            };
            assert_eq!(answer.header("content-type"), kind, "{method} {path}");
        }
    }
    for (path, words) in [
        ("/zstack/v1/nowhere", "no api mapping to /v1/nowhere"),
        ("/zstack/v1/longjobs/a/b/c", "no api mapping to /v1/longjobs/a/b/c"),
        ("/zstack/v1/longjobs//actions", "no api mapping to /v1/longjobs//actions"),
        ("/zstack/v2/longjobs", "not_found"),
        ("/nowhere", "not_found"),
        ("//healthz", "not_found"),
        ("/imagestore/upload/", "not_found"),
        ("/imagestore/upload/a/b", "not_found"),
        ("/images", "not_found"),
    ] {
        for method in ["GET", "POST", "OPTIONS"] {
            let answer = world.ask(Who::Own, &Ask::new(method, path)).await;
            assert_eq!(answer.status, 404, "{method} {path}");
            assert!(answer.text().contains(words), "{method} {path}: {}", answer.text());
        }
    }
    world.stop().await;
}

/// Metrics are for this machine unless they were opened; everything else has no such bound.
#[actix_web::test]
async fn metrics_are_for_this_machine() {
    let here = ["127.0.0.1:9", "[::1]:9", "[::ffff:127.0.0.1]:9"];
    let elsewhere = ["192.0.2.1:9", "[2001:db8::1]:9"];
    for (public, status_elsewhere) in [("false", 403), ("true", 200)] {
        let world = World::start(&[("LONGSHORE_HTTP__METRICS_PUBLIC", public)]).await;
        let data = web::Data::new(world.service.app.clone());
        let app = App::new().app_data(data).configure(http::configure);
        let app = http_test::init_service(app).await;
        let peers = here.map(|peer| (peer, 200));
        for (peer, status) in peers.into_iter().chain(elsewhere.map(|p| (p, status_elsewhere))) {
            let address: SocketAddr = peer.parse().unwrap();
            for method in ["GET", "HEAD"] {
                let ask = http_test::TestRequest::with_uri("/metrics").peer_addr(address);
                let ask = ask.method(method.parse().unwrap()).to_request();
                let answer = http_test::call_service(&app, ask).await;
                assert_eq!(answer.status().as_u16(), status, "{method} {peer} {public}");
            }
        }
        // Behind a proxy of this machine it counts whom that calls for; what the client invented stands before it.
        let proxied = [("192.0.2.1", status_elsewhere), ("127.0.0.1, 192.0.2.1", status_elsewhere)];
        for (told, status) in proxied.into_iter().chain([("127.0.0.1", 200)]) {
            let ask = http_test::TestRequest::with_uri("/metrics");
            let ask = ask.peer_addr("127.0.0.1:9".parse().unwrap());
            let ask = ask.insert_header(("X-Forwarded-For", told)).to_request();
            let answer = http_test::call_service(&app, ask).await;
            assert_eq!(answer.status().as_u16(), status, "for {told} {public}");
        }
        world.stop().await;
    }
}
