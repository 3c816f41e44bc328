//! The text of every statement, the same for both databases.
//!
//! House rules: values are `$n`; integers are BIGINT; `CAST($n AS TEXT) IS NULL` where a NULL means "any" (PostgreSQL wants to know
//! the type); NULL order is written out; whoever reads a row's state in a condition changes it in the same statement.

macro_rules! job_columns {
    () => {
        "j.uuid, j.account_uuid, j.name, j.description, j.api_id, j.job_name, j.job_data, j.state, \
         j.suspend_reason, j.generation, j.stage, j.stage_percent, j.waits_for, j.result_kind, \
         j.result_detail, j.result_cause, j.image_uuid, j.upload_uuid, j.node_uuid, \
         j.created_ms, j.last_op_ms, j.finished_ms"
    };
}

macro_rules! upload_columns {
    () => {
        "u.uuid AS u_uuid, u.job_uuid AS u_job_uuid, u.image_uuid AS u_image_uuid, \
         u.account_uuid AS u_account_uuid, u.image_id AS u_image_id, \
         u.completion AS u_completion, u.declared_length AS u_declared_length, \
         u.expected_md5 AS u_expected_md5, u.expected_sha256 AS u_expected_sha256, \
         u.offset_cached AS u_offset_cached, u.stored_cached AS u_stored_cached, \
         u.fate AS u_fate, u.url_generation AS u_url_generation, u.owner_node AS u_owner_node, \
         u.owner_epoch AS u_owner_epoch, u.lease_until_ms AS u_lease_until_ms, \
         u.created_ms AS u_created_ms, u.last_byte_ms AS u_last_byte_ms, \
         u.client_metadata AS u_client_metadata, u.kind AS u_kind, u.parts AS u_parts, \
         u.taken_by AS u_taken_by"
    };
}

macro_rules! image_columns {
    () => {
        "i.uuid, i.account_uuid, i.name, i.description, i.enabled, i.status, i.size, \
         i.actual_size, i.md5, i.sha256, i.url, i.media_type, i.guest_os_type, i.platform, \
         i.architecture, i.format, i.system, i.virtio, i.storage_uuid, i.created_ms, \
         i.last_op_ms, i.deleted_ms, i.inspection"
    };
}

macro_rules! image_insert {
    () => {
        "INSERT INTO image (uuid, account_uuid, name, description, enabled, status, size, \
         actual_size, md5, sha256, url, media_type, guest_os_type, platform, architecture, \
         format, system, virtio, storage_uuid, created_ms, last_op_ms, deleted_ms, inspection) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, \
         $18, $19, $20, $21, $22, $23) "
    };
}

macro_rules! tag_columns {
    () => {
        "t.uuid, t.account_uuid, t.resource_uuid, t.resource_type, t.kind, t.tag, t.created_ms"
    };
}

pub(super) const JOB_SELECT: &str = concat!("SELECT ", job_columns!(), " FROM long_job j WHERE ");
pub(super) const JOB_COUNT: &str = "SELECT COUNT(*) AS n FROM long_job j WHERE ";
pub(super) const IMAGE_SELECT: &str = concat!("SELECT ", image_columns!(), " FROM image i WHERE ");
pub(super) const IMAGE_COUNT: &str = "SELECT COUNT(*) AS n FROM image i WHERE ";
/// Exact, and a few rows to read instead of every job; migration 0004 says how it is kept.
pub(super) const JOB_TALLY: &str = "SELECT CAST(COALESCE(SUM(j.n), 0) AS BIGINT) AS n \
     FROM (SELECT account_uuid, state, n FROM tally WHERE kind = 'job') j WHERE ";
pub(super) const IMAGE_TALLY: &str = "SELECT CAST(COALESCE(SUM(i.n), 0) AS BIGINT) AS n \
     FROM (SELECT account_uuid, state AS status, n FROM tally WHERE kind = 'image') i WHERE ";

