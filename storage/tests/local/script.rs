//! One client's way with one upload, what it was told on the way, and whether the store keeps its word.

use std::{
    fmt::Write as _,
    fs::File,
    io::Write as _,
    ops::Range,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use longshore_storage::{
    Chunk, Claimed, Durability, ImageKey, Limits, Owned, Result, StoreError, UploadKey, UploadSpec,
    conformance::{
        Backend,
        local::{local_leftovers, open_local},
        quick_limits,
        scenario::{content, reference_digests},
    },
    digest::DigestChoice,
    local::{OsDisk, disk::Disk},
};
use tokio::task::JoinSet;
use uuid::Uuid;

pub(crate) const LENGTH: u64 = 120_000;
const SLICE: u64 = 30_000;

/// What a script does after the bytes are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Create, four slices at once, finish, publish.
    Publish,
    /// Create, four slices at once, discard.
    Discard,
    /// Create without a length, slices one after the other that come back to front, the length, finish, publish.
    BackToFront,
    /// Create, four slices copied from another upload, which is then discarded, finish, publish.
    Join,
    /// An image without an upload, settled.
    Whole,
}

impl Way {
    pub(crate) const ALL: [Self; 5] =
        [Self::Publish, Self::Discard, Self::BackToFront, Self::Join, Self::Whole];

    /// Fewest calls that change something, and fewest syncs, that it makes.
    pub(crate) const fn calls_min(self) -> (u64, u64) {
        match self {
            Self::Publish | Self::Discard | Self::BackToFront | Self::Join => (20, 5),
            Self::Whole => (5, 2),
        }
    }
}

/// What the client was told; everything in it must be true for ever.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one answer that a client has or not")]
pub(crate) struct Told {
    pub(crate) created: bool,
    pub(crate) stored: Vec<Range<u64>>,
    pub(crate) offset: u64,
    pub(crate) finished: bool,
    /// Asked for, and told.
    pub(crate) publishing: bool,
    pub(crate) published: bool,
    pub(crate) discarding: bool,
    pub(crate) discarded: bool,
}

impl Told {
    fn line(&self) -> String {
        let flags = [
            self.created,
            self.finished,
            self.publishing,
            self.published,
            self.discarding,
            self.discarded,
        ];
        let mut line = format!("{} ", self.offset);
        line.extend(flags.map(|flag| if flag { 'y' } else { 'n' }));
        for range in &self.stored {
            write!(line, " {}-{}", range.start, range.end).unwrap();
        }
        line + "\n"
    }

    /// What the last whole line of a journal says.
    pub(crate) fn read(journal: &str) -> Self {
        let whole = journal.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let Some(line) = whole.lines().last() else { return Self::default() };
        let mut words = line.split(' ');
        let offset = words.next().unwrap().parse().unwrap();
        let flags: Vec<bool> = words.next().unwrap().chars().map(|flag| flag == 'y').collect();
        let stored = words.map(|range| range.split_once('-').unwrap());
        Self {
            offset,
            created: flags[0],
            finished: flags[1],
            publishing: flags[2],
            published: flags[3],
            discarding: flags[4],
            discarded: flags[5],
            stored: stored.map(|(a, b)| a.parse().unwrap()..b.parse().unwrap()).collect(),
        }
    }
}

/// One upload of one client.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) owned: Owned,
    pub(crate) image: ImageKey,
    pub(crate) content: Arc<Vec<u8>>,
    pub(crate) told: Arc<Mutex<Told>>,
    /// Where the client writes down what it was told, for who comes after a kill.
    pub(crate) journal: Option<Arc<File>>,
}

impl Client {
    pub(crate) fn new(seed: u64) -> Self {
        Self::named(seed, Uuid::new_v4())
    }

    /// A client whose names follow from `uuid`.
    pub(crate) fn named(seed: u64, uuid: Uuid) -> Self {
        let owned = Owned { key: UploadKey(uuid), epoch: 1 };
        let image = ImageKey(Uuid::from_u128(!uuid.as_u128()));
        let content = Arc::new(content(seed, LENGTH));
        Self { owned, image, content, told: Arc::default(), journal: None }
    }

    fn told(&self, note: impl FnOnce(&mut Told)) {
        let mut told = self.told.lock().unwrap();
        note(&mut told);
        if let Some(mut journal) = self.journal.as_deref() {
            journal.write_all(told.line().as_bytes()).unwrap();
        }
    }

