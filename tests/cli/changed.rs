//! A file that is not what its unfinished upload was begun with: noticed before a byte is sent, refused, and the choice is the
//! person's. Size, modification time and what was sent, each by itself.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use crate::{
    MIB,
    run::{Ran, sum_of},
    world::World,
};

const LENGTH: u64 = 12 * MIB;
const UPLOAD: [&str; 5] = ["upload", "--json", "--slice-size", "1m", "disk.raw"];

/// An upload that stopped in the middle, its file and its job.
struct Begun {
    world: World,
    file: PathBuf,
    job: String,
}

impl Begun {
    /// Stopped once the first `offset` bytes are there without a hole.
    fn new(upload: &[&str], offset: u64) -> Self {
        let world = World::slow(4 * MIB);
        let file = world.file("disk.raw", LENGTH);
        let mut running = world.start(upload);
        running.wait_stored(offset + 4 * MIB);
        running.kill();
        world.relay.up.limit(0);
        let job = world.newest_job()["uuid"].as_str().unwrap().to_owned();
        Self { world, file, job }
    }

    fn open(&self) -> File {
        File::options().write(true).open(&self.file).unwrap()
    }

    fn modified(&self) -> SystemTime {
        fs::metadata(&self.file).unwrap().modified().unwrap()
    }

    fn again(&self, more: &[&str]) -> Ran {
        self.world.run([&UPLOAD[..], more].concat())
    }

    /// Refused with these words, nothing was sent, the job has what it had.
    #[track_caller]
    fn refuses(&self, upload: &[&str], what: &str) {
        let before = self.world.relay.up.passed();
        let ran = self.world.run(upload).ends(2);
        let words = ran.event("error")["words"].as_str().unwrap().to_owned();
        for part in [what, "put the file back", "--changed anew", &self.job] {
            assert!(words.contains(part), "no [{part}] in {words}");
        }
        assert!(self.world.relay.up.passed() - before < 64 << 10, "bytes were sent");
        let job = self.world.newest_job();
        assert_eq!(job["uuid"], self.job.as_str(), "no other job was begun");
        assert!(["Running", "Suspended"].contains(&job["state"].as_str().unwrap()), "{job}");
    }

    /// The file as it is now becomes the image, by another job, and the older one is given up.
    #[track_caller]
    fn begins_anew(&self, upload: &[&str]) {
        let ran = self.world.run([upload, &["--changed", "anew"]].concat()).ends(0);
        let ready = ran.event("ready");
        assert_eq!(ready["sha256"], sum_of("sha256sum", &self.file));
        assert_ne!(ready["jobUuid"], self.job.as_str());
        assert_eq!(ready["sentBytes"], fs::metadata(&self.file).unwrap().len());
        let older = self.world.json(["jobs", "show", "--json", &self.job]);
        assert_eq!(older["state"], "Canceled", "{older}");
    }
}

#[test]
fn another_size_is_refused_and_sent_anew_where_a_person_wants_that() {
    let begun = Begun::new(&UPLOAD, 0);
    let modified = begun.modified();
    begun.open().set_len(9 * MIB).unwrap();
    begun.open().set_modified(modified).unwrap();
    begun.refuses(&UPLOAD, "its size was 12582912 bytes and is 9437184");
    begun.refuses(&[&UPLOAD[..], &["--changed", "same"]].concat(), "its size was");
    begun.begins_anew(&UPLOAD);
    // That upload is done: the file may change as it likes.
    begun.open().set_len(8 * MIB).unwrap();
    begun.again(&[]).ends(0);
}

#[test]
fn another_modification_time_is_refused_and_gone_on_with_where_a_person_wants_that() {
    let begun = Begun::new(&UPLOAD, 0);
    let modified = begun.modified();
    begun.open().set_modified(modified + Duration::from_secs(1)).unwrap();
    begun.refuses(&UPLOAD, "its modification time is another");
    begun.refuses(&UPLOAD, "--changed same");
    // Put back it is the file that it was: the control that nothing else was refused.
    begun.open().set_modified(modified).unwrap();
    let mut running = begun.world.start(UPLOAD);
    let located = running.wait_for(|event| event["event"] == "located");
    assert_eq!(
        (&located["jobUuid"], &located["resumed"]),
        (&begun.job.as_str().into(), &true.into())
    );
    running.kill();
    if begun.world.newest_job()["state"] == "Succeeded" {
        return; // Faster than the signal.
    }
    begun.open().set_modified(modified + Duration::from_secs(2)).unwrap();
    let ran = begun.again(&["--changed", "same"]).ends(0);
    let ready = ran.event("ready");
    assert_eq!((&ready["jobUuid"], &ready["verified"]), (&begun.job.as_str().into(), &true.into()));
    assert!(ready["sentBytes"].as_u64().unwrap() < LENGTH, "{ready}");
}

/// Where the file system shows nothing: size and time are as they were, the bytes are not.
#[test]
fn other_bytes_where_the_name_is_made_from_are_refused() {
    let begun = Begun::new(&UPLOAD, 0);
    let modified = begun.modified();
    begun.open().write_all_at(b"new", LENGTH - 10).unwrap();
    begun.open().set_modified(modified).unwrap();
    begun.refuses(&UPLOAD, "its content is another");
    begun.begins_anew(&UPLOAD);
}

/// Without a note of this machine and under a name that says nothing of the content: samples of what the server has decide.
#[test]
fn other_bytes_than_were_sent_are_refused_on_another_machine() {
    let upload = [&UPLOAD[..], &["--image-id", "mine"]].concat();
    let begun = Begun::new(&upload, 2 * MIB);
    fs::remove_dir_all(begun.world.path("config/uploads")).unwrap();
    begun.open().write_all_at(b"new", 10).unwrap();
    begun.refuses(&upload, "bytes 0 to 65535 are not those that were sent");
    begun.open().set_len(9 * MIB).unwrap();
    begun.refuses(&upload, "its size was 12582912 bytes and is 9437184");
    begun.begins_anew(&upload);
}

#[test]
fn a_note_has_no_secret_and_goes_with_the_upload() {
    let begun = Begun::new(&UPLOAD, 0);
    let folder = begun.world.path("config/uploads");
    let notes: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(notes.len(), 1, "{notes:?}");
    let text = fs::read_to_string(&notes[0]).unwrap();
    assert!(text.contains(&begun.job) && text.contains("disk.raw"), "{text}");
    assert!(!text.contains(&begun.world.session("config")), "{text}");
    assert!(!text.contains("/uploads/"), "an upload URL is a secret: {text}");
    // A folder in which nothing can be kept stops no upload.
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "in the way").unwrap();
    begun.again(&[]).ends(0);
    fs::remove_file(&folder).unwrap();
    begun.world.file("disk.raw", LENGTH + 1);
    begun.again(&[]).ends(0);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "an upload that is done has no note");
}
