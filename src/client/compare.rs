//! Whether an image is the file that was meant: its digests beside the local ones and the declared ones.

use std::time::Duration;

use super::{
    content::{BackgroundDigests, Content},
    digests::LocalDigests,
    error::ClientError,
    events::{Event, Phase, Sink},
    records::ExpectedDigests,
    uploader::ReadyImage,
};
use crate::wire::{
    native::{StateName, UploadState},
    reason::ReasonName,
};

/// Tells that an image is there.
pub(super) fn announce(events: &Sink, ready: &ReadyImage) {
    let ReadyImage { image_uuid, job_uuid, md5, sha256, verified, sent_bytes } = ready.clone();
    events(&Event::Phase { phase: Phase::Ready, percent: None });
    events(&Event::Ready { job_uuid, image_uuid, md5, sha256, verified, sent_bytes });
}

/// Waits for local digests and tells how far they are.
pub(super) async fn finish_with_events(
    digests: BackgroundDigests,
    length: u64,
    events: &Sink,
) -> Result<LocalDigests, ClientError> {
    digests.run_free();
    while !digests.is_finished() {
        let percent = digests.hashed().saturating_mul(100) / length.max(1);
        let percent = u8::try_from(percent.min(100)).ok();
        events(&Event::Phase { phase: Phase::Comparing, percent });
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    digests.finish().await
}

/// Whether the server's digests are those of the file; `false` if it has none.
pub(super) fn compare(
    content: &Content,
    state: &UploadState,
    local: &LocalDigests,
) -> Result<bool, ClientError> {
    let mut compared = false;
    for (name, theirs, ours) in
        [("SHA-256", &state.sha256, &local.sha256), ("MD5", &state.md5, &local.md5)]
    {
        let Some(theirs) = theirs else { continue };
        if theirs.eq_ignore_ascii_case(ours) {
            compared = true;
            continue;
        }
        if let Some(what) = content.change()? {
            let (path, job) = (content.path().to_path_buf(), state.job_uuid.clone());
            return Err(ClientError::FileChanged { path, what, job });
        }
        return Err(ClientError::Checksum {
            words: format!(
                "the image is not the file: the server's {name} is {theirs}, this machine's {ours}. Either the file \
                 was changed between two parts of the upload, or a disk or memory is broken. Delete the image with \
                 `longshore images delete {}` and upload again.",
                state.image_uuid
            ),
        });
    }
    Ok(compared)
}

/// The server refuses other bytes than were declared to it; an upload that an earlier call began may know nothing of that.
pub(super) fn as_declared(
    state: &UploadState,
    expected: &ExpectedDigests,
) -> Result<(), ClientError> {
    let next = if state.state == StateName::Succeeded {
        there_all_the_same(&state.image_uuid)
    } else {
        "The server has removed the bytes.".to_owned()
    };
    let digests = (state.md5.as_deref(), state.sha256.as_deref());
    none_differs("what was sent", digests, expected, &next)
}

/// The same of a file that is not sent, since an image of exactly its bytes is there already.
pub(super) fn file_as_declared(
    local: &LocalDigests,
    expected: &ExpectedDigests,
    image_uuid: &str,
) -> Result<(), ClientError> {
    let next = format!("Nothing was sent. {}", there_all_the_same(image_uuid));
    let digests = (Some(local.md5.as_str()), Some(local.sha256.as_str()));
    none_differs("the file", digests, expected, &next)
}

fn there_all_the_same(image_uuid: &str) -> String {
    format!("The image is there all the same; `longshore images delete {image_uuid}` removes it.")
}

fn none_differs(
    what: &str,
    (md5, sha256): (Option<&str>, Option<&str>),
    expected: &ExpectedDigests,
    next: &str,
) -> Result<(), ClientError> {
    for (name, theirs, wanted) in
        [("MD5", md5, &expected.md5), ("SHA-256", sha256, &expected.sha256)]
    {
        let (Some(theirs), Some(wanted)) = (theirs, wanted) else { continue };
        if !theirs.eq_ignore_ascii_case(wanted) {
            let words = format!(
                "the {name} of {what} is {theirs}, not {wanted} as was declared: this is another file, or the \
                 digest is of another one. {next}"
            );
            return Err(ClientError::Checksum { words });
        }
    }
    Ok(())
}

/// The end of a job without an image. One whose digests are others than were declared ends like one whose digests differ here.
pub(super) fn ended_as(state: &str, words: String, reason: Option<ReasonName>) -> ClientError {
    match reason {
        Some(ReasonName::Digests) => ClientError::Checksum { words },
        Some(ReasonName::Content | ReasonName::Other) | None => {
            ClientError::JobEnded { state: state.to_owned(), words }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::error::ErrorKind;

    #[test]
    fn other_digests_than_declared_are_a_matter_of_digests_whatever_the_words_are() {
        let kind = |words: &str, reason| ended_as("Failed", words.to_owned(), reason).kind();
        assert_eq!(kind("in other words", Some(ReasonName::Digests)), ErrorKind::Checksum);
        let called = "an image called `does not have the declared`";
        for reason in [None, Some(ReasonName::Content), Some(ReasonName::Other)] {
            assert_eq!(kind(called, reason), ErrorKind::Server);
        }
    }
}