    /// Goes the whole way, or as far as the store lets it. May be called again after an error: every step is repeatable.
    pub(crate) async fn run(&self, store: &Arc<dyn Backend>, way: Way) -> Result<()> {
        if way == Way::Whole {
            return self.whole(store).await;
        }
        self.create(store, way).await?;
        if way == Way::Join {
            self.join(store).await?;
        } else if way == Way::BackToFront {
            for start in [90_000, 60_000, 30_000, 0] {
                self.send(store, start..start + SLICE).await?;
            }
            store.declare_length(self.owned, LENGTH).await?;
        } else {
            self.send_all_at_once(store).await?;
        }
        match way {
            Way::Discard => self.discard(store).await,
            Way::Publish | Way::BackToFront | Way::Join | Way::Whole => self.publish(store).await,
        }
    }

    /// Takes all bytes from another upload, which goes when they are here.
    async fn join(&self, store: &Arc<dyn Backend>) -> Result<()> {
        let key = UploadKey(Uuid::from_u128(self.owned.key.0.as_u128() ^ 1));
        let source = Self { owned: Owned { key, epoch: 1 }, journal: None, ..self.clone() };
        let source = Self { told: Arc::default(), ..source };
        let neither = DigestChoice { md5: false, sha256: false };
        let spec = UploadSpec { declared_length: Some(LENGTH), digests: neither };
        // As the service: what is whole needs its parts no more, and one whose removal was cut off half way is removed again.
        if store.state(self.owned.key).await?.offset == LENGTH {
            return store.discard(source.owned).await;
        }
        store.create(source.owned, spec).await?;
        source.send(store, 0..LENGTH).await?;
        for start in (0..LENGTH).step_by(30_000) {
            let range = start..start + SLICE;
            let state = store.copy(self.owned, start, key, range.clone()).await?;
            self.told(|told| {
                told.stored.push(range);
                told.offset = told.offset.max(state.offset);
            });
        }
        store.discard(source.owned).await
    }

    pub(crate) async fn create(&self, store: &Arc<dyn Backend>, way: Way) -> Result<()> {
        let declared_length = (way != Way::BackToFront).then_some(LENGTH);
        let spec = UploadSpec { declared_length, digests: DigestChoice::BOTH };
        store.create(self.owned, spec).await?;
        self.told(|told| told.created = true);
        Ok(())
    }

    pub(crate) async fn send_all_at_once(&self, store: &Arc<dyn Backend>) -> Result<()> {
        let mut slices = JoinSet::new();
        for start in (0..LENGTH).step_by(30_000) {
            let (client, store) = (self.clone(), Arc::clone(store));
            slices.spawn(async move { client.send(&store, start..start + SLICE).await });
        }
        let mut worst = Ok(());
        while let Some(answer) = slices.join_next().await {
            worst = worst.and(answer.expect("no panic"));
        }
        worst
    }

    pub(crate) async fn send(&self, store: &Arc<dyn Backend>, range: Range<u64>) -> Result<()> {
        let (offset, length) = (range.start, Some(range.end - range.start));
        let chunk = Chunk { offset, length, checksum: None };
        let state = match store.write(self.owned, chunk).await? {
            Claimed::AlreadyStored(state) => state,
            Claimed::Writer(mut writer) => {
                for block in self.bytes(&range).chunks(7_000) {
                    writer.append(block).await?;
                }
                writer.acknowledge().await?.state
            }
        };
        self.told(|told| {
            told.stored.push(range);
            told.offset = told.offset.max(state.offset);
        });
        Ok(())
    }

    pub(crate) async fn publish(&self, store: &Arc<dyn Backend>) -> Result<()> {
        if !self.told.lock().unwrap().finished {
            let finished = store.finish(self.owned, Arc::new(|_| {})).await?;
            let expected = reference_digests(&self.content, DigestChoice::BOTH);
            assert_eq!((finished.length, finished.digests), (LENGTH, expected), "wrong digests");
            self.told(|told| told.finished = true);
        }
        self.told(|told| told.publishing = true);
        store.publish(self.owned, self.image).await?;
        self.told(|told| told.published = true);
        Ok(())
    }

    /// Puts the image whole, unless that was told before, and settles it.
    async fn whole(&self, store: &Arc<dyn Backend>) -> Result<()> {
        let bytes = bytes::Bytes::from(self.content.to_vec());
        if !self.told.lock().unwrap().published {
            let digests = store.digest(bytes.clone(), DigestChoice::BOTH, None).await?;
            assert_eq!(digests, reference_digests(&self.content, DigestChoice::BOTH));
            self.told(|told| told.publishing = true);
            store.put_whole(self.image, bytes).await?;
            self.told(|told| told.published = true);
        }
        store.settle(self.image).await
    }

    async fn discard(&self, store: &Arc<dyn Backend>) -> Result<()> {
        self.told(|told| told.discarding = true);
        store.discard(self.owned).await?;
        self.told(|told| told.discarded = true);
        Ok(())
    }

    fn bytes(&self, range: &Range<u64>) -> &[u8] {
        let at = |position| usize::try_from(position).unwrap();
        &self.content[at(range.start)..at(range.end)]
    }

