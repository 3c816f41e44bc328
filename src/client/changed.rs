//! Whether a file is still what its unfinished upload was begun with, asked before a byte of it is sent.
//!
//! Two witnesses: a note of size, modification time and name by the content, kept on this machine where a caller wants that
//! ([`Notes`]), and samples of what the server has. The note sees every change that a file system shows; the samples see another
//! content also on a machine that has no note. What neither sees is found by the digests of the whole at the end.

use std::{
    fs,
    io::Write,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    api::{Api, JobAction},
    content::Content,
    error::ClientError,
    events::{Event, Sink},
    retry::{Policy, patiently},
};
use crate::{
    domain::{image_id::ImageId, tag::hex},
    wire::{
        native::{ByteRange, StateName},
        page::SampleDigest,
    },
};

/// A note of an upload that nobody went on with for so long is removed: the server has given it up long before.
const NOTE_AGE_MAX: Duration = Duration::from_hours(24 * 60);

/// What to do where a file is not what its unfinished upload was begun with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IfChanged {
    /// Refuse, with the choice in words. Nothing is sent and nothing is lost.
    #[default]
    Refuse,
    /// Give that upload up and send the file as it is now from its beginning.
    Anew,
    /// Go on where only the modification time is new; the digests of the whole decide. Else refuse.
    Same,
}

/// What differs, and whether going on could still be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    what: String,
    time_only: bool,
}

impl Difference {
    pub(super) const fn of_content(what: String) -> Self {
        Self { what, time_only: false }
    }

    /// Goes on, gives `job` up, or refuses. True: the job was given up.
    pub(super) async fn decide(
        self,
        if_changed: IfChanged,
        path: &Path,
        job: &str,
        (api, policy, events): (&Api, &Policy, &Sink),
    ) -> Result<bool, ClientError> {
        match if_changed {
            IfChanged::Same if self.time_only => return Ok(false),
            IfChanged::Refuse | IfChanged::Same => {
                return Err(ClientError::FileDiffers {
                    path: path.to_path_buf(),
                    what: self.what,
                    job: job.to_owned(),
                    time_only: self.time_only,
                });
            }
            IfChanged::Anew => {}
        }
        match patiently(policy, events, || api.act(job, JobAction::Cancel)).await {
            // Refused: it has ended in between, which is as good.
            Ok(()) | Err(ClientError::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
        let words = format!("gave up job {job}, which was begun with the file as it was before");
        events(&Event::Note { words });
        Ok(true)
    }
}

/// A folder for notes of uploads that are not finished, one file each, for this user's eyes only. Only what shows a change is in
/// them: nothing that is needed to go on, and no secret. They are best effort: a folder that cannot be written loses the warning alone.
#[derive(Debug, Clone)]
pub struct Notes {
    folder: PathBuf,
}

impl Notes {
    /// Notes in `folder`, which is made when the first is kept.
    pub const fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }
}

/// What an upload was begun with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Begun {
    server: String,
    path: String,
    size: u64,
    modified_secs: i64,
    modified_nanos: i64,
    image_id: String,
    job_uuid: String,
}

/// The note of one file for one server: as it was kept, and as it would be now.
#[derive(Debug, Clone)]
pub(super) struct Noted {
    file: PathBuf,
    before: Option<Begun>,
    now: Begun,
}

impl Noted {
    /// Reads the note of an open file; `None` for a stream. With a name that a person gave (`given`) the same file may have several
    /// uploads at once, each with its note. Blocks.
    pub(super) fn read(
        notes: &Notes,
        server: &str,
        content: &Content,
        image_id: &ImageId,
        given: bool,
    ) -> Option<Self> {
        let (modified_secs, modified_nanos) = content.modified()?;
        // From another folder it is the same file.
        let path = fs::canonicalize(content.path()).ok()?;
        let mut key = Sha256::new();
        for part in [server.as_bytes(), path.as_os_str().as_bytes()] {
            key.update(part);
            key.update([0]);
        }
        key.update(if given { image_id.as_str() } else { "" });
        let file = notes.folder.join(format!("{}.json", hex(&key.finalize())));
        let before = fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let now = Begun {
            server: server.to_owned(),
            path: path.display().to_string(),
            size: content.size(),
            modified_secs,
            modified_nanos,
            image_id: image_id.to_string(),
            job_uuid: String::new(),
        };
        Some(Self { file, before, now })
    }

    fn difference(&self) -> Option<(Difference, &str)> {
        let (before, now) = (self.before.as_ref()?, &self.now);
        let modified = |note: &Begun| (note.modified_secs, note.modified_nanos);
        let difference = if before.size != now.size {
            let what = format!("its size was {} bytes and is {}", before.size, now.size);
            Difference { what, time_only: false }
        } else if before.image_id != now.image_id {
            Difference { what: "its content is another".to_owned(), time_only: false }
        } else if modified(before) != modified(now) {
            Difference { what: "its modification time is another".to_owned(), time_only: true }
        } else {
            return None;
        };
        Some((difference, &before.job_uuid))
    }

    /// Refuses a file that has changed since its upload was begun, unless `if_changed` says otherwise. An upload that has ended does
    /// not matter any more.
    pub(super) async fn check(
        &self,
        if_changed: IfChanged,
        path: &Path,
        calls @ (api, policy, events): (&Api, &Policy, &Sink),
    ) -> Result<(), ClientError> {
        let Some((difference, job)) = self.difference() else { return Ok(()) };
        let found = patiently(policy, events, || api.job(job)).await?;
        let over = |state: StateName| state.is_final() || state == StateName::Canceling;
        if found.is_none_or(|job| over(job.state)) {
            return Ok(());
        }
        difference.decide(if_changed, path, job, calls).await.map(drop)
    }

