//! Images and tags.

use async_trait::async_trait;

use crate::domain::{
    account::Scope,
    clock::EpochMs,
    ids::ImageUuid,
    image::ImageRecord,
    query::{Page, Query},
};

use super::{
    ImageRepository, Result,
    dialect::{Dialect, Link, SqlText, Value},
    query::{self, IMAGES},
    rows::{self, RowOf},
    sql::SqlDatabase,
    statements as st,
    values::{big, rows_max, values},
    write::Write,
};

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

    async fn mark_image_deleted(
        &self,
        uuid: ImageUuid,
        scope: Scope,
        now_ms: EpochMs,
    ) -> Result<bool> {
        self.write(MarkDeleted { uuid, scope, now_ms }).await
    }

    async fn remove_image(&self, uuid: ImageUuid) -> Result<()> {
        self.write(RemoveImage(uuid)).await
    }

    async fn deleted_images(&self, before_ms: EpochMs, limit: u64) -> Result<Vec<ImageRecord>> {
        let values = values![before_ms, rows_max(limit)];
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
    ])
}

/// Tags of a resource as rows, in order.
fn tag_rows<'t>(
    resource: &'t str,
    kind: &'static str,
    tags: &'t [String],
) -> impl Iterator<Item = Vec<Value>> + Send + 't {
    (0_i64..).zip(tags).map(move |(position, tag)| values![resource, kind, position, tag])
}

/// Gives a resource these tags and no others.
pub(super) async fn put_tags<D: Dialect>(
    link: &mut Link<'_, D>,
    resource: &str,
    system: &[String],
    user: &[String],
) -> Result<()> {
    // Of a resource that had this uuid before, if any.
    link.execute(st::TAGS_DELETE, values![resource]).await?;
    for row in tag_rows(resource, "system", system).chain(tag_rows(resource, "user", user)) {
        link.execute(st::TAG_INSERT, row).await?;
    }
    Ok(())
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

struct RemoveImage(ImageUuid);

impl Write for RemoveImage {
    type Answer = ();

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<()> {
        link.execute(st::IMAGE_DELETE, values![self.0]).await?;
        link.execute(st::TAGS_DELETE, values![self.0]).await.map(drop)
    }
}
