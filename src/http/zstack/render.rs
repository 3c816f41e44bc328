//! Records into inventories.

use std::collections::HashMap;

use jiff::tz::TimeZone;

use super::{error::Refusal, reply::Mark, reply::StoredReply};
use crate::{
    domain::{image::ImageRecord, upload::UploadRecord},
    http::{App, links::Base, zstack::call::Work},
    jobs::{JobView, Jobs},
    wire::zstack::{
        ImageInventory, Inventory, LongJobInventory, Schema, image_inventory, job_inventory,
    },
};

/// What stands where an upload URL belongs.
#[derive(Clone, Copy)]
pub(super) enum Urls<'a> {
    /// The URL itself: the answer goes to the caller now.
    Now(&'a App, &'a Base),
    /// A mark: the answer is kept until it is polled.
    Later(&'a Mark),
}

impl Urls<'_> {
    fn of(&self, upload: &UploadRecord) -> String {
        match self {
            Self::Now(app, base) => base.upload(app, upload.uuid, upload.url_generation),
            Self::Later(mark) => mark.text().to_owned(),
        }
    }
}

/// System tags of images, by their uuid.
#[derive(Debug, Default)]
pub(super) struct Tags(HashMap<String, Vec<String>>);

impl Tags {
    /// Those of these images; one look-up for all.
    pub(super) async fn of<'a>(
        jobs: &Jobs,
        images: impl Iterator<Item = &'a ImageRecord>,
    ) -> Result<Self, Refusal> {
        let uuids: Vec<String> = images.map(|image| image.uuid.to_string()).collect();
        let mut tags = Self::default();
        if !uuids.is_empty() {
            for (uuid, tag) in jobs.tags(&uuids).await? {
                tags.0.entry(uuid).or_default().push(tag);
            }
        }
        Ok(tags)
    }

    fn take(&mut self, image: &ImageRecord) -> Vec<String> {
        self.0.remove(&image.uuid.to_string()).unwrap_or_default()
    }
}

/// An image, with its upload while it is Downloading.
pub(super) fn image(
    image: &ImageRecord,
    upload: Option<&UploadRecord>,
    urls: Urls<'_>,
    tags: &mut Tags,
    zone: &TimeZone,
) -> ImageInventory {
    let url = upload.map(|upload| urls.of(upload));
    image_inventory(image, url.as_deref(), tags.take(image), zone)
}

/// A job, with the event in its result.
pub(super) fn job(
    view: &JobView,
    urls: Urls<'_>,
    tags: &mut Tags,
    zone: &TimeZone,
) -> LongJobInventory {
    let image = view.image.as_ref();
    let image = image.map(|record| self::image(record, view.upload.as_ref(), urls, tags, zone));
    // As the records have it: a list asks the store for nothing.
    let stored_bytes = view.upload.as_ref().map(|upload| upload.stored_cached);
    job_inventory(&view.job, image.as_ref(), stored_bytes, zone)
}

/// The result of a call that answers a job.
pub(super) async fn job_reply(work: &Work, view: &JobView) -> Result<StoredReply, Refusal> {
    let mut tags = Tags::of(&work.app.jobs, view.image.iter()).await?;
    let inventory = job(view, Urls::Later(&work.mark), &mut tags, work.zone());
    let schema = Schema::one("inventory", &inventory);
    linked(work, view.upload.as_ref(), inventory, schema)
}

/// The result of a call that answers an image.
pub(super) async fn image_reply(
    work: &Work,
    record: &ImageRecord,
    upload: Option<&UploadRecord>,
) -> Result<StoredReply, Refusal> {
    let mut tags = Tags::of(&work.app.jobs, std::iter::once(record)).await?;
    let inventory = image(record, upload, Urls::Later(&work.mark), &mut tags, work.zone());
    let schema = Schema::one("inventory", &inventory);
    linked(work, upload, inventory, schema)
}

fn linked<T: serde::Serialize>(
    work: &Work,
    upload: Option<&UploadRecord>,
    inventory: T,
    schema: Schema,
) -> Result<StoredReply, Refusal> {
    let body = work.reply(Inventory { inventory }, schema);
    match upload {
        Some(upload) => {
            StoredReply::with_link(&body, &work.mark, upload.uuid, upload.url_generation)
        }
        None => StoredReply::plain(&body),
    }
}
