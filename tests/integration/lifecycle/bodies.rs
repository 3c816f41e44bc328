//! Request bodies, and contents to send.

use std::pin::Pin;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use longshore::uploads::BodyError;
use tokio::sync::mpsc;

pub(crate) type Body = Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>;

/// Bytes that tell every position apart: xorshift of the seed.
pub(crate) fn content(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(step).collect()
}

/// All of it, in pieces of at most 4 KiB.
pub(crate) fn whole(bytes: &[u8]) -> Body {
    Box::pin(stream::iter(pieces(bytes)))
}

/// Comes so far and then breaks.
pub(crate) fn broken_after(bytes: &[u8]) -> Body {
    Box::pin(stream::iter(pieces(bytes)).chain(stream::iter([Err(BodyError::Broken)])))
}

/// Comes so far and then is silent for ever.
pub(crate) fn pending_after(bytes: &[u8]) -> Body {
    Box::pin(stream::iter(pieces(bytes)).chain(stream::pending()))
}

/// Comes as it is fed; ends when the sender is dropped.
pub(crate) fn fed() -> (mpsc::UnboundedSender<Vec<u8>>, Body) {
    let (sender, receiver) = mpsc::unbounded_channel::<Vec<u8>>();
    let body = stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|bytes| (Ok(Bytes::from(bytes)), receiver))
    });
    (sender, Box::pin(body))
}

fn pieces(bytes: &[u8]) -> Vec<Result<Bytes, BodyError>> {
    bytes.chunks(4096).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect()
}
