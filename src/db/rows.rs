//! From rows to domain types. A row that this version cannot read is `CorruptRow`, never a panic and never a guess.

use std::str::FromStr;

use crate::domain::{
    account::{AccessKeyRecord, Account, SessionRecord, StorageRecord},
    ids::{ImageUuid, JobUuid},
    image::{ImageRecord, ImageStatus, MediaType},
    job::{JobResult, LongJob, Stage, TaskProgress},
    job_state::JobState,
    tag::{Resource, TagKind, TagRecord, hex_bytes},
    upload::{Completion, ExpectedDigests, UploadFate, UploadKind, UploadRecord},
};

use super::{
    ApiJobResult, DbError, Result,
    dialect::{Fields, Read},
    jobs::reason_and_cause,
    tags::kind_name,
};

/// One row of a table, with the name of its key for errors.
pub(super) struct RowOf<'r, F> {
    row: &'r F,
    table: &'static str,
    key: &'static str,
}

impl<'r, F: Fields> RowOf<'r, F> {
    pub(super) const fn new(row: &'r F, table: &'static str, key: &'static str) -> Self {
        Self { row, table, key }
    }

    pub(super) fn corrupt(&self, column: &'static str) -> DbError {
        let key = self.row.text(self.key).ok().flatten().unwrap_or_default();
        // Joined statements select columns of an upload as `u_...`.
        let column = column.strip_prefix("u_").unwrap_or(column);
        DbError::CorruptRow { table: self.table, key, column }
    }

    fn some<T>(&self, column: &'static str, value: Read<T>) -> Result<T> {
        value.ok().flatten().ok_or_else(|| self.corrupt(column))
    }

    pub(super) fn text(&self, column: &'static str) -> Result<String> {
        self.some(column, self.row.text(column))
    }

    pub(super) fn text_or_null(&self, column: &'static str) -> Result<Option<String>> {
        self.row.text(column).map_err(|_| self.corrupt(column))
    }

    pub(super) fn int(&self, column: &'static str) -> Result<i64> {
        self.some(column, self.row.int(column))
    }

    pub(super) fn int_or_null(&self, column: &'static str) -> Result<Option<i64>> {
        self.row.int(column).map_err(|_| self.corrupt(column))
    }

    /// A length or count: never negative.
    pub(super) fn big(&self, column: &'static str) -> Result<u64> {
        u64::try_from(self.int(column)?).map_err(|_| self.corrupt(column))
    }

    pub(super) fn flag(&self, column: &'static str) -> Result<bool> {
        self.some(column, self.row.flag(column))
    }

    /// A TEXT column that a domain type reads.
    pub(super) fn parsed<T: FromStr>(&self, column: &'static str) -> Result<T> {
        self.text(column)?.parse().map_err(|_| self.corrupt(column))
    }

    pub(super) fn parsed_or_null<T: FromStr>(&self, column: &'static str) -> Result<Option<T>> {
        let text = self.text_or_null(column)?;
        text.map(|text| text.parse().map_err(|_| self.corrupt(column))).transpose()
    }

    pub(super) fn named<T>(
        &self,
        column: &'static str,
        from_name: fn(&str) -> Option<T>,
    ) -> Result<T> {
        from_name(&self.text(column)?).ok_or_else(|| self.corrupt(column))
    }

    fn digest<const N: usize>(&self, column: &'static str) -> Result<Option<[u8; N]>> {
        let text = self.text_or_null(column)?;
        text.map(|text| hex_bytes(&text).ok_or_else(|| self.corrupt(column))).transpose()
    }
}

