//! The use cases put together as `serve` does, on a clock that stands still, with the power to end the process without warning.

use std::{sync::Arc, time::Duration};

use longshore::{
    config::InspectPolicy,
    db::Database,
    domain::{
        account::{Account, Caller, StorageRecord},
        add_image::AddImageRequest,
        clock::{Clock, ManualClock},
        ids::{AccountUuid, ApiId, ImageUuid, JobUuid, NodeUuid, StorageUuid, UploadUuid},
        image::{ImageRecord, ImageStatus},
        job::{JobResult, LongJob},
        job_state::JobState,
        upload::{Completion, ExpectedDigests, UploadRecord},
    },
    jobs::{JobLimits, JobParts, JobView, Jobs, NewJob, Scheduler},
    uploads::{
        DigestChoice, Inspection, Slice, Storage, StoreError, UploadError, UploadLimits, Uploads,
        Written,
    },
};
use longshore_storage::{
    Durability, ImageKey, Limits, StoreRecovery, UploadKey,
    conformance::quick_limits,
    inspect::Rules,
    local::{LocalStore, OsDisk},
    memory::MemoryStore,
};
use md5::Md5;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    bodies::{self, Body},
    rigged::{Rig, Rigged},
};
use crate::support::databases::TestDb;

/// Where bytes and records are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backing {
    Memory,
    Local,
    LocalOnPostgres,
}

/// When every world begins.
pub(crate) const BEGIN_MS: i64 = 1_795_222_923_456;
/// Longest wait for something that has to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Short waits, so that rules about time are seen; the clock only moves when told.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) jobs: JobLimits,
    pub(crate) uploads: UploadLimits,
    pub(crate) digests: DigestChoice,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            jobs: JobLimits::default(),
            uploads: UploadLimits {
                upload_bytes_max: 1 << 40,
                finish_wait: Duration::from_secs(10),
                flush_after: Duration::from_millis(20),
                lease: Duration::from_mins(1),
                free_bytes_min_percent: 0,
                requests_per_account_max: 1000,
                requests_per_address_max: 1000,
                unsettled_kept: Duration::ZERO,
                // Their bytes are any: what is asked of them has tests of its own.
                inspection: Inspection { policy: InspectPolicy::Off, rules: Rules::default() },
            },
            digests: DigestChoice::BOTH,
        }
    }
}

enum Bytes {
    Memory(MemoryStore),
    Local(tempfile::TempDir),
}

/// One process after another on the same records and bytes.
pub(crate) struct World {
    pub(crate) db: Arc<dyn Database>,
    pub(crate) test_db: TestDb,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) rig: Arc<Rig>,
    pub(crate) caller: Caller,
    /// Of the next process.
    pub(crate) settings: Settings,
    pub(crate) node: NodeUuid,
    bytes: Bytes,
    process: Option<Process>,
}

struct Process {
    jobs: Arc<Jobs>,
    uploads: Arc<Uploads>,
    store: Arc<Rigged>,
    storage: StorageRecord,
    draining: CancellationToken,
    runtime: Runtime,
}

impl World {
    pub(crate) async fn new(backing: Backing) -> Self {
        Self::with(backing, &Settings::default()).await
    }

    pub(crate) async fn with(backing: Backing, settings: &Settings) -> Self {
        let settings = *settings;
        let test_db = match backing {
            Backing::Memory | Backing::Local => TestDb::sqlite().await,
            Backing::LocalOnPostgres => TestDb::postgres().await,
        };
        let bytes = match backing {
            Backing::Memory => Bytes::Memory(MemoryStore::new(limits())),
            Backing::Local | Backing::LocalOnPostgres => Bytes::Local(tempfile::tempdir().unwrap()),
        };
        let db = Arc::clone(&test_db.db);
        let account = Account {
            uuid: AccountUuid::random(),
            name: "ada".to_owned(),
            password_hash: "-".to_owned(),
            admin: false,
            enabled: true,
            description: None,
            created_ms: BEGIN_MS,
            last_op_ms: BEGIN_MS,
        };
        let caller = Caller { account: account.uuid, admin: false };
        assert!(db.create_account(account).await.unwrap());
        let mut world = Self {
            db,
            test_db,
            clock: Arc::new(ManualClock::at(BEGIN_MS)),
            rig: Arc::default(),
            caller,
            settings,
            node: NodeUuid::random(),
            bytes,
            process: None,
        };
        world.boot().await;
        world.recover_all().await;
        world
    }