/// Room and address are not in rows: they are bound first, as `$1` to `$3`. The address takes the collation of a column, so that it
/// compares as all text does.
macro_rules! storage_row {
    () => {
        " FROM (SELECT s.uuid, s.name, s.created_ms, \
         CASE WHEN s.id = 1 THEN CAST($1 AS TEXT) ELSE s.name END AS url, \
         CAST($2 AS BIGINT) AS total_bytes, CAST($3 AS BIGINT) AS free_bytes \
         FROM storage s WHERE s.id = 1) b WHERE "
    };
}

pub(super) const STORAGE_SELECT: &str =
    concat!("SELECT b.uuid, b.name, b.created_ms", storage_row!());
pub(super) const STORAGE_COUNT: &str = concat!("SELECT COUNT(*) AS n", storage_row!());

// Turns: whoever counts what an account has, or ends all of its sessions, takes its turn first, until the end of the transaction.

pub(super) const TURN_TAKE: &str = "INSERT INTO account_turn (account_uuid, turns) VALUES ($1, 1) \
     ON CONFLICT (account_uuid) DO UPDATE SET turns = account_turn.turns + 1";

// Jobs.

/// Jobs that are not final, and partial uploads that are no part of one of them yet.
pub(super) const OPEN_UPLOADS_COUNT: &str = "SELECT (SELECT COUNT(*) FROM long_job \
     WHERE account_uuid = $1 AND finished_ms IS NULL) + (SELECT COUNT(*) FROM upload \
     WHERE account_uuid = $1 AND kind = 'partial' AND fate = 'open' AND taken_by IS NULL) AS n";
pub(super) const JOB_INSERT: &str = "INSERT INTO long_job (uuid, account_uuid, name, description, \
     api_id, job_name, job_data, state, suspend_reason, generation, stage, stage_percent, \
     waits_for, result_kind, result_detail, result_cause, image_uuid, upload_uuid, node_uuid, \
     created_ms, last_op_ms, finished_ms, state_cause) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, \
     $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23) \
     ON CONFLICT DO NOTHING";
pub(super) const UPLOAD_INSERT: &str = "INSERT INTO upload (uuid, job_uuid, image_uuid, \
     account_uuid, image_id, completion, declared_length, expected_md5, expected_sha256, \
     offset_cached, stored_cached, fate, url_generation, owner_node, owner_epoch, \
     lease_until_ms, created_ms, last_byte_ms, client_metadata, kind, parts) VALUES ($1, $2, $3, \
     $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21) \
     ON CONFLICT DO NOTHING";
/// One upload has a part: whoever comes second takes nothing.
pub(super) const PART_TAKE: &str = "UPDATE upload SET taken_by = $2 WHERE uuid = $1 \
     AND account_uuid = $3 AND kind = 'partial' AND fate = 'open' AND taken_by IS NULL";
/// `$3`: whether it is to end also where it is a part of an upload.
pub(super) const PARTIAL_END: &str = "UPDATE upload SET fate = $2 WHERE uuid = $1 \
     AND kind = 'partial' AND fate = 'open' AND (taken_by IS NULL OR CAST($3 AS BOOLEAN))";
pub(super) const PARTIALS: &str = concat!(
    "SELECT ",
    upload_columns!(),
    " FROM upload u WHERE u.kind = 'partial' AND u.fate = 'open' AND u.uuid > $1 \
     ORDER BY u.uuid LIMIT $2"
);
/// Leases of open ones are renewed, so that this says when it ended, more or less.
pub(super) const PARTIALS_FORGET: &str = "DELETE FROM upload WHERE kind = 'partial' \
     AND fate <> 'open' AND lease_until_ms < $1";
