//! A table of cases and how it is walked.

use crate::{
    wire::{Answer, Then, exchange},
    world::World,
};

/// One thing that is sent, and what it has to be answered with.
pub(crate) struct Case {
    name: String,
    request: Vec<u8>,
    then: Then,
    statuses: Vec<u16>,
    words: String,
}

impl Case {
    /// Answered with this status and, somewhere in it, these words. The status 0 is a connection that is closed without one.
    pub(crate) fn new(
        name: impl Into<String>,
        request: impl Into<Vec<u8>>,
        status: u16,
        words: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            request: request.into(),
            then: Then::Wait,
            statuses: vec![status],
            words: words.into(),
        }
    }

    /// What the client does after the last byte.
    pub(crate) fn then(self, then: Then) -> Self {
        Self { then, ..self }
    }

    /// This status is as good: it depends on who is faster.
    pub(crate) fn or(mut self, status: u16) -> Self {
        self.statuses.push(status);
        self
    }

    /// What is wrong with the answer, if something is.
    fn complaint(&self, answer: &Answer) -> Option<String> {
        let says = self.words.is_empty()
            || answer.status == 0
            || answer.body.contains(&self.words)
            || answer.head.contains(&self.words);
        let leaks = ["src/", "SELECT ", "sqlite", "panicked", "RUST_BACKTRACE"]
            .iter()
            .find(|word| answer.body.contains(**word));
        let what = if !self.statuses.contains(&answer.status) {
            format!("{} instead of {:?}", answer.status, self.statuses)
        } else if !says {
            format!("{} without the words {:?}", answer.status, self.words)
        } else if let Some(word) = leaks {
            format!("the answer shows {word:?}")
        } else {
            return None;
        };
        let body: String = answer.body.chars().take(240).collect();
        Some(format!("{}: {what}: {body}", self.name))
    }
}

/// Walks a table: every answer as it stands there, and a service that is alive after each.
pub(crate) fn walk(world: &World, cases: Vec<Case>) {
    let mut complaints = Vec::new();
    let count = cases.len();
    for case in cases {
        let answer = exchange(world.address(), &case.request, case.then);
        complaints.extend(case.complaint(&answer));
        assert!(world.is_alive(), "{}: the service does not answer any more", case.name);
    }
    assert!(
        complaints.is_empty(),
        "{} of {count} cases are answered otherwise:\n{}",
        complaints.len(),
        complaints.join("\n")
    );
}

#[test]
fn the_walk_notices_a_wrong_status_missing_words_and_a_leak() {
    let case = Case::new("c", "", 400, "limit").or(413);
    let answer = |status, body: &str| Answer { status, body: body.to_owned(), head: String::new() };
    assert_eq!(case.complaint(&answer(400, "the limit")), None);
    assert_eq!(case.complaint(&answer(413, "the limit")), None);
    for (status, body) in [(200, "the limit"), (400, ""), (0, ""), (400, "limit at src/x.rs:1")] {
        assert!(case.complaint(&answer(status, body)).is_some(), "{status} {body}");
    }
}
