//! A disk that fails, is full, is read-only, or is gone: nothing that was acknowledged is lost, the answers say what is wrong in
//! words, and when the disk is well again the upload goes on.

mod bad_sectors;
mod full;
mod gone;

use std::sync::Arc;

use crate::shared::{
    client::{Session, State},
    random::Random,
    ranges::lost,
    server::Server,
};

/// Ends within a block, so that slices share theirs.
const SLICE: u64 = (1 << 20) + 1_234;
/// One upload in trouble, sent slice by slice.
struct Patient {
    image: Arc<Vec<u8>>,
    path: String,
    /// Acknowledged so far: slices from the first byte on.
    end: u64,
}

impl Patient {
    /// Creates the upload.
    async fn new(session: &Session, name: &str, length: u64) -> Self {
        let image = Arc::new(Random(length).bytes(length as usize));
        let path = session.submit(name, Some(length)).await;
        Self { image, path, end: 0 }
    }

    fn length(&self) -> u64 {
        self.image.len() as u64
    }

    /// Sends the next slice; the status and the words of the answer.
    async fn send(&mut self, session: &Session) -> (u16, String) {
        let end = self.length().min(self.end + SLICE);
        let part = self.image[self.end as usize..end as usize].to_vec();
        let answer = session.answer(&self.path, part, self.end, self.length(), true).await;
        let (status, words) = answer.expect("an answer, whatever the disk does");
        if (200..300).contains(&status) {
            self.end = end;
        }
        (status, words)
    }

    /// Sends slices that must be taken.
    async fn send_slices(&mut self, session: &Session, slices: u64) {
        for _ in 0..slices {
            let (status, words) = self.send(session).await;
            assert_eq!(status, 200, "{words}");
        }
    }

    /// What the server says; no acknowledged byte is missing.
    async fn state(&self, session: &Session) -> State {
        let state = session.state(&self.path).await;
        let stored = 0..self.end;
        assert!(self.end == 0 || lost(&[stored], &state.missing).is_empty(), "lost: {state:?}");
        assert!(state.offset >= self.end, "{state:?}");
        state
    }

    /// Sends the rest and compares the image.
    async fn finish(&self, session: &Session, name: &str) {
        session.finish(&self.path, &self.image).await;
        let image = session.image_named(name).await;
        assert_eq!(image["status"], "Ready", "{image}");
        let stored = session.download(image["uuid"].as_str().unwrap()).await;
        assert_eq!(stored.len(), self.image.len(), "another length than the source's");
        let wrong: Vec<_> =
            (0..self.image.len()).filter(|at| stored[*at] != self.image[*at]).collect();
        if let (Some(first), Some(last)) = (wrong.first(), wrong.last()) {
            let zeros = wrong.iter().filter(|at| stored[**at] == 0).count();
            panic!(
                "{} bytes unlike the source, {zeros} of them zeros, from {first} to {last}; {} were acknowledged when a write failed",
                wrong.len(),
                self.end
            );
        }
    }
}

/// The server has not panicked, and shows nothing that is not for others.
fn check_words(words: &str, server: &Server) {
    assert!(!words.contains("/m/data") && !words.contains("os error"), "{words}");
    let log = server.log.lock().unwrap();
    assert!(!log.iter().any(|line| line.contains("panicked")), "{log:?}");
}