pub(super) const IMAGE_INSERT: &str = concat!(image_insert!(), "ON CONFLICT DO NOTHING");
pub(super) const IMAGE_REPLACE: &str = concat!(
    image_insert!(),
    "ON CONFLICT (uuid) DO UPDATE SET account_uuid = excluded.account_uuid, \
     name = excluded.name, description = excluded.description, enabled = excluded.enabled, \
     status = excluded.status, size = excluded.size, actual_size = excluded.actual_size, \
     md5 = excluded.md5, sha256 = excluded.sha256, url = excluded.url, \
     media_type = excluded.media_type, guest_os_type = excluded.guest_os_type, \
     platform = excluded.platform, architecture = excluded.architecture, \
     format = excluded.format, system = excluded.system, virtio = excluded.virtio, \
     storage_uuid = excluded.storage_uuid, created_ms = excluded.created_ms, \
     last_op_ms = excluded.last_op_ms, deleted_ms = excluded.deleted_ms, \
     inspection = excluded.inspection"
);
/// Of a job, in order.
pub(super) const TAGS_OF_JOB: &str = "SELECT kind, tag FROM tag \
     WHERE resource_uuid = $1 AND resource_type = 'LongJobVO' ORDER BY kind, position";

pub(super) const JOB_BY_UUID: &str = concat!(
    "SELECT ",
    job_columns!(),
    " FROM long_job j WHERE j.uuid = $1 AND (CAST($2 AS TEXT) IS NULL OR j.account_uuid = $2)"
);
/// The compare-and-swap. Everything that follows from a move hangs on this one row: whoever gets it moves the rest. The history gets its
/// row from a trigger (migration 0008), here as with every other statement that changes a state. The cause is that of the state:
/// another stage leaves it.
pub(super) const JOB_MOVE: &str = "UPDATE long_job SET generation = generation + 1, state = $3, \
     suspend_reason = $4, stage = $5, stage_percent = $6, waits_for = $7, \
     result_kind = COALESCE(CAST($8 AS TEXT), result_kind), \
     result_detail = CASE WHEN CAST($8 AS TEXT) IS NULL THEN result_detail ELSE $9 END, \
     result_cause = CASE WHEN CAST($8 AS TEXT) IS NULL THEN result_cause ELSE $10 END, \
     node_uuid = COALESCE(CAST($11 AS TEXT), node_uuid), last_op_ms = $12, finished_ms = $13, \
     state_cause = CASE WHEN state = $3 \
     AND COALESCE(suspend_reason, '') = COALESCE(CAST($4 AS TEXT), '') \
     THEN state_cause ELSE $14 END \
     WHERE uuid = $1 AND generation = $2 \
     RETURNING uuid, generation, image_uuid, upload_uuid, api_id";
/// A new run takes the place of one that is over: never of one that is not.
pub(super) const JOB_RUN_AGAIN: &str = "UPDATE long_job SET generation = generation + 1, \
     name = $3, description = $4, api_id = $5, job_data = $6, state = $7, suspend_reason = $8, \
     stage = $9, stage_percent = $10, waits_for = $11, result_kind = $12, result_detail = $13, \
     result_cause = $14, image_uuid = $15, upload_uuid = $16, node_uuid = $17, created_ms = $18, \
     last_op_ms = $19, finished_ms = $20, state_cause = $21 \
     WHERE uuid = $1 AND generation = $2 AND finished_ms IS NOT NULL RETURNING uuid, generation";
pub(super) const JOB_EXISTS: &str = "SELECT COUNT(*) AS n FROM long_job WHERE uuid = $1";
pub(super) const JOB_RENAME: &str = "UPDATE long_job SET \
     name = COALESCE(CAST($3 AS TEXT), name), \
     description = COALESCE(CAST($4 AS TEXT), description), last_op_ms = $5 \
     WHERE uuid = $1 AND (CAST($2 AS TEXT) IS NULL OR account_uuid = $2)";
/// Uploads go with it by their foreign key.
pub(super) const JOB_DELETE: &str = "DELETE FROM long_job WHERE uuid = $1 \
     AND (CAST($2 AS TEXT) IS NULL OR account_uuid = $2) AND finished_ms IS NOT NULL \
     RETURNING uuid, api_id";