    /// Starts a process: states are recovered, bytes not yet. Answers what [`Self::recover`] takes.
    pub(crate) async fn boot(&mut self) -> Vec<(LongJob, UploadRecord)> {
        let inner: Arc<dyn Storage> = match &mut self.bytes {
            Bytes::Memory(store) => {
                *store = store.reopen();
                Arc::new(store.clone())
            }
            Bytes::Local(dir) => open_local(dir.path()).await,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let store = Arc::new(Rigged { inner, rig: Arc::clone(&self.rig) });
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.clock);
        let draining = CancellationToken::new();
        let storage = StorageRecord {
            uuid: StorageUuid(store.store_uuid()),
            name: "local".to_owned(),
            created_ms: BEGIN_MS,
        };
        let storage = self.db.bind_storage(storage).await.unwrap();
        let uploads = Arc::new(Uploads::new(
            Arc::clone(&self.db),
            Arc::<Rigged>::clone(&store),
            Arc::clone(&clock),
            self.settings.uploads,
            self.node,
            draining.clone(),
        ));
        let jobs = Jobs::new(JobParts {
            db: Arc::clone(&self.db),
            uploads: Arc::clone(&uploads),
            clock,
            limits: self.settings.jobs,
            digests: self.settings.digests,
            node: self.node,
            storage: storage.clone(),
            tasks: TaskTracker::new(),
            runtime: runtime.handle().clone(),
            stopping: draining.clone(),
        });
        let recovered = jobs.recover_states().await.unwrap();
        self.process = Some(Process { jobs, uploads, store, storage, draining, runtime });
        recovered
    }

    /// Recovers bytes and strays, as `serve` does in the background.
    pub(crate) async fn recover(&self, recovered: Vec<(LongJob, UploadRecord)>) {
        self.jobs().recover_bytes(recovered).await;
    }

    async fn recover_all(&mut self) {
        self.recover(Vec::new()).await;
    }

    /// Ends the process without warning: whatever it was doing stops where it stands.
    pub(crate) async fn kill(&mut self) {
        let Process { jobs, uploads, store, runtime, .. } =
            self.process.take().expect("a process runs");
        let stopped = tokio::task::spawn_blocking(move || {
            runtime.shutdown_timeout(PATIENCE);
        });
        stopped.await.unwrap();
        drop((jobs, uploads, store));
        if self.test_db.file().is_none() {
            // Connections to PostgreSQL that the process opened have ended with its runtime.
            let options = longshore::db::DbOptions::default();
            self.db = longshore::db::open(&self.test_db.url, &options).await.unwrap();
        }
        self.rig.release_all();
    }

    /// [`Self::kill`], and a new process that has recovered everything.
    pub(crate) async fn crash(&mut self) {
        self.kill().await;
        let recovered = self.boot().await;
        self.recover(recovered).await;
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("a process runs")
    }

    pub(crate) fn jobs(&self) -> Arc<Jobs> {
        Arc::clone(&self.process().jobs)
    }

    /// A scheduler of the process: each has its own memory, as those of several processes have.
    pub(crate) fn scheduler(&self) -> Arc<Scheduler> {
        Scheduler::new(self.jobs())
    }

    /// Where a local store is.
    pub(crate) fn root(&self) -> Option<&std::path::Path> {
        match &self.bytes {
            Bytes::Memory(_) => None,
            Bytes::Local(dir) => Some(dir.path()),
        }
    }

