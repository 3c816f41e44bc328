//! Images and tags.

use async_trait::async_trait;

use crate::domain::{
    account::Scope,
    clock::EpochMs,
    ids::ImageUuid,
    image::ImageRecord,
    inspected::Inspected,
    query::{Page, Query},
    tag::Resource,
    update_image::ImageChanges,
};

use super::{
    DbError, ImageRepository, ImageUpdated, Result,
    dialect::{Dialect, Link, SqlText, Value},
    query::{self, IMAGES},
    rows::{self, RowOf},
    sql::SqlDatabase,
    statements as st,
    tags::delete_tags,
    values::{big, rows_max, values},
    write::Write,
};

/// A page of images in the order of a key.
#[derive(Debug, Clone)]
pub struct ImagesPage<K> {
    /// Those that can be read.
    pub images: Vec<ImageRecord>,
    /// Of those that cannot: the uuid as it is in the row, and what is wrong with it.
    pub unreadable: Vec<(String, DbError)>,
    /// Key of the last row, to go on after; `None` on an empty page, the end.
    pub last: Option<K>,
}

impl<K> ImagesPage<K> {
    pub(super) fn of(rows: Vec<(K, String, Result<ImageRecord>)>) -> Self {
        let mut page = Self { images: Vec::new(), unreadable: Vec::new(), last: None };
        for (key, uuid, read) in rows {
            page.last = Some(key);
            match read {
                Ok(image) => page.images.push(image),
                Err(error) => page.unreadable.push((uuid, error)),
            }
        }
        page
    }
}

#[async_trait]
impl<D: Dialect> ImageRepository for SqlDatabase<D> {
    async fn image(&self, uuid: ImageUuid, scope: Scope) -> Result<Option<ImageRecord>> {
        self.read_one(st::IMAGE_BY_UUID, values![uuid, scope], rows::image).await
    }

    async fn images(&self, query: &Query, scope: Scope) -> Result<Page<ImageRecord>> {
        query::page(self, &IMAGES, query, scope, rows::image).await
    }

    async fn images_by_uuid(&self, uuids: &[ImageUuid]) -> Result<Vec<ImageRecord>> {
        let listed = uuids.iter().map(ToString::to_string).collect::<Vec<_>>();
        self.read_listed(st::IMAGES_LISTED, ")", &listed, rows::image).await
    }

    async fn known_images(&self, uuids: &[ImageUuid]) -> Result<Vec<ImageUuid>> {
        let listed = uuids.iter().map(ToString::to_string).collect::<Vec<_>>();
        self.read_listed(st::IMAGES_LISTED, ")", &listed, rows::image_uuid).await
    }

    async fn ready_images(&self, after: Option<&str>, limit: u64) -> Result<ImagesPage<String>> {
        let values = values![after.unwrap_or_default(), rows_max(limit)];
        let read = |row: &D::Row| {
            let uuid = rows::image_key(row)?;
            Ok((uuid.clone(), uuid, rows::image(row)))
        };
        let rows = self.read_all(SqlText::Fixed(st::IMAGES_READY), values, read).await?;
        Ok(ImagesPage::of(rows))
    }

    async fn mark_image_deleted(
        &self,
        uuid: ImageUuid,
        scope: Scope,
        now_ms: EpochMs,
    ) -> Result<bool> {
        self.write(MarkDeleted { uuid, scope, now_ms }).await
    }

    async fn recover_image(&self, uuid: ImageUuid, now_ms: EpochMs) -> Result<bool> {
        self.write(RecoverImage { uuid, now_ms }).await
    }

    async fn update_image(
        &self,
        uuid: ImageUuid,
        scope: Scope,
        changes: ImageChanges,
        now_ms: EpochMs,
    ) -> Result<ImageUpdated> {
        self.write(UpdateImage { uuid, scope, changes, now_ms }).await
    }

    async fn remove_image(&self, uuid: ImageUuid) -> Result<bool> {
        self.write(RemoveImage(uuid)).await
    }

    async fn deleted_images(
        &self,
        after: Option<(EpochMs, ImageUuid)>,
        before_ms: EpochMs,
        limit: u64,
    ) -> Result<Vec<ImageRecord>> {
        // No time is so early, and no uuid is an empty text.
        let (after_ms, after_uuid) =
            after.map_or((EpochMs::MIN, String::new()), |(ms, uuid)| (ms, uuid.to_string()));
        let values = values![before_ms, after_ms, after_uuid, rows_max(limit)];
        self.read_all(SqlText::Fixed(st::IMAGES_DELETED), values, rows::image).await
    }

    async fn system_tags(&self, resources: &[String]) -> Result<Vec<(String, String)>> {
        self.read_listed(st::TAGS_SELECT, st::TAGS_ORDER, resources, |row| {
            let row = RowOf::new(row, "tag", "resource_uuid");
            Ok((row.text("resource_uuid")?, row.text("tag")?))
        })
        .await
    }
}

/// The image as `image_insert!` takes it.
pub(super) fn image_values(image: &ImageRecord) -> Result<Vec<Value>> {
    Ok(values![
        image.uuid,
        image.account,
        &image.name,
        &image.description,
        image.enabled,
        image.status.name(),
        big("size", image.size)?,
        big("actualSize", image.actual_size)?,
        &image.md5,
        &image.sha256,
        &image.url,
        image.media_type.name(),
        &image.guest_os_type,
        &image.platform,
        &image.architecture,
        &image.format,
        image.system,
        image.virtio,
        image.storage,
        image.created_ms,
        image.last_op_ms,
        image.deleted_ms,
        image.inspection.as_ref().map(Inspected::to_json),
    ])
}

struct MarkDeleted {
    uuid: ImageUuid,
    scope: Scope,
    now_ms: EpochMs,
}

impl Write for MarkDeleted {
    type Answer = bool;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<bool> {
        let values = values![self.uuid, self.scope, self.now_ms];
        Ok(link.execute(st::IMAGE_MARK_DELETED, values).await? > 0)
    }
}

struct RecoverImage {
    uuid: ImageUuid,
    now_ms: EpochMs,
}

impl Write for RecoverImage {
    type Answer = bool;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<bool> {
        Ok(link.execute(st::IMAGE_RECOVER, values![self.uuid, self.now_ms]).await? > 0)
    }
}

struct UpdateImage {
    uuid: ImageUuid,
    scope: Scope,
    changes: ImageChanges,
    now_ms: EpochMs,
}

impl Write for UpdateImage {
    type Answer = ImageUpdated;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<ImageUpdated> {
        // Locked first: the rule looks at all fields together, so two changes at once must not both see the old ones.
        link.one(st::IMAGE_LOCK, values![self.uuid, self.scope]).await?;
        let row = link.one(st::IMAGE_BY_UUID, values![self.uuid, self.scope]).await?;
        let Some(row) = row else { return Ok(ImageUpdated::Missing) };
        let image = match self.changes.applied(rows::image(&row)?, self.now_ms) {
            Ok(image) => image,
            Err(error) => return Ok(ImageUpdated::Refused(error)),
        };
        link.execute(st::IMAGE_REPLACE, image_values(&image)?).await?;
        Ok(ImageUpdated::Done(Box::new(image)))
    }
}

struct RemoveImage(ImageUuid);

impl Write for RemoveImage {
    type Answer = bool;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<bool> {
        if link.execute(st::IMAGE_EXPUNGE, values![self.0]).await? == 0 {
            return Ok(false);
        }
        delete_tags(link, Resource::Image(self.0)).await?;
        link.execute(st::UPLOADS_OF_IMAGE_END, values![self.0]).await?;
        Ok(true)
    }
}