pub(super) const JOBS_LIVE_OF: &str = concat!(
    "SELECT ",
    job_columns!(),
    ", ",
    upload_columns!(),
    " FROM upload u JOIN long_job j ON j.upload_uuid = u.uuid \
     WHERE u.image_id = $1 AND (CAST($2 AS TEXT) IS NULL OR j.account_uuid = $2) \
     AND j.finished_ms IS NULL \
     ORDER BY u.offset_cached DESC, j.created_ms DESC, j.uuid LIMIT $3"
);
/// What a job says of itself that has no row in its history.
pub(super) const JOB_STATE: &str = "SELECT j.uuid AS job_uuid, j.state, j.suspend_reason, \
     j.created_ms, COALESCE(j.finished_ms, j.last_op_ms) AS at_ms, j.state_cause AS cause \
     FROM long_job j WHERE j.uuid = $1 AND (CAST($2 AS TEXT) IS NULL OR j.account_uuid = $2)";
/// Migration 0008 bounds it.
pub(super) const JOB_HISTORY: &str = "SELECT h.job_uuid, h.at_ms, h.state, h.suspend_reason, \
     h.cause FROM job_history h WHERE h.job_uuid = $1 ORDER BY h.number";
pub(super) const JOBS_NEWEST: &str = "SELECT COALESCE(MAX(last_op_ms), 0) AS n FROM long_job";
pub(super) const IMAGES_NEWEST: &str = "SELECT COALESCE(MAX(last_op_ms), 0) AS n FROM image";
pub(super) const JOBS_UNFINISHED: &str = concat!(
    "SELECT ",
    job_columns!(),
    ", ",
    upload_columns!(),
    " FROM long_job j JOIN upload u ON u.uuid = j.upload_uuid \
     WHERE j.finished_ms IS NULL AND j.uuid > $1 ORDER BY j.uuid LIMIT $2"
);
/// Only jobs whose upload was taken over a moment ago in the same transaction: [`LEASES_TAKE`] left that end of the lease there.
pub(super) const JOBS_TAKE: &str = "UPDATE long_job SET generation = generation + 1, \
     state = $7, suspend_reason = $8, waits_for = $9, result_kind = 'error', \
     result_detail = REPLACE($10, $11, uuid), result_cause = $12, node_uuid = $1, \
     last_op_ms = $13, state_cause = $12 WHERE finished_ms IS NULL AND uuid > $3 AND uuid <= $4 AND state = $5 \
     AND COALESCE(suspend_reason, '') = COALESCE(CAST($6 AS TEXT), '') \
     AND EXISTS (SELECT 1 FROM upload u WHERE u.uuid = long_job.upload_uuid \
     AND u.owner_node = $1 AND u.lease_until_ms = $2) RETURNING uuid";

// Uploads.

pub(super) const UPLOAD_BY_UUID: &str =
    concat!("SELECT ", upload_columns!(), " FROM upload u WHERE u.uuid = $1");
pub(super) const UPLOAD_OF_IMAGE: &str = concat!(
    "SELECT ",
    upload_columns!(),
    " FROM upload u LEFT JOIN long_job j ON j.upload_uuid = u.uuid WHERE u.image_uuid = $1 \
     ORDER BY CASE WHEN u.fate IN ('open', 'published') THEN 0 ELSE 1 END, u.created_ms DESC, \
     CASE WHEN j.uuid IS NULL THEN 1 ELSE 0 END, u.uuid LIMIT 1"
);
/// Followed by a list of placeholders and [`UPLOADS_OF_IMAGES_ORDER`].
pub(super) const UPLOADS_OF_IMAGES: &str = concat!(
    "SELECT ",
    upload_columns!(),
    " FROM upload u LEFT JOIN long_job j ON j.upload_uuid = u.uuid WHERE u.image_uuid IN ("
);
/// The newest of each image first, in the order of [`UPLOAD_OF_IMAGE`].
pub(super) const UPLOADS_OF_IMAGES_ORDER: &str = ") ORDER BY u.image_uuid, \
     CASE WHEN u.fate IN ('open', 'published') THEN 0 ELSE 1 END, u.created_ms DESC, \
     CASE WHEN j.uuid IS NULL THEN 1 ELSE 0 END, u.uuid";
/// The job first: a move takes its locks in the same order.
pub(super) const TOUCH_JOB: &str = "UPDATE long_job SET stage_percent = $3 \
     WHERE upload_uuid = $1 AND stage IN ('receiving', 'joining') AND finished_ms IS NULL \
     AND EXISTS (SELECT 1 FROM upload WHERE upload.uuid = $1 AND upload.owner_epoch <= $2) \
     RETURNING uuid, api_id";
