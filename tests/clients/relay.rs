//! A proxy between client and service that loses answers: the service has done what it was asked, and its client is not told.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

/// What a request says that joins partial uploads.
const MARK: &[u8] = b"upload-concat: final";
const PIECE_BYTES: usize = 64 << 10;

/// A proxy; takes no more connections when dropped.
pub(crate) struct Relay {
    port: u16,
    state: Arc<State>,
}

struct State {
    target: u16,
    /// Answers that are still to be lost.
    to_lose: AtomicUsize,
    lost: AtomicUsize,
    stopped: AtomicBool,
}

impl Relay {
    /// To a port of this machine. The first answers to a request that joins partial uploads are lost, so many of them: the connection
    /// ends when the service has answered.
    pub(crate) fn losing_answers(target: u16, to_lose: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            target,
            to_lose: AtomicUsize::new(to_lose),
            lost: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        });
        let theirs = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if theirs.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", theirs.target)) else { continue };
                theirs.serve(&client, &server);
            }
        });
        Self { port, state }
    }

    pub(crate) fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Answers that were lost.
    pub(crate) fn lost(&self) -> usize {
        self.state.lost.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl State {
    fn serve(self: &Arc<Self>, client: &TcpStream, server: &TcpStream) {
        let ends = || (client.try_clone().unwrap(), server.try_clone().unwrap());
        // Set before the request goes on, so that its answer cannot be faster.
        let loses = Arc::new(AtomicBool::new(false));
        let ((client, server), state, marked) = (ends(), Arc::clone(self), Arc::clone(&loses));
        thread::spawn(move || {
            // The end of the piece before, in which the mark may have begun.
            let mut tail = Vec::new();
            pump(client, server, |piece| {
                tail.extend(piece.iter().map(u8::to_ascii_lowercase));
                if tail.windows(MARK.len()).any(|window| window == MARK) && state.takes_one() {
                    marked.store(true, Ordering::SeqCst);
                }
                tail.drain(..tail.len().saturating_sub(MARK.len() - 1));
                true
            });
        });
        let ((client, server), state) = (ends(), Arc::clone(self));
        thread::spawn(move || {
            pump(server, client, |_| {
                let is_lost = loses.load(Ordering::SeqCst);
                state.lost.fetch_add(usize::from(is_lost), Ordering::SeqCst);
                !is_lost
            });
        });
    }

    /// Whether one more answer is to be lost.
    fn takes_one(&self) -> bool {
        let left = |left: usize| left.checked_sub(1);
        self.to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok()
    }
}

/// Hands on what comes for as long as `passes` says so; then both connections end.
fn pump(mut from: TcpStream, mut to: TcpStream, mut passes: impl FnMut(&[u8]) -> bool) {
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        if !passes(&piece[..length]) || to.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
