//! The control plane: long jobs from their submission to their image, recovery and supervision.

mod api_calls;
mod control;
mod error;
mod finish;
mod history;
mod hooks;
mod images;
mod join;
mod locks;
mod moves;
mod news;
mod partials;
mod progress;
mod query;
mod recovery;
mod rerun;
mod schedule;
mod signals;
mod submit;
mod supervisor;
mod tags;
mod unreadable;
mod whole;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use tokio::sync::OwnedMutexGuard;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use api_calls::{
    ApiCalls, Begun, CALL_TIMEOUT, CALL_TIMEOUT_SECS, CallFailure, CallState, Kept, OnEnd,
    RESULT_KEPT_MS, TellFailure, Terms,
};
pub use error::JobError;
pub use hooks::{
    HookCall, HookFailure, HookPlace, HookRefused, HookRules, HookSender, HookUrl, HttpHooks,
    RETRY_AFTER, WebHooks,
};
pub use join::Joined;
pub use news::{Heard, LISTENERS_MAX, LISTENERS_OF_ACCOUNT_MAX, Listener, TooManyListeners};
pub use progress::{JobProgress, StoredBytes};
pub use schedule::{
    GroupShown, JobShown, NewJobGroup, NewScheduledJob, NewTrigger, Report, ReportAsked,
    ReportUnit, ScheduleError, Scheduler, StateChanged, TriggerShown,
};
pub use supervisor::{Pruned, Purged, Swept};
pub use unreadable::Unreadable;
pub use whole::Put;

pub use crate::db::{ApiJobResult, DbError};

use locks::Locks;

use crate::{
    db::Database,
    domain::{
        account::StorageRecord,
        add_image::AddImageRequest,
        clock::{Clock, ClockDoubt},
        ids::{ApiId, ImageUuid, JobUuid, NodeUuid, UploadUuid},
        image::ImageRecord,
        job::LongJob,
        upload::{Completion, ExpectedDigests, UploadRecord},
    },
    uploads::{DigestChoice, JobSignals, UploadError, Uploads},
};

/// A new upload job, whatever dialect it came in.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// The job's uuid, where the client chooses it.
    pub uuid: Option<JobUuid>,
    /// Name of the job; the job type if absent.
    pub name: Option<String>,
    /// Description of the job.
    pub description: Option<String>,
    /// The image, as the client wants it; checked here.
    pub image: AddImageRequest,
    /// System tags, read here (`uploadImage::`, `imageSize::`, `imageMd5::`, `imageSha256::`).
    pub system_tags: Vec<String>,
    /// User tags, kept and shown.
    pub user_tags: Vec<String>,
    /// The API call that submits it.
    pub api_id: ApiId,
    /// When the upload is complete.
    pub completion: Completion,
    /// Digests declared by other means than tags.
    pub expected: ExpectedDigests,
    /// Length declared by other means than tags.
    pub length: Option<u64>,
    /// What the client said of its file, to be told again.
    pub client_metadata: Option<String>,
}

/// A job with what belongs to it.
#[derive(Debug, Clone)]
pub struct JobView {
    /// The job.
    pub job: LongJob,
    /// Its image; `None` once it failed, was canceled or was expunged.
    pub image: Option<ImageRecord>,
    /// Its upload: the key of the upload URL while the image is not Ready.
    pub upload: Option<UploadRecord>,
}

/// One element of GetUploadImageJobDetails.
#[derive(Debug, Clone)]
pub struct UploadJobDetails {
    /// The job; never final.
    pub job: LongJob,
    /// Its upload.
    pub upload: UploadRecord,
    /// First missing byte, from the store.
    pub offset: u64,
}

/// Waits and bounds of the control plane.
#[derive(Debug, Clone, Copy)]
pub struct JobLimits {
    /// A job that has had bytes is suspended when none has come for this long.
    pub idle_suspend: Duration,
    /// A job that never had a byte fails after this long.
    pub idle_fail: Duration,
    /// An unfinished upload fails when its last byte is this old.
    pub expire: Duration,
    /// Unfinished uploads that one account may have.
    pub open_uploads_max: u64,
    /// A deleted image is kept this long.
    pub expunge: Duration,
    /// Results of API calls are kept this long.
    pub api_calls_kept: Duration,
    /// Strays in the store's `lost+found` are kept this long.
    pub set_aside_kept: Duration,
    /// A scheduled run that takes so much longer than its work on a slow disk hangs, and is given up.
    pub hung_run: Duration,
    /// How often the supervisor looks at uploads in memory.
    pub tick: Duration,
}