/// A touch that was overtaken by a later one does not take listings back. Ten minutes later is no later touch: the clock was set
/// back, and what it showed before must not be kept until it shows that again.
pub(super) const TOUCH_UPLOAD: &str = "UPDATE upload SET \
     offset_cached = CASE WHEN offset_cached > $3 THEN offset_cached ELSE $3 END, \
     stored_cached = $4, \
     last_byte_ms = CASE WHEN last_byte_ms > $5 AND last_byte_ms - $5 < 600000 \
     THEN last_byte_ms ELSE $5 END \
     WHERE uuid = $1 AND owner_epoch <= $2";
pub(super) const UPLOAD_LENGTH: &str = "UPDATE upload SET declared_length = $2 WHERE uuid = $1";
pub(super) const UPLOAD_FATE: &str = "UPDATE upload SET fate = $2 WHERE uuid = $1";
/// The end of an earlier run. One whose image is another than that of the new run stays what it is.
pub(super) const UPLOAD_SUPERSEDE: &str = "UPDATE upload SET fate = 'discarded' WHERE uuid = $1 \
     AND (fate = 'open' OR (fate = 'published' AND image_uuid = $2))";
/// With its image an upload is gone as well: its URL must not say that the bytes are stored, nor speak of a later image.
pub(super) const UPLOADS_OF_IMAGE_END: &str =
    "UPDATE upload SET fate = 'discarded' WHERE image_uuid = $1 AND fate = 'published'";
pub(super) const UPLOAD_URL_RAISE: &str = "UPDATE upload SET url_generation = url_generation + 1 \
     WHERE uuid = $1 RETURNING uuid, url_generation";
pub(super) const UPLOAD_LEASE: &str = "UPDATE upload SET owner_node = $2, lease_until_ms = $4, \
     owner_epoch = CASE WHEN owner_node = $2 AND lease_until_ms > $3 \
     THEN owner_epoch ELSE owner_epoch + 1 END \
     WHERE uuid = $1 AND (owner_node IS NULL OR owner_node = $2 OR lease_until_ms <= $3) \
     RETURNING uuid, owner_epoch";
/// [`UPLOAD_LEASE`] for a range of jobs.
pub(super) const LEASES_TAKE: &str = "UPDATE upload SET owner_node = $1, lease_until_ms = $3, \
     owner_epoch = CASE WHEN owner_node = $1 AND lease_until_ms > $2 \
     THEN owner_epoch ELSE owner_epoch + 1 END \
     WHERE uuid IN (SELECT j.upload_uuid FROM long_job j \
     WHERE j.finished_ms IS NULL AND j.uuid > $4 AND j.uuid <= $5) \
     AND (owner_node IS NULL OR owner_node = $1 OR lease_until_ms <= $2) \
     RETURNING uuid, owner_epoch";
pub(super) const UPLOAD_EXISTS: &str = "SELECT COUNT(*) AS n FROM upload WHERE uuid = $1";
pub(super) const LEASES_RENEW: &str =
    "UPDATE upload SET lease_until_ms = $2 WHERE owner_node = $1 AND fate = 'open'";
/// Followed by a list of placeholders and `)`.
pub(super) const UPLOADS_KNOWN: &str = "SELECT uuid FROM upload WHERE fate = 'open' AND uuid IN (";

// Images.

pub(super) const IMAGE_BY_UUID: &str = concat!(
    "SELECT ",
    image_columns!(),
    " FROM image i WHERE i.uuid = $1 AND (CAST($2 AS TEXT) IS NULL OR i.account_uuid = $2)"
);
pub(super) const IMAGE_MARK_DELETED: &str = "UPDATE image SET status = 'Deleted', \
     deleted_ms = $3, last_op_ms = $3 WHERE uuid = $1 AND status = 'Ready' \
     AND (CAST($2 AS TEXT) IS NULL OR account_uuid = $2)";
