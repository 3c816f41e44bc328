//! The upload URL's secret: what is not exactly it opens nothing.

use longshore::{accounts::Capability, domain::ids::UploadUuid};

use super::world::{Ask, Objects, SENT_BYTES, Stage, Who, World, id};

const METHODS: [&str; 5] = ["GET", "HEAD", "PUT", "POST", "DELETE"];

fn ask(method: &str, capability: &str) -> Ask {
    let ask = Ask::new(method, &format!("/imagestore/upload/{capability}"));
    match method {
        "PUT" => ask.with("Content-Range", "bytes 0-99/1000").body(vec![7; SENT_BYTES]),
        "POST" => {
            ask.with("X-IMAGE-SIZE", "1000").with("X-SLICE-SIZE", "100").body(vec![7; SENT_BYTES])
        }
        _ => ask,
    }
}

/// All that is wrong in one place: another letter, another case, one byte fewer, one more, and all that is cut off.
fn mutations(capability: &str) -> Vec<String> {
    let mut found =
        vec![format!("{capability}A"), format!("{capability}%20"), format!("%20{capability}")];
    for at in 0..capability.len() {
        let (before, rest) = capability.split_at(at);
        let (this, after) = rest.split_at(1);
        let byte = this.as_bytes()[0];
        for other in [b'A', b'B', b'-', b'.', b'0', byte ^ 0x20, byte ^ 1] {
            let is_plain = other.is_ascii_alphanumeric() || b"-_.".contains(&other);
            if other != byte && is_plain {
                found.push(format!("{before}{}{after}", char::from(other)));
            }
        }
        found.push(format!("{before}{after}"));
        found.push(format!("{before}{this}{this}{after}"));
        found.push(before.to_owned());
    }
    found.retain(|mutation| mutation != capability && !mutation.is_empty());
    found
}

async fn bare(world: &World, method: &str, capability: &str) -> String {
    let answer = world.ask(Who::Nobody, &ask(method, capability)).await;
    assert_eq!(answer.status, 404, "{method} {capability}: {}", answer.text());
    answer.bare(&Objects::missing(id()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_capability_is_right_or_nothing() {
    let world = World::start(&[]).await;
    let (ours, theirs) = (world.objects(Stage::Running).await, world.objects(Stage::Running).await);
    // Negative control: the very same requests are taken with the capability as it is.
    for method in &METHODS[..4] {
        assert_eq!(world.ask(Who::Nobody, &ask(method, &ours.capability)).await.status, 200);
    }
    world.service.app.uploads.write_down().await.unwrap();
    let before = world.seen(&ours).await;
    // All that is not it is answered alike, whoever asks.
    let upload = world.upload(&ours.image).await;
    for method in METHODS {
        let unknown = bare(&world, method, "v1.a.b").await;
        for generation in [-1, 1] {
            let revoked = world.capability(&upload, upload.url_generation + generation);
            assert_eq!(bare(&world, method, &revoked).await, unknown, "{method} revoked");
        }
        let without_row = Capability { upload: UploadUuid::random(), generation: 0 };
        let without_row = world.service.app.capabilities.issue(without_row);
        assert_eq!(bare(&world, method, &without_row).await, unknown, "{method} without a row");
        let mutations = mutations(&ours.capability);
        assert!(mutations.len() > 8 * ours.capability.len(), "{}", mutations.len());
        // GET with all of them, the others with a sample.
        let step = if method == "GET" { 1 } else { 41 };
        for mutation in mutations.iter().step_by(step) {
            assert_eq!(bare(&world, method, mutation).await, unknown, "{method} {mutation}");
        }
    }
    assert_eq!(world.seen(&ours).await, before, "nothing of it changed the upload");

    // One upload's secret does not speak for another, however the request names it.
    for method in METHODS {
        let cross = ask(method, &theirs.capability).with("X-IMAGE-UUID", &ours.image);
        let answer = world.ask(Who::Own, &cross).await;
        assert_eq!(answer.status, 400, "{method}: {}", answer.text());
    }
    let state = world.ask(Who::Nobody, &ask("GET", &theirs.capability)).await.json();
    assert_eq!(state["imageUuid"], theirs.image.as_str());
    assert_eq!(world.seen(&ours).await, before);
    world.stop().await;
}

/// After the end: an image's URL still answers and takes bytes again that are there; a discarded one is gone for every method.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_capability_after_the_end() {
    let world = World::start(&[]).await;
    for (stage, expected) in [
        (Stage::Running, [200, 200, 200, 200, 204]),
        (Stage::Suspended, [200, 200, 409, 423, 204]),
        (Stage::Ready, [200, 200, 200, 200, 403]),
        (Stage::Canceled, [410, 410, 410, 410, 410]),
    ] {
        for (method, status) in METHODS.into_iter().zip(expected) {
            let objects = world.objects(stage).await;
            let answer = world.ask(Who::Nobody, &ask(method, &objects.capability)).await;
            assert_eq!(answer.status, status, "{method} {stage:?}: {}", answer.text());
        }
    }
    world.stop().await;
}