    /// Compares what the store has with what the client was told. The error says which promise is broken.
    pub(crate) async fn check(&self, store: &dyn Backend) -> std::result::Result<(), String> {
        let told = self.told.lock().unwrap().clone();
        let settled = store.images().await.unwrap().contains(&self.image);
        // One that nobody was told of is none: the records decide.
        let unsettled = store.unsettled(Duration::ZERO).await.unwrap().contains(&self.image);
        let has_image = settled || unsettled && told.published;
        if has_image {
            self.check_image(store).await?;
        }
        let (begun, discarding) = (told.created, told.discarding);
        if told.published && !has_image {
            return Err("the published image is gone".to_owned());
        }
        if has_image && !told.publishing {
            return Err("an image appeared that nobody published".to_owned());
        }
        let state = match store.state(self.owned.key).await {
            Ok(_) if told.discarded => return Err("the discarded upload is back".to_owned()),
            Ok(state) => state,
            Err(StoreError::NotFound { .. }) => {
                let may_be_gone = !begun || has_image || discarding;
                return if may_be_gone { Ok(()) } else { Err("the upload is gone".to_owned()) };
            }
            // Of two removals only the second may survive: who discards again ends that too.
            Err(StoreError::Damaged { .. }) if discarding && !told.discarded => return Ok(()),
            Err(error) => return Err(format!("the state cannot be read: {error}")),
        };
        if discarding || has_image {
            return Ok(()); // half gone: only what comes next matters
        }
        if state.offset < told.offset {
            return Err(format!("{} was acknowledged, {} is there", told.offset, state.offset));
        }
        for range in told.stored {
            let kept = state.extents.iter().any(|e| e.start <= range.start && range.end <= e.end);
            if !kept {
                return Err(format!("{range:?} was acknowledged: {state:?}"));
            }
        }
        let bytes = store.read_upload(self.owned.key, 0..state.offset).await;
        let bytes = bytes.map_err(|error| format!("stored bytes cannot be read: {error}"))?;
        if bytes != self.bytes(&(0..state.offset)) {
            return Err(format!("bytes below the offset {} differ", state.offset));
        }
        Ok(())
    }

    async fn check_image(&self, store: &dyn Backend) -> std::result::Result<(), String> {
        let length = store.image_length(self.image).await.map_err(|error| error.to_string())?;
        let bytes = store.read_image(self.image, 0..length).await.map_err(|e| e.to_string())?;
        if bytes[..] == self.content[..] { Ok(()) } else { Err("the image differs".to_owned()) }
    }

    /// Goes the way to its end on a healthy store; nothing may be left but what belongs there, and in the end nothing.
    pub(crate) async fn complete(&self, store: Arc<dyn Backend>, root: &Path, way: Way) {
        let (published, discarding) = {
            let told = self.told.lock().unwrap();
            (told.published, told.discarding)
        };
        let image = store.images().await.unwrap().contains(&self.image);
        if way == Way::Whole {
            if !published {
                // What a crash left of it, as the records would have it.
                store.set_image_aside(self.image).await.unwrap();
                store.purge_set_aside(Duration::ZERO).await.unwrap();
            }
            self.run(&store, way).await.unwrap_or_else(|error| panic!("not completed: {error}"));
        } else if discarding {
            store.discard(self.owned).await.unwrap();
        } else if published || image {
            store.publish(self.owned, self.image).await.unwrap();
        } else {
            self.run(&store, way).await.unwrap_or_else(|error| panic!("not completed: {error}"));
        }
        self.check(&*store).await.unwrap();
        store.delete_image(self.image).await.unwrap();
        for key in store.uploads().await.unwrap() {
            store.discard(Owned { key, epoch: u64::MAX }).await.unwrap();
        }
        assert!(!store.unsettled(Duration::ZERO).await.unwrap().contains(&self.image));
        assert_eq!(local_leftovers(root, &*store).await, [""; 0], "something was left behind");
    }
}

/// Limits for scripts: whoever waits, waits short.
pub(crate) fn limits() -> Limits {
    Limits {
        claim_silent: Duration::from_millis(100),
        claim_wait: Duration::from_secs(5),
        io_threads: 2,
        hash_threads: 1,
        ..quick_limits()
    }
}

/// Opens the store in `root` on `disk`.
pub(crate) async fn open(root: &Path, disk: Arc<dyn Disk>) -> Arc<dyn Backend> {
    open_local(root, disk, limits(), Durability::PowerLoss).await.expect("the store can be opened")
}

/// Opens the store in `root` on the file system as it is.
pub(crate) async fn open_plain(root: &Path) -> Arc<dyn Backend> {
    open(root, Arc::new(OsDisk)).await
}