pub(super) const IMAGE_DELETE: &str = "DELETE FROM image WHERE uuid = $1";
/// Recovered or made anew since somebody saw it Deleted: it stays.
pub(super) const IMAGE_EXPUNGE: &str = "DELETE FROM image WHERE uuid = $1 AND status = 'Deleted'";
pub(super) const IMAGE_RECOVER: &str = "UPDATE image SET status = 'Ready', \
     deleted_ms = NULL, last_op_ms = $2 WHERE uuid = $1 AND status = 'Deleted'";
pub(super) const IMAGES_DELETED: &str = concat!(
    "SELECT ",
    image_columns!(),
    " FROM image i WHERE i.status = 'Deleted' AND i.deleted_ms < $1 AND i.deleted_ms >= $2 \
     AND (i.deleted_ms > $2 OR i.uuid > $3) ORDER BY i.deleted_ms, i.uuid LIMIT $4"
);
/// The one that was not read again for longest first; and one that was read while a clock was ahead ($5 is now), which would not be
/// looked at for years.
pub(super) const IMAGES_TO_CHECK: &str = concat!(
    "SELECT ",
    image_columns!(),
    ", i.checked_ms FROM image i WHERE i.status = 'Ready' AND (i.checked_ms < $1 OR i.checked_ms > $5) \
     AND i.checked_ms >= $2 AND (i.checked_ms > $2 OR i.uuid > $3) \
     ORDER BY i.checked_ms, i.uuid LIMIT $4"
);
pub(super) const IMAGES_READY: &str = concat!(
    "SELECT ",
    image_columns!(),
    " FROM image i WHERE i.status = 'Ready' AND i.uuid > $1 ORDER BY i.uuid LIMIT $2"
);
/// Followed by a list of placeholders and `)`.
pub(super) const IMAGES_LISTED: &str =
    concat!("SELECT ", image_columns!(), " FROM image i WHERE i.uuid IN (");
// Tags.

pub(super) const TAG_SELECT: &str = concat!("SELECT ", tag_columns!(), " FROM tag t WHERE ");
pub(super) const TAG_COUNT: &str = "SELECT COUNT(*) AS n FROM tag t WHERE ";
/// Followed by a list of rows of placeholders.
pub(super) const TAGS_INSERT: &str = "INSERT INTO tag (uuid, account_uuid, resource_uuid, \
     resource_type, kind, tag, created_ms, position) VALUES ";
/// After the last one of its kind. Whoever runs it has locked the resource.
pub(super) const TAG_APPEND: &str = "INSERT INTO tag (uuid, account_uuid, resource_uuid, \
     resource_type, kind, tag, created_ms, position) \
     SELECT $1, $2, $3, $4, $5, $6, $7, COALESCE(MAX(position) + 1, 0) FROM tag \
     WHERE resource_uuid = $3 AND resource_type = $4 AND kind = $5";
pub(super) const TAG_BY_UUID: &str = concat!(
    "SELECT ",
    tag_columns!(),
    " FROM tag t WHERE t.uuid = $1 AND (CAST($2 AS TEXT) IS NULL OR t.account_uuid = $2)"
);
pub(super) const TAGS_SAME: &str = concat!(
    "SELECT ",
    tag_columns!(),
    " FROM tag t WHERE t.resource_uuid = $1 AND t.resource_type = $2 AND t.kind = $3 \
     AND t.tag = $4 ORDER BY t.position"
);
pub(super) const TAGS_COUNT: &str = "SELECT COUNT(*) AS n FROM tag \
     WHERE resource_uuid = $1 AND resource_type = $2 AND kind = $3";
pub(super) const TAG_DELETE: &str = "DELETE FROM tag WHERE uuid = $1";
pub(super) const TAGS_DELETE: &str =
    "DELETE FROM tag WHERE resource_uuid = $1 AND resource_type = $2";
/// Followed by a list of placeholders and [`TAGS_ORDER`].
pub(super) const TAGS_SELECT: &str = "SELECT resource_uuid, tag FROM tag WHERE kind = 'system' \
     AND (resource_type = 'ImageVO' \
     OR NOT EXISTS (SELECT 1 FROM image i WHERE i.uuid = tag.resource_uuid)) \
     AND resource_uuid IN (";