    /// Keeps what the file is now as that with which `job` was begun. Blocks.
    pub(super) fn keep(&self, job: &str) {
        let note = Begun { job_uuid: job.to_owned(), ..self.now.clone() };
        // Without a note a change that the samples do not see is found at the end, by the digests.
        let _ = self.write(&note);
    }

    fn write(&self, note: &Begun) -> std::io::Result<()> {
        let Some(folder) = self.file.parent() else { return Ok(()) };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        prune(folder);
        let draft = self.file.with_extension(format!("{}.new", std::process::id()));
        let _ = fs::remove_file(&draft);
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(&serde_json::to_vec_pretty(note)?)?;
        fs::rename(&draft, &self.file)
    }

    /// The upload is an image now. Blocks.
    pub(super) fn forget(&self) {
        let _ = fs::remove_file(&self.file);
    }
}

fn prune(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let age = modified.ok().and_then(|modified| modified.elapsed().ok());
        if age.is_some_and(|age| age > NOTE_AGE_MAX) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// What of a file is other than the bytes that the server has of it, as far as samples show. A server that gives none is no reason
/// to stop: the digests of the whole decide.
pub(super) async fn differs(
    api: &Api,
    content: &Arc<Content>,
    image_uuid: &str,
) -> Result<Option<Difference>, ClientError> {
    if content.file().is_none() {
        return Ok(None); // A stream is read once, in order.
    }
    let Ok(samples) = api.samples(image_uuid).await else { return Ok(None) };
    let content = Arc::clone(content);
    let compared = tokio::task::spawn_blocking(move || first_other(&content, &samples)).await;
    let stopped = |_| ClientError::Protocol { words: "reading the file was stopped".to_owned() };
    compared.map_err(stopped)?
}

fn first_other(
    content: &Content,
    samples: &[SampleDigest],
) -> Result<Option<Difference>, ClientError> {
    for sample in samples {
        let range = ByteRange { start: sample.start, end: sample.end };
        let same = range.end <= content.size() && content.sha256_of(range)? == sample.sha256;
        if !same {
            let what = format!(
                "bytes {} to {} are not those that were sent",
                sample.start,
                sample.end.saturating_sub(1)
            );
            return Ok(Some(Difference::of_content(what)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Case {
        folder: tempfile::TempDir,
        notes: Notes,
        path: PathBuf,
    }

    impl Case {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let (notes, path) =
                (Notes::in_folder(folder.path().join("kept")), folder.path().join("disk.raw"));
            fs::write(&path, vec![7; 1000]).unwrap();
            Self { folder, notes, path }
        }

        fn noted(&self, id: &str, given: bool) -> Noted {
            let content = Content::open(&self.path).unwrap();
            Noted::read(&self.notes, "http://h", &content, &id.parse().unwrap(), given).unwrap()
        }

        fn what(&self, id: &str) -> Option<(String, bool)> {
            let noted = self.noted(id, false);
            noted.difference().map(|(found, job)| {
                assert_eq!(job, "job1");
                (found.what, found.time_only)
            })
        }
    }

    #[test]
    fn size_time_and_content_are_noticed_each_by_itself() {
        let case = Case::new();
        assert_eq!(case.what("a"), None, "no note, nothing to compare with");
        case.noted("a", false).keep("job1");
        assert_eq!(case.what("a"), None, "a control: the file is as it was");
        assert_eq!(case.what("b"), Some(("its content is another".to_owned(), false)));

        let file = fs::File::options().write(true).open(&case.path).unwrap();
        let was = file.metadata().unwrap().modified().unwrap();
        file.set_modified(was + Duration::from_nanos(1)).unwrap();
        assert_eq!(case.what("a"), Some(("its modification time is another".to_owned(), true)));
        file.set_len(999).unwrap();
        file.set_modified(was).unwrap();
        assert_eq!(case.what("a"), Some(("its size was 1000 bytes and is 999".to_owned(), false)));
        case.noted("a", false).forget();
        assert_eq!(case.what("a"), None);
    }

    #[test]
    fn a_note_is_for_its_user_alone_and_old_ones_go() {
        let case = Case::new();
        let noted = case.noted("a", false);
        noted.keep("job1");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&noted.file), mode(noted.file.parent().unwrap())), (0o600, 0o700));
        let old = case.folder.path().join("kept/old.json");
        let file = fs::File::create(&old).unwrap();
        file.set_modified(std::time::SystemTime::now() - 2 * NOTE_AGE_MAX).unwrap();
        noted.keep("job1");
        assert!(!old.exists() && noted.file.exists());
        assert_eq!(fs::read_dir(case.folder.path().join("kept")).unwrap().count(), 1, "no draft");
    }

    #[test]
    fn a_name_of_ones_own_has_a_note_of_its_own() {
        let case = Case::new();
        let files = [("a", false), ("b", false), ("a", true), ("b", true)]
            .map(|(id, given)| case.noted(id, given).file);
        assert_eq!(files[0], files[1], "by the content: one note, whatever the content is");
        assert!(files[0] != files[2] && files[2] != files[3]);
    }
}
