//! The data plane: admit, write, suspend, resume, finish and expire uploads. Every dialect is a thin adapter over the
//! verbs of [`Uploads`]; a rule about bytes, offsets or rights stands here or deeper.

mod admission;
mod append;
mod checking;
mod course;
mod create;
mod error;
mod explain;
mod finish;
mod health;
mod inspection;
mod joining;
mod live;
mod partial;
mod partly;
mod place;
mod read;
mod reading;
mod samples;
mod signals;
mod space;
mod whole;
mod write;

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, AtomicU64},
    },
    time::Duration,
};

use longshore_storage::{ImageStore, StoreRecovery, UploadStore, WholeImages};
use tokio_util::sync::CancellationToken;

pub use admission::{Admission, Party};
pub use append::Append;
pub use checking::{AtWork, ImageFound, Look, Pace, StoreFound};
pub use error::{BodyError, UploadError};
pub use health::Check;
pub use inspection::{Inspection, Probed, Refusal};
pub(crate) use joining::Parts;
pub use joining::{PARTS_MAX, PartFault, check_part_count};
pub use live::{Live, percent};
pub use longshore_storage::{
    Finished, ImageKey, StoreError, UploadKey,
    digest::{ChunkChecksum, DigestChoice},
};
pub use partial::PartialStatus;
pub use partly::PartlyRead;
pub use place::Takeover;
pub use reading::ReadyImage;
pub use samples::{SAMPLE_BYTES, SAMPLES, Sample};
pub use signals::{JobSignals, Verdict};
pub use space::SpaceLedger;
pub(crate) use whole::Held;
pub use whole::Replay;

use self::admission::Admissions;
use crate::{
    db::{Database, Leased},
    domain::{
        clock::Clock,
        ids::{AccountUuid, ImageUuid, NodeUuid, UploadUuid},
        image::ImageRecord,
        job::LongJob,
        upload::{UploadFate, UploadKind, UploadRecord},
    },
};

/// A store as the use cases hold it.
pub trait Storage: UploadStore + StoreRecovery + ImageStore + WholeImages {}

impl<T: UploadStore + StoreRecovery + ImageStore + WholeImages> Storage for T {}

/// One request body and what its headers say of it.
#[derive(Debug, Clone, Default)]
pub struct Slice {
    /// Position of its first byte.
    pub offset: u64,
    /// Bytes that it announced; `None` reads to the end of the body.
    pub length: Option<u64>,
    /// Length of the whole, where the request names it. The first one stands.
    pub total: Option<u64>,
    /// Checksum of the body.
    pub checksum: Option<ChunkChecksum>,
    /// The end of the body is the end of the upload: whatever its length turns out to be, the upload has all its bytes then.
    pub is_whole: bool,
}

/// What a request with bytes has led to.
#[derive(Debug, Clone)]
pub struct Written {
    /// The upload after it; durable.
    pub status: UploadStatus,
    /// Whether all its bytes had been stored before.
    pub duplicate: bool,
    /// How the upload ended, if it did within `finish_wait_ms`.
    pub verdict: Option<Verdict>,
}

/// Everything that anybody may ask about an upload. Offsets are the store's, not the cached ones.
#[derive(Debug, Clone)]
pub struct UploadStatus {
    /// The upload's record.
    pub record: UploadRecord,
    /// Its job.
    pub job: LongJob,
    /// Its image, if there is one (a failed upload leaves none).
    pub image: Option<ImageRecord>,
    /// Length of the whole, once declared.
    pub length: Option<u64>,
    /// Whether it takes no more bytes: it has all of them, and its client has said so where that is not the same.
    pub complete: bool,
    /// First missing byte.
    pub offset: u64,
    /// Bytes stored in whatever order.
    pub stored_bytes: u64,
    /// Ranges that are missing below the declared length (or below the last stored byte), first 1,000.
    pub missing: Vec<Range<u64>>,
}