    pub(crate) fn uploads(&self) -> Arc<Uploads> {
        Arc::clone(&self.process().uploads)
    }

    /// A second control plane over the same parts: what one of them locks the other does not see.
    pub(crate) fn jobs_with_other_locks(&self) -> Arc<Jobs> {
        let process = self.process();
        Jobs::new(JobParts {
            db: Arc::clone(&self.db),
            uploads: Arc::clone(&process.uploads),
            clock: Arc::<ManualClock>::clone(&self.clock),
            limits: self.settings.jobs,
            digests: self.settings.digests,
            node: self.node,
            storage: process.storage.clone(),
            tasks: TaskTracker::new(),
            runtime: process.runtime.handle().clone(),
            stopping: process.draining.clone(),
        })
    }

    /// The bytes themselves, whatever is rigged.
    pub(crate) fn store(&self) -> Arc<dyn Storage> {
        Arc::clone(&self.process().store.inner)
    }

    pub(crate) fn drain(&self) {
        self.process().draining.cancel();
    }

    /// Runs something in the process: it ends with it.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.process().runtime.spawn(work)
    }

    /// Sends a slice in the background.
    pub(crate) fn sending(
        &self,
        upload: UploadUuid,
        slice: Slice,
        body: Body,
    ) -> tokio::task::JoinHandle<Result<Written, UploadError>> {
        let uploads = self.uploads();
        self.spawn(async move { uploads.write(upload, slice, body).await })
    }

    /// Sends `bytes` at `offset` and waits for the answer.
    pub(crate) async fn send(
        &self,
        job: &JobView,
        offset: usize,
        bytes: &[u8],
    ) -> Result<Written, UploadError> {
        let slice = at(offset, Some(bytes.len()));
        let sent = self.sending(upload_of(job), slice, bodies::whole(bytes));
        let answered = tokio::time::timeout(PATIENCE, sent);
        answered.await.expect("a slice was never answered").unwrap()
    }

    pub(crate) async fn submit(&self, length: Option<usize>) -> JobView {
        self.jobs().submit(self.caller, new_job(length)).await.unwrap()
    }

    pub(crate) async fn job(&self, job: &JobView) -> LongJob {
        self.jobs().job(self.caller, job.job.uuid).await.unwrap().job
    }

    pub(crate) async fn state(&self, job: &JobView) -> JobState {
        self.job(job).await.state
    }

    /// Waits until the job is in a state.
    pub(crate) async fn until(&self, job: &JobView, state: JobState) -> LongJob {
        let begun = std::time::Instant::now();
        loop {
            let now = self.job(job).await;
            if now.state == state {
                return now;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "waited for {state}, it is {} / {:?} / {:?}",
                now.state,
                now.stage,
                now.result
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn image(&self, job: &JobView) -> Option<ImageRecord> {
        self.jobs().job(self.caller, job.job.uuid).await.unwrap().image
    }

    pub(crate) async fn offset(&self, job: &JobView) -> u64 {
        self.uploads().status(upload_of(job)).await.unwrap().offset
    }

    /// Lets time pass, and housekeeping look after it.
    pub(crate) async fn pass(&self, time: Duration) {
        self.clock.advance_ms(i64::try_from(time.as_millis()).unwrap());
        let now_ms = self.clock.now_ms();
        self.uploads().write_down().await.unwrap();
        self.jobs().suspend_silent(now_ms).await.unwrap();
        self.jobs().expire(now_ms).await.unwrap();
    }

    /// What an ended job without an image leaves behind: nothing.
    pub(crate) async fn assert_nothing_left(&self, job: &JobView) {
        let store = self.store();
        let key = UploadKey(upload_of(job).0);
        assert!(
            matches!(store.state(key).await, Err(StoreError::NotFound { .. })),
            "bytes are left in the store"
        );
        let image = ImageKey(job.job.image.0);
        assert!(store.image_length(image).await.is_err(), "an image is left in the store");
        assert!(
            self.db
                .image(job.job.image, longshore::domain::account::Scope::All)
                .await
                .unwrap()
                .is_none(),
            "a record of the image is left"
        );
        assert!(self.uploads().touched(upload_of(job)).is_none(), "it is left in memory");
        assert!(!store.uploads().await.unwrap().contains(&key), "a staging entry is left");
    }

    /// The job Succeeded and its image is exactly `content`.
    pub(crate) async fn assert_ready(&self, job: &JobView, content: &[u8]) {
        let now = self.job(job).await;
        assert_eq!(now.state, JobState::Succeeded, "{:?}", now.result);
        assert_eq!(now.result, Some(JobResult::Event));
        let image = self.image(job).await.expect("a Succeeded job has an image");
        assert_eq!(image.status, ImageStatus::Ready);
        assert_eq!(image.actual_size, content.len() as u64);
        assert_eq!(image.md5.as_deref(), Some(&*hex(&Md5::digest(content))));
        assert_eq!(image.sha256.as_deref(), Some(&*hex(&Sha256::digest(content))));
        let store = self.store();
        let end = content.len() as u64;
        let stored = store.read_image(ImageKey(image.uuid.0), 0..end).await.unwrap();
        assert!(stored == content, "the image has other bytes");
        assert!(!store.uploads().await.unwrap().contains(&UploadKey(upload_of(job).0)));
        // The record says Succeeded a moment before memory forgets.
        let begun = std::time::Instant::now();
        while self.uploads().touched(upload_of(job)).is_some() {
            assert!(begun.elapsed() < PATIENCE, "it is left in memory");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            // A runtime may not be waited for in async code.
            process.runtime.shutdown_background();
        }
    }
}

/// One process per directory: the one before may still be letting go.
async fn open_local(root: &std::path::Path) -> Arc<dyn Storage> {
    let begun = std::time::Instant::now();
    loop {
        let path = root.to_owned();
        let opening =
            move || LocalStore::open(&path, Arc::new(OsDisk), limits(), Durability::ProcessCrash);
        match tokio::task::spawn_blocking(opening).await.unwrap() {
            Ok(store) => return store,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn limits() -> Limits {
    Limits {
        claim_silent: Duration::from_millis(100),
        claim_wait: Duration::from_secs(2),
        writer_evict_silent: Duration::from_millis(200),
        extents_max: 64,
        ..quick_limits()
    }
}

pub(crate) fn at(offset: usize, length: Option<usize>) -> Slice {
    Slice { offset: offset as u64, length: length.map(|n| n as u64), ..Slice::default() }
}

pub(crate) fn upload_of(job: &JobView) -> UploadUuid {
    job.upload.as_ref().expect("the job was just submitted").uuid
}

pub(crate) fn new_job(length: Option<usize>) -> NewJob {
    NewJob {
        uuid: Some(JobUuid::random()),
        name: None,
        description: None,
        image: AddImageRequest {
            name: Some("debian".to_owned()),
            url: Some("upload://debian.img".to_owned()),
            format: Some("qcow2".to_owned()),
            resource_uuid: Some(ImageUuid::random().to_string()),
            ..AddImageRequest::default()
        },
        system_tags: Vec::new(),
        user_tags: Vec::new(),
        api_id: ApiId::random(),
        completion: Completion::ByLength,
        expected: ExpectedDigests::default(),
        length: length.map(|n| n as u64),
        client_metadata: None,
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    longshore::domain::tag::hex(bytes)
}

/// Words of a job that was interrupted or failed.
pub(crate) fn words(job: &LongJob) -> (String, String) {
    match &job.result {
        Some(JobResult::Error { detail, cause, .. }) => (detail.clone(), cause.clone()),
        other => panic!("no words but {other:?}"),
    }
}