pub(super) const TAGS_ORDER: &str = ") ORDER BY resource_uuid, position";

/// Changes nothing and keeps everybody else from changing it until the transaction ends.
pub(super) const JOB_LOCK: &str = "UPDATE long_job SET last_op_ms = last_op_ms \
     WHERE uuid = $1 AND (CAST($2 AS TEXT) IS NULL OR account_uuid = $2)";
pub(super) const IMAGE_LOCK: &str = "UPDATE image SET last_op_ms = last_op_ms \
     WHERE uuid = $1 AND (CAST($2 AS TEXT) IS NULL OR account_uuid = $2) \
     RETURNING uuid, account_uuid";
pub(super) const JOB_AND_UPLOAD: &str = concat!(
    "SELECT ",
    job_columns!(),
    ", ",
    upload_columns!(),
    " FROM long_job j JOIN upload u ON u.uuid = j.upload_uuid WHERE j.uuid = $1"
);
pub(super) const UPLOAD_STEER: &str = "UPDATE upload SET image_id = $2, expected_md5 = $3, \
     expected_sha256 = $4, declared_length = COALESCE(declared_length, $5) WHERE uuid = $1";

// Accounts, sessions, access keys.

macro_rules! account_columns {
    () => {
        "a.uuid, a.name, a.password_hash, a.admin, a.enabled, a.description, a.created_ms, \
         COALESCE(a.last_op_ms, a.created_ms) AS last_op_ms"
    };
}

pub(super) const ACCOUNT_INSERT: &str = "INSERT INTO account (uuid, name, password_hash, admin, \
     enabled, description, created_ms, last_op_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
     ON CONFLICT DO NOTHING";
pub(super) const ACCOUNT_BY_NAME: &str =
    concat!("SELECT ", account_columns!(), " FROM account a WHERE a.name = $1");
pub(super) const ACCOUNT_BY_UUID: &str =
    concat!("SELECT ", account_columns!(), " FROM account a WHERE a.uuid = $1");
pub(super) const ACCOUNTS: &str = concat!(
    "SELECT ",
    account_columns!(),
    " FROM account a WHERE CAST($1 AS TEXT) IS NULL OR a.uuid > $1 ORDER BY a.uuid LIMIT $2"
);
pub(super) const ACCOUNT_CHANGE: &str = "UPDATE account SET \
     password_hash = COALESCE(CAST($2 AS TEXT), password_hash), \
     description = COALESCE(CAST($3 AS TEXT), description), last_op_ms = $4 WHERE uuid = $1 \
     AND (CAST($5 AS TEXT) IS NULL OR password_hash = $5)";
pub(super) const ACCOUNT_ENABLE: &str =
    "UPDATE account SET enabled = $2, last_op_ms = $3 WHERE uuid = $1";
pub(super) const SESSIONS_COUNT: &str =
    "SELECT COUNT(*) AS n FROM session WHERE account_uuid = $1 AND expires_ms > $2";
pub(super) const SESSION_INSERT: &str = "INSERT INTO session \
     (token_sha256, account_uuid, created_ms, expires_ms) VALUES ($1, $2, $3, $4)";
pub(super) const SESSION_BY_TOKEN: &str = concat!(
    "SELECT s.token_sha256, s.created_ms AS s_created_ms, s.expires_ms AS s_expires_ms, ",
    account_columns!(),
    " FROM session s JOIN account a ON a.uuid = s.account_uuid \
     WHERE s.token_sha256 = $1 AND s.expires_ms > $2 AND a.enabled"
);
/// A session that has ended meanwhile stays ended.
pub(super) const SESSION_RENEW: &str =
    "UPDATE session SET expires_ms = $2 WHERE token_sha256 = $1 AND expires_ms > $3";
pub(super) const SESSION_CLOSE: &str =
    "DELETE FROM session WHERE token_sha256 = $1 OR expires_ms <= $2";