impl Default for JobLimits {
    fn default() -> Self {
        Self {
            idle_suspend: Duration::from_secs(30),
            idle_fail: Duration::from_hours(1),
            expire: Duration::from_hours(7 * 24),
            open_uploads_max: 1000,
            expunge: Duration::from_hours(72),
            api_calls_kept: Duration::from_hours(3),
            set_aside_kept: Duration::from_hours(7 * 24),
            hung_run: Duration::from_hours(1),
            tick: Duration::from_secs(1),
        }
    }
}

/// What the control plane works with.
pub struct JobParts {
    /// Records.
    pub db: Arc<dyn Database>,
    /// The data plane.
    pub uploads: Arc<Uploads>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Waits and bounds.
    pub limits: JobLimits,
    /// Which digests follow new uploads.
    pub digests: DigestChoice,
    /// This process.
    pub node: NodeUuid,
    /// The one storage.
    pub storage: StorageRecord,
    /// Tasks that a shutdown waits for: finishing an upload, canceling a job.
    pub tasks: TaskTracker,
    /// Where they run. Not the runtime of whoever calls: an HTTP worker's ends with the server, and its tasks with it.
    pub runtime: tokio::runtime::Handle,
    /// When it ends, supervision stops.
    pub stopping: CancellationToken,
}

/// The control plane.
pub struct Jobs {
    parts: JobParts,
    /// For tasks that outlive the call that starts them.
    myself: Weak<Self>,
    /// Uploads whose last byte is here and whose verdict is not.
    finishing: Mutex<HashMap<UploadUuid, finish::Finishing>>,
    /// One at a time changes a job together with what its store entry takes: without it a slice that saw the job Running could
    /// open the gate again behind a suspension.
    locks: Locks<JobUuid>,
    /// One at a time removes or recovers a deleted image. Whoever takes a job's lock as well takes that first.
    image_locks: Locks<ImageUuid>,
    /// One at a time looks for the live job of an `IMAGE_ID` and makes one if there is none: what others learn of it.
    arriving: Mutex<HashMap<join::Key, join::Came>>,
    /// How far the clock is ahead of what it is believed.
    doubt: Mutex<ClockDoubt>,
    /// Since when the steady clock counts that the other one is compared with.
    begun: Instant,
    /// Partial uploads that a look has shut, and neither ended nor opened again yet. Of those that are open few.
    shut_partials: Mutex<HashSet<UploadUuid>>,
    /// Rows that the last look at all unfinished jobs could not read.
    unreadable: Mutex<Unreadable>,
    /// What happens, for whoever listens.
    news: news::News,
}

impl Jobs {
    /// Over these parts, connected to the data plane.
    pub fn new(parts: JobParts) -> Arc<Self> {
        let uploads = Arc::clone(&parts.uploads);
        let jobs = Arc::new_cyclic(|myself| Self {
            parts,
            myself: Weak::clone(myself),
            finishing: Mutex::default(),
            locks: Locks::default(),
            image_locks: Locks::default(),
            arriving: Mutex::default(),
            doubt: Mutex::default(),
            begun: Instant::now(),
            shut_partials: Mutex::default(),
            unreadable: Mutex::default(),
            news: news::News::default(),
        });
        let signals: Arc<dyn JobSignals> = Arc::<Self>::clone(&jobs);
        uploads.connect(Arc::downgrade(&signals));
        jobs
    }

    /// Brings a verb to its end although whoever asked goes away: between its record and the store it must not stop.
    async fn whole<T, W>(&self, verb: impl FnOnce(Arc<Self>) -> W) -> Result<T, JobError>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, JobError>> + Send + 'static,
    {
        // Only while the process is being taken down is there nobody left to do it.
        let stopping = || JobError::Upload(UploadError::Draining { offset: 0 });
        let jobs = self.myself.upgrade().ok_or_else(stopping)?;
        let work = self.parts.tasks.spawn_on(verb(jobs), &self.parts.runtime);
        match work.await {
            Ok(done) => done,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(stopping()),
        }
    }

    /// Whoever holds this is alone in changing what the store takes, removes or publishes for a job.
    async fn lock(&self, job: JobUuid) -> OwnedMutexGuard<()> {
        self.locks.lock(job).await
    }

    /// Whoever holds this is alone in removing or recovering a deleted image.
    async fn lock_image(&self, image: ImageUuid) -> OwnedMutexGuard<()> {
        self.image_locks.lock(image).await
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}