/// A row of statements that select `job_columns!`.
pub(super) fn job(row: &impl Fields) -> Result<LongJob> {
    let row = RowOf::new(row, "long_job", "uuid");
    let (state, reason) = (row.text("state")?, row.text_or_null("suspend_reason")?);
    let state = JobState::from_names(&state, reason.as_deref());
    let result = match row.text_or_null("result_kind")?.as_deref() {
        None => None,
        Some("event") => Some(JobResult::Event),
        Some("error") => {
            let (reason, cause) = reason_and_cause(&row.text("result_cause")?);
            Some(JobResult::Error { detail: row.text("result_detail")?, cause, reason })
        }
        Some(_) => return Err(row.corrupt("result_kind")),
    };
    Ok(LongJob {
        uuid: row.parsed("uuid")?,
        account: row.parsed("account_uuid")?,
        name: row.text("name")?,
        description: row.text_or_null("description")?,
        api_id: row.parsed("api_id")?,
        job_name: row.text("job_name")?,
        job_data: row.text("job_data")?,
        state: state.ok_or_else(|| row.corrupt("state"))?,
        generation: row.int("generation")?,
        stage: row.named("stage", Stage::from_name)?,
        stage_percent: row.int("stage_percent")?,
        waits_for: row.text_or_null("waits_for")?,
        result,
        image: row.parsed("image_uuid")?,
        upload: row.parsed("upload_uuid")?,
        node: row.parsed_or_null("node_uuid")?,
        created_ms: row.int("created_ms")?,
        last_op_ms: row.int("last_op_ms")?,
        finished_ms: row.int_or_null("finished_ms")?,
    })
}

/// A row of statements that select `upload_columns!`.
pub(super) fn upload(row: &impl Fields) -> Result<UploadRecord> {
    let row = RowOf::new(row, "upload", "u_uuid");
    let length = row.int_or_null("u_declared_length")?;
    let length = length.map(|n| u64::try_from(n).map_err(|_| row.corrupt("u_declared_length")));
    let parts = row.text_or_null("u_parts")?.unwrap_or_default();
    let parts: std::result::Result<Vec<_>, _> = parts.split_whitespace().map(str::parse).collect();
    Ok(UploadRecord {
        uuid: row.parsed("u_uuid")?,
        kind: row.named("u_kind", UploadKind::from_name)?,
        job: row.parsed_or_null("u_job_uuid")?.unwrap_or(JobUuid::NIL),
        image: row.parsed("u_image_uuid")?,
        account: row.parsed("u_account_uuid")?,
        image_id: row.parsed_or_null("u_image_id")?,
        completion: row.named("u_completion", Completion::from_name)?,
        declared_length: length.transpose()?,
        expected: ExpectedDigests {
            md5: row.digest("u_expected_md5")?,
            sha256: row.digest("u_expected_sha256")?,
        },
        offset_cached: row.big("u_offset_cached")?,
        stored_cached: row.big("u_stored_cached")?,
        fate: row.named("u_fate", UploadFate::from_name)?,
        url_generation: row.int("u_url_generation")?,
        owner: row.parsed_or_null("u_owner_node")?,
        owner_epoch: row.big("u_owner_epoch")?,
        lease_until_ms: row.int("u_lease_until_ms")?,
        created_ms: row.int("u_created_ms")?,
        last_byte_ms: row.int_or_null("u_last_byte_ms")?,
        client_metadata: row.text_or_null("u_client_metadata")?,
        parts: parts.map_err(|_| row.corrupt("u_parts"))?,
        taken_by: row.parsed_or_null("u_taken_by")?,
    })
}

/// A row of statements that select both.
pub(super) fn job_and_upload(row: &impl Fields) -> Result<(LongJob, UploadRecord)> {
    Ok((job(row)?, upload(row)?))
}

/// A row of statements that select `image_columns!`.
pub(super) fn image(row: &impl Fields) -> Result<ImageRecord> {
    let row = RowOf::new(row, "image", "uuid");
    Ok(ImageRecord {
        uuid: row.parsed("uuid")?,
        account: row.parsed("account_uuid")?,
        name: row.text("name")?,
        description: row.text_or_null("description")?,
        enabled: row.flag("enabled")?,
        status: row.named("status", ImageStatus::from_name)?,
        size: row.big("size")?,
        actual_size: row.big("actual_size")?,
        md5: row.text_or_null("md5")?,
        sha256: row.text_or_null("sha256")?,
        url: row.text("url")?,
        media_type: row.named("media_type", MediaType::from_name)?,
        guest_os_type: row.text_or_null("guest_os_type")?,
        platform: row.text("platform")?,
        architecture: row.text_or_null("architecture")?,
        format: row.text("format")?,
        system: row.flag("system")?,
        virtio: row.flag("virtio")?,
        storage: row.parsed("storage_uuid")?,
        created_ms: row.int("created_ms")?,
        last_op_ms: row.int("last_op_ms")?,
        deleted_ms: row.int_or_null("deleted_ms")?,
        inspection: row.parsed_or_null("inspection")?,
    })
}

