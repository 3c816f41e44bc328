//! The hash workers: each hashes what it has of several uploads side by side, step by step.

use std::{ops::Range, sync::Arc};

use super::{
    hash_queue::{HashQueue, Stream},
    lane::{Block, Lane},
    upload::Upload,
};
use crate::digest::{ChunkHasher, DigestState, Engine};

/// The bytes of one stream in one step at most: sixteen of them fit into the second-level cache of a core.
const STEP_BYTES_MAX: usize = 64 << 10;
/// The least: streams that have even less are hashed beside the others for as long as they last.
const STEP_BYTES_MIN: usize = 4 << 10;

/// What an upload asks of the hash workers.
pub(super) enum HashItem {
    /// Bytes that were written. `parts` are those that count, or that will if the checksum of the chunk matches.
    Block { lane: Arc<Lane>, block: Block, parts: Vec<Range<u64>> },
    /// All blocks of a checked chunk have come.
    Settle { lane: Arc<Lane>, verify: bool },
    /// The digests are behind what counts, and nobody brings the bytes.
    CatchUp,
}

/// Where the bytes of a task are.
pub(super) enum Source {
    /// A block of a writer, which gets it back.
    Written { lane: Arc<Lane>, block: Block, parts: Vec<Range<u64>> },
    /// Read back.
    Read(Vec<u8>),
}

/// Digests of the prefix on their way over bytes of a task. They are a copy: until the task is finished, everybody else sees
/// the state before it.
pub(super) struct Span {
    pub(super) state: DigestState,
    /// Where the bytes are that it has not taken yet.
    rest: Range<usize>,
    pub(super) length: usize,
}

impl Span {
    /// Over these bytes of the task.
    pub(super) fn new(state: DigestState, bytes: Range<usize>) -> Self {
        Self { state, length: bytes.len(), rest: bytes }
    }
}

/// One item on its way through a worker.
pub(super) struct Task {
    pub(super) upload: Arc<Upload>,
    pub(super) source: Source,
    pub(super) prefix: Option<Span>,
    /// The checksum of the chunk, and how many of its bytes it has taken.
    checksum: Option<(ChunkHasher, usize)>,
}

impl Task {
    pub(super) fn new(upload: Arc<Upload>, source: Source, prefix: Option<Span>) -> Self {
        let checksum = match &source {
            Source::Written { lane, block, .. } => lane.take_hasher().map(|mut hasher| {
                // What is not hashed side by side with others is done at once.
                let taken = if hasher.digests().is_some() {
                    0
                } else {
                    hasher.update(block.bytes());
                    block.bytes().len()
                };
                (hasher, taken)
            }),
            Source::Read(_) => None,
        };
        Self { upload, source, prefix, checksum }
    }

    /// Bytes that each digest has yet to take: those of the prefix, and the checksum.
    fn rest(&self) -> [usize; 2] {
        [
            self.prefix.as_ref().map_or(0, |span| span.rest.len()),
            self.checksum.as_ref().map_or(0, |(_, taken)| self.source.bytes().len() - taken),
        ]
    }

    fn is_done(&self) -> bool {
        self.rest() == [0, 0]
    }

    /// Adds what its digests take next.
    fn show<'a>(&'a mut self, bytes_max: usize, to: &mut Vec<(&'a mut DigestState, &'a [u8])>) {
        let bytes = self.source.bytes();
        if let Some(span) = &mut self.prefix {
            let end = span.rest.end.min(span.rest.start + bytes_max);
            to.push((&mut span.state, &bytes[span.rest.start..end]));
            span.rest.start = end;
        }
        if let Some((hasher, taken)) = &mut self.checksum
            && let Some(state) = hasher.digests()
        {
            let end = bytes.len().min(*taken + bytes_max);
            to.push((state, &bytes[*taken..end]));
            *taken = end;
        }
    }

    fn finish(self) {
        if let (Source::Written { lane, .. }, Some((hasher, _))) = (&self.source, self.checksum) {
            lane.put_hasher(hasher);
        }
        self.upload.hashed_task(self.source, self.prefix);
    }
}

impl Source {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Written { block, .. } => block.bytes(),
            Self::Read(bytes) => bytes,
        }
    }
}

impl Stream for Upload {
    type Item = HashItem;
    fn pending(&self) -> &std::sync::Mutex<super::hash_queue::Pending<HashItem>> {
        &self.pending_hashes
    }
}

/// The life of a hash worker.
pub(super) fn work(queue: &HashQueue<Upload>, engine: Engine) {
    let (mut tasks, mut taken) = (Vec::new(), Vec::new());
    while queue.take(tasks.len(), &mut taken) {
        for upload in taken.drain(..) {
            let task = HashQueue::next(&*upload).and_then(|item| begin(&upload, item));
            match task {
                Some(task) if !task.is_done() => tasks.push(task),
                Some(task) => {
                    task.finish();
                    queue.done(&upload);
                }
                None => queue.done(&upload),
            }
        }
        step(engine, &mut tasks);
        for task in tasks.extract_if(.., |task| task.is_done()) {
            let upload = Arc::clone(&task.upload);
            task.finish();
            queue.done(&upload);
        }
    }
}

/// `None` when there is nothing to hash.
fn begin(upload: &Arc<Upload>, item: HashItem) -> Option<Task> {
    match item {
        HashItem::Block { lane, block, parts } => Some(upload.begin_block(lane, block, parts)),
        HashItem::Settle { lane, verify } => {
            upload.settle(&lane, verify);
            None
        }
        HashItem::CatchUp => upload.begin_catch_up(),
    }
}

/// All tasks go on by as much as the shortest has left, so that whoever is through makes room soon.
fn step(engine: Engine, tasks: &mut [Task]) {
    let rests = tasks.iter().flat_map(Task::rest).filter(|rest| *rest > 0);
    let Some(shortest) = rests.min() else { return };
    let bytes_max = shortest.clamp(STEP_BYTES_MIN, STEP_BYTES_MAX);
    let mut streams = Vec::with_capacity(2 * tasks.len());
    for task in tasks {
        task.show(bytes_max, &mut streams);
    }
    engine.update(&mut streams);
}
