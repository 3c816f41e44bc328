//! Files against records.

use super::{Scheduler, work::Outcome};
use crate::{
    jobs::JobError,
    uploads::{AtWork, StoreFound},
};

impl Scheduler {
    /// Compares the files of the store with the records. With `repair`: leftovers go, strays are set aside, images without their bytes
    /// get their mark, and jobs whose bytes are lost fail in words.
    pub(super) async fn reconcile(&self, repair: bool) -> Result<Outcome, JobError> {
        let mut found = self.jobs.parts.uploads.check_store(repair, AtWork::Service).await?;
        if repair {
            for (images, what) in
                [(&found.missing_images, "missing"), (&found.wrong_lengths, "length")]
            {
                for image in &images.first {
                    tracing::error!(%image, what, "an image is damaged: its file is missing or has another length");
                    self.mark_damaged(*image, what).await?;
                }
            }
            for (job, upload) in &found.missing_uploads {
                // One must not keep all others: it may have been canceled meanwhile.
                if let Err(error) = self.jobs.recover_one(job, upload).await {
                    tracing::error!(job = %job.uuid, %error, "a job whose bytes are gone could not be ended; it will be tried again");
                    found.unreadable += 1;
                }
            }
        }
        for image in &found.unknown_images.first {
            tracing::warn!(%image, "an image file without a record is in the store; it is left alone");
        }
        Ok(outcome(&found, repair))
    }
}

fn outcome(found: &StoreFound, repair: bool) -> Outcome {
    let lost = found.missing_images.count + found.wrong_lengths.count;
    let missing = found.missing_uploads.len() as u64;
    let strays = found.leftovers + found.unknown_uploads;
    let unsettled = found.unsettled;
    let cleared = if repair { " (cleared)" } else { "" };
    let words = format!(
        "{} uploads and {} image files were compared with the records: {strays} staging entries without an open upload{cleared}, \
         {unsettled} unsettled images without a record{cleared}, {} image files without a record (left alone), {lost} images without their bytes, {missing} jobs without their bytes, \
         {} could not be looked at",
        found.uploads, found.images, found.unknown_images.count, found.unreadable,
    );
    let wrong =
        lost > 0 || missing > 0 || found.unreadable > 0 || (strays + unsettled > 0 && !repair);
    let images = found.missing_images.first.iter().chain(&found.wrong_lengths.first);
    let images = images.chain(&found.unknown_images.first).copied().collect();
    Outcome { success: !wrong, words, images, ..Outcome::default() }
        .counting("uploads", found.uploads)
        .counting("images", found.images)
        .counting("leftovers", found.leftovers)
        .counting("unknownUploads", found.unknown_uploads)
        .counting("unsettledImages", unsettled)
        .counting("unknownImages", found.unknown_images.count)
        .counting("missingImages", found.missing_images.count)
        .counting("wrongLengths", found.wrong_lengths.count)
        .counting("missingUploads", missing)
        .counting("unreadable", found.unreadable)
}
