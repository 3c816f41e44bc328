//! What is told of partial uploads and of what is joined from them.

use crate::{
    uploads::PartFault,
    wire::problem::{Problem, code},
};

pub(super) fn joined() -> Problem {
    Problem::new(
        403,
        "joined",
        "Takes no bytes",
        "The upload is joined from partial uploads and takes no bytes. Nothing was changed; ask for its state, or wait for its image.",
    )
}

pub(super) fn partial() -> Problem {
    Problem::new(
        403,
        "partial",
        "Partial upload",
        "The upload is a partial one, made by a tus client: only tus can continue it, with Tus-Resumable: 1.0.0. Nothing was changed; ask for \
         its state, or send the bytes as tus does.",
    )
}

pub(super) fn in_use() -> Problem {
    Problem::new(
        403,
        "part_in_use",
        "Part of an upload",
        "The partial upload is a part of another upload and goes with that. Nothing was changed; to be rid of both, cancel the other one.",
    )
}

pub(super) fn bad_part(number: usize, fault: PartFault) -> Problem {
    let bad = |status, code, words: &str| {
        let words =
            format!("Partial upload {number} of those to be joined: {words} Nothing was made.");
        Problem::new(status, code, "Cannot be joined", words)
    };
    match fault {
        PartFault::Missing => bad(
            404,
            code::NOT_FOUND,
            "there is no such upload, or its URL was revoked. Send that part anew.",
        ),
        PartFault::Gone { .. } => {
            bad(410, code::GONE, "it has ended and its bytes are gone. Send that part anew.")
        }
        PartFault::NotPartial => bad(
            400,
            "bad_part",
            "it is an upload of its own. Only those made with Upload-Concat: partial can be joined.",
        ),
        PartFault::Unfinished { offset } => bad(
            400,
            "bad_part",
            &format!(
                "it is not finished, {offset} bytes are stored. Send the rest of it, then join."
            ),
        ),
        PartFault::Taken => {
            bad(400, "bad_part", "it is a part of another upload already. Send that part anew.")
        }
        PartFault::Twice => bad(400, "bad_part", "it is named twice. Name each part once."),
    }
}

pub(super) fn too_many(max: usize) -> Problem {
    let words = format!(
        "An upload may be joined from {max} partial uploads. Nothing was made; send fewer and larger ones."
    );
    Problem::new(400, "bad_part", "Too many parts", words)
}