pub(super) const SESSIONS_PURGE: &str = "DELETE FROM session WHERE expires_ms <= $1";
pub(super) const SESSIONS_CLOSE_BUT: &str = "DELETE FROM session WHERE account_uuid = $1 \
     AND (CAST($2 AS TEXT) IS NULL OR token_sha256 <> $2)";
pub(super) const ACCESS_KEYS_COUNT: &str =
    "SELECT COUNT(*) AS n FROM access_key WHERE account_uuid = $1";
pub(super) const ACCESS_KEY_INSERT: &str = "INSERT INTO access_key \
     (id, account_uuid, sealed_secret, created_ms) VALUES ($1, $2, $3, $4)";
pub(super) const ACCESS_KEY_BY_ID: &str = concat!(
    "SELECT k.id, k.account_uuid, k.sealed_secret, k.created_ms AS k_created_ms, ",
    account_columns!(),
    " FROM access_key k JOIN account a ON a.uuid = k.account_uuid WHERE k.id = $1 AND a.enabled"
);
pub(super) const ACCESS_KEYS: &str = "SELECT k.id, k.account_uuid, k.sealed_secret, \
     k.created_ms AS k_created_ms FROM access_key k \
     WHERE (CAST($1 AS TEXT) IS NULL OR k.account_uuid = $1) \
     AND (CAST($2 AS TEXT) IS NULL OR k.id > $2) ORDER BY k.id LIMIT $3";
pub(super) const ACCESS_KEY_DELETE: &str = "DELETE FROM access_key WHERE id = $1";

// Calls and their progress.

pub(super) const API_JOB_BEGIN: &str =
    "INSERT INTO api_job (id, began_ms) VALUES ($1, $2) ON CONFLICT DO NOTHING";
pub(super) const API_JOB_FINISH: &str = "INSERT INTO api_job \
     (id, success, body, began_ms, ended_ms) VALUES ($1, $2, $3, $4, $4) \
     ON CONFLICT (id) DO UPDATE SET success = excluded.success, body = excluded.body, \
     ended_ms = excluded.ended_ms";
pub(super) const API_JOB_BY_ID: &str =
    "SELECT id, success, body, ended_ms FROM api_job WHERE id = $1";
/// A call that began so long ago and never ended was cut off by a restart: nobody will end it.
pub(super) const API_JOBS_PRUNE: &str =
    "DELETE FROM api_job WHERE COALESCE(ended_ms, began_ms) < $1";
/// A report that comes after the end of its job, or after a newer one, changes nothing. Newer as in [`TOUCH_UPLOAD`].
pub(super) const PROGRESS_SAVE: &str = "INSERT INTO progress (api_id, task_name, percent, time_ms) \
     SELECT $1, $2, $3, $4 WHERE NOT EXISTS (SELECT 1 FROM long_job \
     WHERE long_job.api_id = $1 AND long_job.finished_ms IS NOT NULL) \
     ON CONFLICT (api_id) DO UPDATE SET task_name = excluded.task_name, \
     percent = excluded.percent, time_ms = excluded.time_ms \
     WHERE excluded.time_ms >= progress.time_ms OR progress.time_ms - excluded.time_ms >= 600000";
pub(super) const PROGRESS_BY_ID: &str =
    "SELECT api_id, task_name, percent, time_ms FROM progress WHERE api_id = $1";
pub(super) const PROGRESS_DELETE: &str = "DELETE FROM progress WHERE api_id = $1";

// The service itself.

pub(super) const STORAGE_INSERT: &str = "INSERT INTO storage (id, uuid, name, created_ms) \
     VALUES (1, $1, $2, $3) ON CONFLICT DO NOTHING";
pub(super) const STORAGE: &str = "SELECT uuid, name, created_ms FROM storage WHERE id = 1";
pub(super) const SETTING_INSERT: &str =
    "INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING";
pub(super) const SETTING: &str = "SELECT name, value FROM setting WHERE name = $1";
pub(super) const PING_WRITE: &str = "INSERT INTO ping (id, times) VALUES (1, 1) \
     ON CONFLICT (id) DO UPDATE SET times = ping.times + 1";
pub(super) const PING_READ: &str = "SELECT times AS n FROM ping WHERE id = 1";