/// Bounds and waits of the data plane.
#[derive(Debug, Clone, Copy)]
pub struct UploadLimits {
    /// Bytes that one upload may have.
    pub upload_bytes_max: u64,
    /// How long the request that sent the last byte waits for the verdict.
    pub finish_wait: Duration,
    /// A block that is not full is handed over when the body has been quiet for this long.
    pub flush_after: Duration,
    /// How long an upload belongs to this process without being renewed.
    pub lease: Duration,
    /// Part of the storage that stays free.
    pub free_bytes_min_percent: u64,
    /// Requests with bytes, either way, that one account may have at work.
    pub requests_per_account_max: u32,
    /// Requests that one address may have at work while they name no account.
    pub requests_per_address_max: u32,
    /// An image that was put in one piece and has no record is left alone so long: the record may be on its way.
    pub unsettled_kept: Duration,
    /// What is asked of the content.
    pub inspection: Inspection,
}

/// The data plane.
pub struct Uploads {
    db: Arc<dyn Database>,
    store: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    limits: UploadLimits,
    node: NodeUuid,
    /// When it ends, running requests end with their bytes kept and no new ones are taken.
    draining: CancellationToken,
    /// Weak: `jobs` holds this service, so a strong reference would keep both alive for ever.
    signals: OnceLock<Weak<dyn JobSignals>>,
    live: RwLock<HashMap<UploadUuid, Arc<Live>>>,
    /// In the store, but not in the records yet: no strays.
    creating: Mutex<HashSet<UploadUuid>>,
    /// The same for images that are made without an upload.
    making: Mutex<HashSet<ImageUuid>>,
    /// Partial uploads that have ended and whose bytes are still there, because removing them failed.
    unremoved: Mutex<HashMap<UploadUuid, UploadRecord>>,
    /// Whether everything that processes before this one left of ended uploads was found and removed, or is in `unremoved`.
    has_cleared_strays: AtomicBool,
    /// Places in memory for bodies of such images.
    held: Arc<tokio::sync::Semaphore>,
    space: SpaceLedger,
    /// One at a time writes down what was learnt.
    writing_down: tokio::sync::Mutex<()>,
    readings: reading::Readings,
    sampling: samples::Sampling,
    admissions: Arc<Admissions>,
    received_bytes: AtomicU64,
}

impl Uploads {
    /// Over these records and this store.
    pub fn new(
        db: Arc<dyn Database>,
        store: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
        limits: UploadLimits,
        node: NodeUuid,
        draining: CancellationToken,
    ) -> Self {
        let (account_max, address_max) =
            (limits.requests_per_account_max, limits.requests_per_address_max);
        Self {
            db,
            store,
            clock,
            limits,
            node,
            draining,
            signals: OnceLock::new(),
            live: RwLock::default(),
            creating: Mutex::default(),
            making: Mutex::default(),
            unremoved: Mutex::default(),
            has_cleared_strays: AtomicBool::new(false),
            held: Arc::new(whole::places()),
            space: SpaceLedger::default(),
            writing_down: tokio::sync::Mutex::default(),
            readings: reading::Readings::default(),
            sampling: samples::Sampling::default(),
            admissions: Arc::new(Admissions::new(account_max, address_max)),
            received_bytes: AtomicU64::new(0),
        }
    }

    /// Says who is told of bytes. Once, before the first request.
    pub fn connect(&self, signals: Weak<dyn JobSignals>) {
        // A second call would be a defect of the wiring; the first connection stands.
        let _ = self.signals.set(signals);
    }

    /// The bounds that it works with.
    pub const fn limits(&self) -> &UploadLimits {
        &self.limits
    }