/// The uuid of an image as it is in a row of which nothing else may be readable.
pub(super) fn image_key(row: &impl Fields) -> Result<String> {
    RowOf::new(row, "image", "uuid").text("uuid")
}

/// The same, of an image whose uuid was asked for.
pub(super) fn image_uuid(row: &impl Fields) -> Result<ImageUuid> {
    RowOf::new(row, "image", "uuid").parsed("uuid")
}

/// When the image of a row that selects this as well was last read again.
pub(super) fn image_checked_ms(row: &impl Fields) -> Result<i64> {
    RowOf::new(row, "image", "uuid").int("checked_ms")
}

/// A row of statements that select `tag_columns!`.
pub(super) fn tag(row: &impl Fields) -> Result<TagRecord> {
    let row = RowOf::new(row, "tag", "uuid");
    let resource = Resource::read(&row.text("resource_type")?, &row.text("resource_uuid")?);
    let kind = row.named("kind", |name| {
        [TagKind::System, TagKind::User].into_iter().find(|kind| kind_name(*kind) == name)
    })?;
    Ok(TagRecord {
        uuid: row.parsed("uuid")?,
        account: row.parsed("account_uuid")?,
        resource: resource.ok_or_else(|| row.corrupt("resource_type"))?,
        kind,
        tag: row.text("tag")?,
        created_ms: row.int("created_ms")?,
    })
}

/// A row of `account`.
pub(super) fn account(row: &impl Fields) -> Result<Account> {
    let row = RowOf::new(row, "account", "uuid");
    Ok(Account {
        uuid: row.parsed("uuid")?,
        name: row.text("name")?,
        password_hash: row.text("password_hash")?,
        admin: row.flag("admin")?,
        enabled: row.flag("enabled")?,
        description: row.text_or_null("description")?,
        created_ms: row.int("created_ms")?,
        last_op_ms: row.int("last_op_ms")?,
    })
}

/// A row of `access_key`, alone or joined with its account.
pub(super) fn access_key(row: &impl Fields) -> Result<AccessKeyRecord> {
    let row = RowOf::new(row, "access_key", "id");
    Ok(AccessKeyRecord {
        id: row.parsed("id")?,
        account: row.parsed("account_uuid")?,
        sealed_secret: row.text("sealed_secret")?,
        created_ms: row.int("k_created_ms")?,
    })
}

/// The session in a row of a session joined with its account.
pub(super) fn session(row: &impl Fields) -> Result<SessionRecord> {
    // The key of an error is the account's: half a token's digest in a log helps nobody.
    let row = RowOf::new(row, "session", "uuid");
    let token = row.digest("token_sha256")?.ok_or_else(|| row.corrupt("token_sha256"))?;
    Ok(SessionRecord {
        token_sha256: token,
        account: row.parsed("uuid")?,
        created_ms: row.int("s_created_ms")?,
        expires_ms: row.int("s_expires_ms")?,
    })
}

/// A row of `storage`.
pub(super) fn storage(row: &impl Fields) -> Result<StorageRecord> {
    let row = RowOf::new(row, "storage", "uuid");
    Ok(StorageRecord {
        uuid: row.parsed("uuid")?,
        name: row.text("name")?,
        created_ms: row.int("created_ms")?,
    })
}

/// A row of `progress`.
pub(super) fn progress(row: &impl Fields) -> Result<TaskProgress> {
    let row = RowOf::new(row, "progress", "api_id");
    Ok(TaskProgress {
        api_id: row.parsed("api_id")?,
        task_name: row.text("task_name")?,
        percent: row.int("percent")?,
        time_ms: row.int("time_ms")?,
    })
}

/// A row of `api_job`: `None` while the call runs.
pub(super) fn api_job(row: &impl Fields) -> Result<Option<ApiJobResult>> {
    let row = RowOf::new(row, "api_job", "id");
    if row.int_or_null("ended_ms")?.is_none() {
        return Ok(None);
    }
    Ok(Some(ApiJobResult { success: row.flag("success")?, body: row.text("body")? }))
}
