//! Uploads and their leases.

use async_trait::async_trait;

use crate::domain::{
    clock::EpochMs,
    ids::{ImageUuid, NodeUuid, UploadUuid},
    upload::UploadRecord,
};

use super::{
    Leased, Result, UploadRepository, UploadTouch,
    dialect::{Dialect, Link, SqlText},
    rows::{self, RowOf},
    sql::SqlDatabase,
    statements as st,
    values::{big, values},
    write::Write,
};

/// ZStack's words for the stage in which bytes arrive.
const RECEIVING_TASK: &str = "uploading image";

#[async_trait]
impl<D: Dialect> UploadRepository for SqlDatabase<D> {
    async fn upload(&self, uuid: UploadUuid) -> Result<Option<UploadRecord>> {
        self.read_one(st::UPLOAD_BY_UUID, values![uuid], rows::upload).await
    }

    async fn upload_of_image(&self, image: ImageUuid) -> Result<Option<UploadRecord>> {
        self.read_one(st::UPLOAD_OF_IMAGE, values![image], rows::upload).await
    }

    async fn uploads_of_images(&self, images: &[ImageUuid]) -> Result<Vec<UploadRecord>> {
        let listed = images.iter().map(ToString::to_string).collect::<Vec<_>>();
        let tail = st::UPLOADS_OF_IMAGES_ORDER;
        let mut found =
            self.read_listed(st::UPLOADS_OF_IMAGES, tail, &listed, rows::upload).await?;
        found.dedup_by_key(|upload| upload.image);
        Ok(found)
    }

    async fn touch_uploads(&self, mut touches: Vec<UploadTouch>) -> Result<()> {
        if touches.is_empty() {
            return Ok(());
        }
        // One order for everybody, so that two processes do not wait for each other.
        touches.sort_by_key(|touch| touch.uuid);
        self.write(TouchUploads(touches)).await
    }

    async fn set_declared_length(&self, uuid: UploadUuid, length: u64) -> Result<()> {
        self.write(SetLength { uuid, length: big("declared length", length)? }).await
    }

    async fn raise_url_generation(&self, uuid: UploadUuid) -> Result<Option<i64>> {
        self.write(RaiseUrlGeneration(uuid)).await
    }

    async fn lease_upload(
        &self,
        uuid: UploadUuid,
        node: NodeUuid,
        now_ms: EpochMs,
        until_ms: EpochMs,
    ) -> Result<Leased> {
        self.write(LeaseUpload { uuid, node, now_ms, until_ms }).await
    }

    async fn renew_leases(&self, node: NodeUuid, until_ms: EpochMs) -> Result<u64> {
        self.write(RenewLeases { node, until_ms }).await
    }

    async fn known_open(&self, uuids: Vec<UploadUuid>) -> Result<Vec<UploadUuid>> {
        let listed = uuids.iter().map(ToString::to_string).collect::<Vec<_>>();
        self.read_listed(st::UPLOADS_KNOWN, ")", &listed, |row| {
            RowOf::new(row, "upload", "uuid").parsed("uuid")
        })
        .await
    }
}

struct TouchUploads(Vec<UploadTouch>);

impl Write for TouchUploads {
    type Answer = ();

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<()> {
        for touch in &self.0 {
            let epoch = big("owner epoch", touch.owner_epoch)?;
            let job = link.one(st::TOUCH_JOB, values![touch.uuid, epoch, touch.percent]).await?;
            if let Some(job) = job {
                let api_id = RowOf::new(&job, "long_job", "uuid").text("api_id")?;
                let progress = values![api_id, RECEIVING_TASK, touch.percent, touch.last_byte_ms];
                link.execute(st::PROGRESS_SAVE, progress).await?;
            }
            let (offset, stored) = (big("offset", touch.offset)?, big("stored", touch.stored)?);
            let written = values![touch.uuid, epoch, offset, stored, touch.last_byte_ms];
            link.execute(st::TOUCH_UPLOAD, written).await?;
        }
        Ok(())
    }
}

struct SetLength {
    uuid: UploadUuid,
    length: i64,
}

impl Write for SetLength {
    type Answer = ();

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<()> {
        link.execute(st::UPLOAD_LENGTH, values![self.uuid, self.length]).await.map(drop)
    }
}

struct RaiseUrlGeneration(UploadUuid);

impl Write for RaiseUrlGeneration {
    type Answer = Option<i64>;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<Option<i64>> {
        let row = link.one(st::UPLOAD_URL_RAISE, values![self.0]).await?;
        row.map(|row| RowOf::new(&row, "upload", "uuid").int("url_generation")).transpose()
    }
}

struct LeaseUpload {
    uuid: UploadUuid,
    node: NodeUuid,
    now_ms: EpochMs,
    until_ms: EpochMs,
}

impl Write for LeaseUpload {
    type Answer = Leased;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<Leased> {
        let lease = values![self.uuid, self.node, self.now_ms, self.until_ms];
        if let Some(row) = link.one(st::UPLOAD_LEASE, lease).await? {
            let epoch = RowOf::new(&row, "upload", "uuid").big("owner_epoch")?;
            return Ok(Leased::Ours { epoch });
        }
        let exists = link.number(SqlText::Fixed(st::UPLOAD_EXISTS), values![self.uuid]).await?;
        Ok(if exists == 0 { Leased::Missing } else { Leased::Held })
    }
}

struct RenewLeases {
    node: NodeUuid,
    until_ms: EpochMs,
}

impl Write for RenewLeases {
    type Answer = u64;

    async fn run<D: Dialect>(&self, link: &mut Link<'_, D>) -> Result<u64> {
        link.execute(st::LEASES_RENEW, values![self.node, self.until_ms]).await
    }
}
