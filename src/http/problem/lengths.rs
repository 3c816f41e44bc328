//! What is told of lengths that do not agree, and of bodies that go beyond them.

use crate::wire::problem::{Problem, code};

pub(super) fn beyond_length(end: u64, length: u64) -> Problem {
    let words = format!(
        "The body would end at byte {end}, the upload was declared to have {length}. Nothing of this request was stored."
    );
    Problem::new(416, code::BAD_RANGE, "Beyond the end", words)
}

pub(super) fn overlong(length: u64, offset: u64) -> Problem {
    let words = if offset == length {
        format!(
            "The body goes beyond the end of the upload, which has all its {length} bytes. Nothing of this request was stored; send no more."
        )
    } else {
        format!(
            "The body goes beyond the end of the upload, which has {length} bytes. {offset} bytes from the start on are stored and kept; \
             send the rest from there on, and no more."
        )
    };
    let mut problem = Problem::new(416, code::BAD_RANGE, "Beyond the end", words);
    problem.offset = Some(offset);
    problem
}

/// No offset: there is none to go on from.
pub(super) fn outgrown(length: u64, offset: u64) -> Problem {
    let words = format!(
        "The body goes beyond the end of the upload, which was announced to have {length} bytes: so what came before cannot be trusted. \
         The upload has ended and the {offset} bytes that were stored were removed. Start a new upload, with the length that the \
         file has."
    );
    Problem::new(400, "outgrown", "Upload ended", words)
}

pub(super) fn length_conflict(offered: u64, declared: u64) -> Problem {
    let words = format!(
        "The upload has the length {declared}, this request says {offered}. The first one stands and nothing was stored. If the \
         file has changed, cancel the job and start again."
    );
    Problem::new(400, code::BAD_RANGE, "Length changed", words)
}

pub(super) fn long_body() -> Problem {
    let words = "The body is longer than the length of the upload. Nothing of it was kept; begin again with the length that the file has.";
    Problem::new(400, code::BAD_RANGE, "Beyond the end", words)
}
