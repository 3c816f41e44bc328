//! What the content of an image leads to: refused as soon as it is proven, taken, or only told.

use longshore::{
    config::InspectPolicy,
    domain::{image::ImageRecord, inspected::InspectedUnder, job::Reason, job_state::JobState},
    jobs::JobView,
    uploads::{UploadError, Verdict},
};

use super::{
    bodies::fed,
    joining::{join, parts_of},
    on_all,
    rigged::{Op, Side},
    world::{Backing, Settings, World, at, new_job, upload_of, words},
};

on_all! {
    a_good_image_is_taken_with_its_disk
    an_image_that_needs_another_file_is_refused_by_its_first_slice
    what_only_the_end_shows_is_refused_at_the_end
    what_was_said_is_compared_with_what_is_there
    a_restart_forgets_no_refusal
    without_the_policy_everything_is_taken
    what_was_found_is_kept_with_the_image
    what_was_found_is_kept_over_a_crash
}

async fn strict(backing: Backing, policy: InspectPolicy) -> World {
    let mut settings = Settings::default();
    settings.uploads.inspection.policy = policy;
    World::with(backing, &settings).await
}

/// 10 GiB, nothing written; the least that a qcow2 has.
fn qcow2() -> Vec<u8> {
    let mut image = vec![0; 196_768];
    image[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
    for (at, field) in [(20, 16_u32), (36, 20), (56, 1), (96, 4), (100, 104)] {
        image[at..at + 4].copy_from_slice(&field.to_be_bytes());
    }
    for (at, field) in [(24, 10_u64 << 30), (40, 0x30000), (48, 0x10000)] {
        image[at..at + 8].copy_from_slice(&field.to_be_bytes());
    }
    image
}

/// The same, as the changes to another file.
fn child() -> Vec<u8> {
    let mut image = qcow2();
    image[8..16].copy_from_slice(&0x200_u64.to_be_bytes());
    image
}

async fn said_to_be(world: &World, format: &str, length: usize) -> JobView {
    let mut new = new_job(Some(length));
    new.image.format = Some(format.to_owned());
    world.jobs().submit(world.caller, new).await.unwrap()
}

/// The words of the refusal that this verdict is.
fn refusal(verdict: Option<Verdict>) -> String {
    match verdict {
        Some(Verdict::Refused { detail, reason: Reason::Content }) => detail,
        other => panic!("no refusal but {other:?}"),
    }
}

async fn a_good_image_is_taken_with_its_disk(backing: Backing) {
    let world = strict(backing, InspectPolicy::Enforce).await;
    let bytes = qcow2();
    let job = world.submit(Some(bytes.len())).await;
    let first = world.send(&job, 0, &bytes[..70_000]).await.unwrap();
    assert_eq!(first.verdict, None, "nothing speaks against it");
    world.send(&job, 70_000, &bytes[70_000..]).await.unwrap();
    world.assert_ready(&job, &bytes).await;
    let image = world.image(&job).await.unwrap();
    assert_eq!((&*image.format, image.size), ("qcow2", 10 << 30));
}

async fn an_image_that_needs_another_file_is_refused_by_its_first_slice(backing: Backing) {
    let world = strict(backing, InspectPolicy::Enforce).await;
    let bytes = child();
    let job = world.submit(Some(bytes.len())).await;
    // What lies behind the header proves nothing, whenever it comes.
    assert_eq!(world.send(&job, 100_000, &bytes[100_000..]).await.unwrap().verdict, None);
    let detail = refusal(world.send(&job, 0, &bytes[..512]).await.unwrap().verdict);
    assert!(detail.contains("the changes to another file (a backing file)"), "{detail}");
    assert!(detail.contains("qemu-img convert"), "it says what to do: {detail}");
    let now = world.until(&job, JobState::Failed).await;
    let (told, cause) = words(&now);
    assert_eq!(told, detail);
    assert!(cause.contains("qcow2_backing_file, rule 6"), "{cause}");
    let later = world.send(&job, 512, &bytes[512..1024]).await;
    assert!(matches!(later, Err(UploadError::Gone { .. })), "{later:?}");
    world.assert_nothing_left(&job).await;
}

async fn what_only_the_end_shows_is_refused_at_the_end(backing: Backing) {
    let world = strict(backing, InspectPolicy::Enforce).await;
    // A fixed vhd is known by its last sector, and this one has a wrong checksum.
    let mut bytes = vec![0; 200_000 - 200_000 % 512];
    let footer = bytes.len() - 512;
    bytes[footer..footer + 8].copy_from_slice(b"conectix");
    let job = said_to_be(&world, "vhd", bytes.len()).await;
    assert_eq!(world.send(&job, 0, &bytes[..150_000]).await.unwrap().verdict, None);
    let detail = refusal(world.send(&job, 150_000, &bytes[150_000..]).await.unwrap().verdict);
    assert!(detail.contains("the checksum of its vhd header or footer is wrong"), "{detail}");
    world.until(&job, JobState::Failed).await;
    world.assert_nothing_left(&job).await;
}

async fn what_was_said_is_compared_with_what_is_there(backing: Backing) {
    let world = strict(backing, InspectPolicy::Enforce).await;
    let bytes = qcow2();
    let job = said_to_be(&world, "raw", bytes.len()).await;
    let detail = refusal(world.send(&job, 0, &bytes).await.unwrap().verdict);
    assert!(detail.contains("it was said to be raw, and its content is qcow2"), "{detail}");
    // Who does not know says `auto`.
    let job = said_to_be(&world, "auto", bytes.len()).await;
    world.send(&job, 0, &bytes).await.unwrap();
    world.assert_ready(&job, &bytes).await;
    assert_eq!(world.image(&job).await.unwrap().format, "qcow2");
}

async fn a_restart_forgets_no_refusal(backing: Backing) {
    let mut world = strict(backing, InspectPolicy::Enforce).await;
    let bytes = child();
    let job = world.submit(Some(bytes.len())).await;
    assert_eq!(world.send(&job, 0, &bytes[..500]).await.unwrap().verdict, None);
    world.crash().await;
    let detail = refusal(world.send(&job, 500, &bytes[500..600]).await.unwrap().verdict);
    assert!(detail.contains("a backing file"), "{detail}");
    world.until(&job, JobState::Failed).await;
}

async fn without_the_policy_everything_is_taken(backing: Backing) {
    for policy in [InspectPolicy::Warn, InspectPolicy::Off] {
        let world = strict(backing, policy).await;
        let bytes = child();
        let job = said_to_be(&world, "raw", bytes.len()).await;
        assert_eq!(world.send(&job, 0, &bytes[..100_000]).await.unwrap().verdict, None);
        world.send(&job, 100_000, &bytes[100_000..]).await.unwrap();
        world.assert_ready(&job, &bytes).await;
        assert_eq!(world.image(&job).await.unwrap().format, "qcow2");
    }
}

/// A qcow2 that was not closed in order.
fn dirty() -> Vec<u8> {
    let mut image = qcow2();
    image[79] = 1;
    image
}

/// Policy, format by content, disk, rules of the warnings.
fn kept(image: Option<ImageRecord>) -> (InspectedUnder, String, u64, Vec<String>) {
    let kept = image.unwrap().inspection.expect("it was looked at");
    let rules = kept.warnings.into_iter().map(|warning| warning.rule).collect();
    (kept.policy, kept.format, kept.virtual_size, rules)
}

async fn what_was_found_is_kept_with_the_image(backing: Backing) {
    let disk = 10 << 30;
    for (policy, under, bytes, declared, rules) in [
        (InspectPolicy::Enforce, InspectedUnder::Enforce, qcow2(), "qcow2", vec![]),
        (InspectPolicy::Enforce, InspectedUnder::Enforce, dirty(), "qcow2", vec!["qcow2_dirty"]),
        (
            InspectPolicy::Warn,
            InspectedUnder::Warn,
            child(),
            "raw",
            vec!["format_differs", "qcow2_backing_file"],
        ),
        (InspectPolicy::Off, InspectedUnder::Off, child(), "raw", vec![]),
    ] {
        let world = strict(backing, policy).await;
        let job = said_to_be(&world, declared, bytes.len()).await;
        assert_eq!(job.image.clone().unwrap().inspection, None, "not before it was looked at");
        world.send(&job, 0, &bytes).await.unwrap();
        world.assert_ready(&job, &bytes).await;
        let rules: Vec<_> = rules.into_iter().map(str::to_owned).collect();
        let wanted = (under, "qcow2".to_owned(), disk, rules);
        assert_eq!(kept(world.image(&job).await), wanted, "{policy:?}");
        // The same bytes in one request, and from parts.
        let mut new = new_job(None);
        new.image.format = Some(declared.to_owned());
        let whole = super::whole::made_of(&world, new, &bytes).await;
        assert_eq!(kept(world.image(&whole).await), wanted, "{policy:?}, in one request");
        if declared == "qcow2" {
            let joined = join(&world, &parts_of(&world, &bytes).await).await.unwrap();
            world.until(&joined, JobState::Succeeded).await;
            assert_eq!(kept(world.image(&joined).await), wanted, "{policy:?}, joined");
        }
    }
}

async fn what_was_found_is_kept_over_a_crash(backing: Backing) {
    let mut world = strict(backing, InspectPolicy::Enforce).await;
    let bytes = dirty();
    let job = world.submit(Some(bytes.len())).await;
    // Its bytes are the image, and the record does not say so yet.
    let held = world.rig.hold(Op::Publish, Side::After);
    let sending =
        world.sending(upload_of(&job), at(0, Some(bytes.len())), super::bodies::whole(&bytes));
    held.reached().await;
    world.crash().await;
    drop(sending);
    world.until(&job, JobState::Succeeded).await;
    world.assert_ready(&job, &bytes).await;
    let (.., rules) = kept(world.image(&job).await);
    assert_eq!(rules, ["qcow2_dirty"]);
    let words = world.image(&job).await.unwrap().inspection.unwrap().warnings.remove(0).words;
    assert!(words.contains("qemu-img check -r all"), "it says what to do: {words}");
}

/// A body may be a terabyte: what its beginning proves is told while it comes. (The reference store counts nothing before the end.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_refused_before_its_end() {
    let world = strict(Backing::Local, InspectPolicy::Enforce).await;
    let length = 1 << 30;
    let job = world.submit(Some(length)).await;
    let (feed, body) = fed();
    let sending = world.sending(upload_of(&job), at(0, Some(length)), body);
    feed.send(child()).unwrap();
    let mut fed_bytes = 0;
    while !sending.is_finished() {
        fed_bytes += 64 << 10;
        assert!(fed_bytes < 256 << 20, "nobody looks at it");
        let _ = feed.send(vec![0; 64 << 10]);
        tokio::time::sleep(std::time::Duration::from_micros(300)).await;
    }
    let told = refusal(sending.await.unwrap().unwrap().verdict);
    assert!(told.contains("backing file"), "{told}");
    world.until(&job, JobState::Failed).await;
    world.assert_nothing_left(&job).await;
}