    /// Uploads in memory: all that were touched and have not ended.
    pub fn all_live(&self) -> Vec<Arc<Live>> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The upload in memory, if it was touched and has not ended.
    pub fn touched(&self, upload: UploadUuid) -> Option<Arc<Live>> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).get(&upload).cloned()
    }

    /// The open upload, taken into memory and leased to this process if it was not. `Gone` if it has ended without an image,
    /// [`Found::Published`] if its image is there.
    pub(crate) async fn open(&self, upload: UploadUuid) -> Result<Found, UploadError> {
        if let Some(live) = self.touched(upload) {
            return Ok(Found::Open(live));
        }
        let record = self.record(upload).await?;
        match record.fate {
            UploadFate::Open => {}
            UploadFate::Published => return Ok(Found::Published(Box::new(record))),
            fate @ (UploadFate::Discarded | UploadFate::Expired) => {
                return Err(UploadError::Gone { fate });
            }
        }
        let now_ms = self.clock.now_ms();
        let until_ms = now_ms + millis(self.limits.lease);
        match self.db.lease_upload(upload, self.node, now_ms, until_ms).await? {
            Leased::Ours { epoch } => {
                // Of a partial upload there is no job that would have to be asked.
                let gate_open = record.kind == UploadKind::Partial;
                let live = self.remember(Live::new(record, epoch, gate_open, now_ms));
                self.still_open(&live).await?;
                self.learn_length(&live).await?;
                Ok(Found::Open(live))
            }
            Leased::Held => Err(UploadError::Store(longshore_storage::StoreError::Busy {
                key: live::key(upload),
                retry_after_ms: 1000,
            })),
            Leased::Missing => Err(UploadError::NotFound),
        }
    }

    /// Drops an upload from memory again that ended between the look at its record and now: nobody else would.
    async fn still_open(&self, live: &Live) -> Result<(), UploadError> {
        let upload = live.record().uuid;
        let now = self.db.upload(upload).await;
        let fate = now.map(|record| record.map(|record| record.fate));
        if matches!(fate, Ok(Some(UploadFate::Open))) {
            return Ok(());
        }
        self.forget(upload);
        match fate? {
            Some(UploadFate::Open) => Ok(()),
            // Asked again, it is answered from its record.
            Some(UploadFate::Published) => Err(UploadError::Store(StoreError::Busy {
                key: live.owned.key,
                retry_after_ms: 100,
            })),
            Some(fate @ (UploadFate::Discarded | UploadFate::Expired)) => {
                Err(UploadError::Gone { fate })
            }
            None => Err(UploadError::NotFound),
        }
    }

    fn making(&self) -> MutexGuard<'_, HashSet<ImageUuid>> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn creating(&self) -> MutexGuard<'_, HashSet<UploadUuid>> {
        self.creating.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an upload into memory unless somebody did so meanwhile: there is one `Live` for an upload at any time.
    fn remember(&self, live: Live) -> Arc<Live> {
        let upload = UploadUuid(live.owned.key.0);
        let mut all = self.live.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(upload).or_insert_with(|| Arc::new(live)))
    }

    /// Drops an upload from memory, and its promise of space: it has ended.
    pub fn forget(&self, upload: UploadUuid) {
        self.live.write().unwrap_or_else(PoisonError::into_inner).remove(&upload);
        self.space.release(upload);
    }

    fn signals(&self) -> Result<Arc<dyn JobSignals>, UploadError> {
        // Only while the process is being taken down is there nobody to tell.
        let signals = self.signals.get().and_then(Weak::upgrade);
        signals.ok_or(UploadError::Draining { offset: 0 })
    }
}

/// An upload that has not come to nothing.
pub(crate) enum Found {
    /// It is open, and ours.
    Open(Arc<Live>),
    /// Its image is there.
    Published(Box<UploadRecord>),
}

impl Found {
    /// Whose it is.
    fn account(&self) -> AccountUuid {
        match self {
            Self::Open(live) => live.record().account,
            Self::Published(record) => record.account,
        }
    }

    /// Where its bytes come from.
    fn kind(&self) -> UploadKind {
        match self {
            Self::Open(live) => live.record().kind,
            Self::Published(record) => record.kind,
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}
