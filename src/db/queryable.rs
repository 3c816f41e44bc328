//! What each kind of record may be asked for: the fields of its inventory, and where they are in rows. Nothing else becomes part of
//! a statement.

use super::{schedule::texts, statements as st};

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text, compared byte by byte.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Flag,
    /// Epoch milliseconds; compared as a time.
    Time,
}

/// A field of an inventory.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
    pub(super) kind: Kind,
}

/// What one kind of record may be asked for.
#[derive(Debug)]
pub(super) struct Queryable {
    pub(super) fields: &'static [Field],
    pub(super) select: &'static str,
    pub(super) count: &'static str,
    /// Where totals are counted ahead.
    pub(super) tally: Option<Tally>,
    pub(super) uuid: &'static str,
    /// `None` for what everybody may see.
    pub(super) account: Option<&'static str>,
    pub(super) created: &'static str,
    /// What all of them have in common.
    pub(super) only: &'static str,
    /// The type under which their tags are; `None` for what has none.
    pub(super) tags: Option<&'static str>,
}

/// A total as a sum over a few rows (migration 0004), where conditions name no other field than this one.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) by: &'static str,
    pub(super) select: &'static str,
}

const fn text(name: &'static str, sql: &'static str) -> Field {
    Field { name, sql, kind: Kind::Text }
}

const fn number(name: &'static str, sql: &'static str) -> Field {
    Field { name, sql, kind: Kind::Number }
}

const fn flag(name: &'static str, sql: &'static str) -> Field {
    Field { name, sql, kind: Kind::Flag }
}

const fn time(name: &'static str, sql: &'static str) -> Field {
    Field { name, sql, kind: Kind::Time }
}

/// LongJobInventory, with a few fields of ours.
pub(super) const JOBS: Queryable = Queryable {
    fields: &[
        text("uuid", "j.uuid"),
        text("name", "j.name"),
        text("description", "j.description"),
        text("apiId", "j.api_id"),
        text("jobName", "j.job_name"),
        text("jobData", "j.job_data"),
        // Rendered when it is read; in rows an error has its words, and any other result its kind.
        text("jobResult", "COALESCE(j.result_detail, j.result_kind)"),
        text("state", "j.state"),
        text("targetResourceUuid", "j.image_uuid"),
        text("managementNodeUuid", "j.node_uuid"),
        time("createDate", "j.created_ms"),
        time("lastOpDate", "j.last_op_ms"),
        number(
            "executeTime",
            "CASE WHEN (j.finished_ms - j.created_ms) / 1000 < 1 THEN 1 \
             ELSE (j.finished_ms - j.created_ms) / 1000 END",
        ),
        text("accountUuid", "j.account_uuid"),
        text("suspendReason", "j.suspend_reason"),
        text("stage", "j.stage"),
        number("stagePercent", "j.stage_percent"),
        text("waitsFor", "j.waits_for"),
    ],
    select: st::JOB_SELECT,
    count: st::JOB_COUNT,
    tally: Some(Tally { by: "state", select: st::JOB_TALLY }),
    uuid: "j.uuid",
    account: Some("j.account_uuid"),
    created: "j.created_ms",
    only: "1 = 1",
    tags: Some("LongJobVO"),
};

/// ImageInventory, with a few fields of ours.
pub(super) const IMAGES: Queryable = Queryable {
    fields: &[
        text("uuid", "i.uuid"),
        text("name", "i.name"),
        text("description", "i.description"),
        text("state", "CASE WHEN i.enabled THEN 'Enabled' ELSE 'Disabled' END"),
        text("status", "i.status"),
        number("size", "i.size"),
        number("actualSize", "i.actual_size"),
        text("md5Sum", "i.md5"),
        text("sha256Sum", "i.sha256"),
        text("url", "i.url"),
        text("mediaType", "i.media_type"),
        text("guestOsType", "i.guest_os_type"),
        // Not a plain constant: PostgreSQL does not sort by one.
        text("type", "CASE WHEN i.enabled THEN 'zstack' ELSE 'zstack' END"),
        text("platform", "i.platform"),
        text("architecture", "i.architecture"),
        text("format", "i.format"),
        flag("system", "CASE WHEN i.system THEN 1 ELSE 0 END"),
        flag("virtio", "CASE WHEN i.virtio THEN 1 ELSE 0 END"),
        time("createDate", "i.created_ms"),
        time("lastOpDate", "i.last_op_ms"),
        text("accountUuid", "i.account_uuid"),
        text("backupStorageRefs.imageUuid", "i.uuid"),
        text("backupStorageRefs.backupStorageUuid", "i.storage_uuid"),
        // As `ImageRecord::install_path` has it. An upload URL is a secret and in no row.
        text(
            "backupStorageRefs.installPath",
            "CASE WHEN i.status = 'Downloading' THEN NULL ELSE 'longshore://images/' || i.uuid END",
        ),
        text("backupStorageRefs.status", "i.status"),
        text("backupStorageRefs.exportUrl", "NULLIF(i.uuid, i.uuid)"),
        text("backupStorageRefs.exportMd5Sum", "NULLIF(i.uuid, i.uuid)"),
        time("backupStorageRefs.createDate", "i.created_ms"),
        time("backupStorageRefs.lastOpDate", "i.last_op_ms"),
        text("backupStorage.uuid", "i.storage_uuid"),
        text("backupStorage.name", "(SELECT s.name FROM storage s WHERE s.uuid = i.storage_uuid)"),
        text(
            "backupStorage.type",
            "CASE WHEN i.enabled THEN 'ImageStoreBackupStorage' ELSE 'ImageStoreBackupStorage' END",
        ),
        text("backupStorage.state", "CASE WHEN i.enabled THEN 'Enabled' ELSE 'Enabled' END"),
        text("backupStorage.status", "CASE WHEN i.enabled THEN 'Connected' ELSE 'Connected' END"),
        // The storage is attached to no zone.
        text("backupStorage.zone.uuid", "NULLIF(i.uuid, i.uuid)"),
        text("backupStorage.zone.name", "NULLIF(i.uuid, i.uuid)"),
    ],
    select: st::IMAGE_SELECT,
    count: st::IMAGE_COUNT,
    tally: Some(Tally { by: "status", select: st::IMAGE_TALLY }),
    uuid: "i.uuid",
    account: Some("i.account_uuid"),
    created: "i.created_ms",
    only: "1 = 1",
    tags: Some("ImageVO"),
};

/// BackupStorageInventory: one row.
pub(super) const STORAGES: Queryable = Queryable {
    fields: &[
        text("uuid", "b.uuid"),
        text("name", "b.name"),
        text("description", "NULLIF(b.uuid, b.uuid)"),
        text("url", "b.url"),
        number("totalCapacity", "b.total_bytes"),
        number("availableCapacity", "b.free_bytes"),
        text("type", "CASE WHEN b.total_bytes < 0 THEN NULL ELSE 'ImageStoreBackupStorage' END"),
        text("state", "CASE WHEN b.total_bytes < 0 THEN NULL ELSE 'Enabled' END"),
        text("status", "CASE WHEN b.total_bytes < 0 THEN NULL ELSE 'Connected' END"),
        time("createDate", "b.created_ms"),
        time("lastOpDate", "b.created_ms"),
        text("zone.uuid", "NULLIF(b.uuid, b.uuid)"),
        text("zone.name", "NULLIF(b.uuid, b.uuid)"),
    ],
    select: st::STORAGE_SELECT,
    count: st::STORAGE_COUNT,
    tally: None,
    uuid: "b.uuid",
    account: None,
    created: "b.created_ms",
    only: "1 = 1",
    // Nobody can give it one, so it meets what is met by having none.
    tags: Some("BackupStorageVO"),
};

const TAG_FIELDS: &[Field] = &[
    text("uuid", "t.uuid"),
    text("resourceUuid", "t.resource_uuid"),
    text("resourceType", "t.resource_type"),
    text("tag", "t.tag"),
    text("type", "CASE WHEN t.kind = 'system' THEN 'System' ELSE 'User' END"),
    time("createDate", "t.created_ms"),
    time("lastOpDate", "t.created_ms"),
    text("accountUuid", "t.account_uuid"),
];

/// SystemTagInventory.
pub(super) const SYSTEM_TAGS: Queryable = tags_of("t.kind = 'system'");
/// UserTagInventory.
pub(super) const USER_TAGS: Queryable = tags_of("t.kind = 'user'");

const fn tags_of(only: &'static str) -> Queryable {
    Queryable {
        fields: TAG_FIELDS,
        select: st::TAG_SELECT,
        count: st::TAG_COUNT,
        tally: None,
        uuid: "t.uuid",
        account: Some("t.account_uuid"),
        created: "t.created_ms",
        only,
        tags: None,
    }
}

/// SchedulerJobInventory, without its lists.
pub(super) const SCHEDULED_JOBS: Queryable = Queryable {
    fields: &[
        text("uuid", "s.uuid"),
        text("name", "s.name"),
        text("description", "s.description"),
        text("targetResourceUuid", "s.target_uuid"),
        text("state", "CASE WHEN s.enabled THEN 'Enabled' ELSE 'Disabled' END"),
        text("jobData", "s.parameters"),
        text("jobClassName", "s.job_type"),
        time("createDate", "s.created_ms"),
        time("lastOpDate", "s.last_op_ms"),
        text("accountUuid", "s.account_uuid"),
    ],
    select: texts::JOB_SELECT,
    count: texts::JOB_COUNT,
    tally: None,
    uuid: "s.uuid",
    account: Some("s.account_uuid"),
    created: "s.created_ms",
    only: "1 = 1",
    tags: None,
};

/// SchedulerTriggerInventory, without its lists.
pub(super) const TRIGGERS: Queryable = Queryable {
    fields: &[
        text("uuid", "r.uuid"),
        text("name", "r.name"),
        text("description", "r.description"),
        text("schedulerType", "r.kind"),
        text("cron", "r.cron"),
        number("schedulerInterval", "r.interval_secs"),
        number("repeatCount", "r.repeat_count"),
        time("startTime", "r.start_ms"),
        time("createDate", "r.created_ms"),
        time("lastOpDate", "r.last_op_ms"),
        text("accountUuid", "r.account_uuid"),
    ],
    select: texts::TRIGGER_SELECT,
    count: texts::TRIGGER_COUNT,
    tally: None,
    uuid: "r.uuid",
    account: Some("r.account_uuid"),
    created: "r.created_ms",
    only: "1 = 1",
    tags: None,
};

/// SchedulerJobGroupInventory, without its lists.
pub(super) const SCHEDULED_JOB_GROUPS: Queryable = Queryable {
    fields: &[
        text("uuid", "g.uuid"),
        text("name", "g.name"),
        text("description", "g.description"),
        text("jobType", "g.job_type"),
        text("state", "CASE WHEN g.enabled THEN 'Enabled' ELSE 'Disabled' END"),
        time("createDate", "g.created_ms"),
        time("lastOpDate", "g.last_op_ms"),
        text("accountUuid", "g.account_uuid"),
    ],
    select: texts::GROUP_SELECT,
    count: texts::GROUP_COUNT,
    tally: None,
    uuid: "g.uuid",
    account: Some("g.account_uuid"),
    created: "g.created_ms",
    only: "1 = 1",
    tags: None,
};

/// SchedulerJobHistoryInventory.
pub(super) const RUNS: Queryable = Queryable {
    fields: &[
        number("id", "h.id"),
        text("triggerUuid", "h.trigger_uuid"),
        text("schedulerJobUuid", "h.job_uuid"),
        text("schedulerJobGroupUuid", "h.group_uuid"),
        text("jobType", "h.job_type"),
        time("startTime", "h.started_ms"),
        // 0 where the clock was set back meanwhile, as `RunRecord::execute_secs` has it.
        number(
            "executeTime",
            "CASE WHEN h.ended_ms < h.started_ms THEN 0 ELSE (h.ended_ms - h.started_ms) / 1000 END",
        ),
        text("targetResourceUuid", "h.target_uuid"),
        text("requestDump", "h.request"),
        text("resultDump", "h.result"),
        flag("success", "CASE WHEN h.ended_ms IS NULL THEN NULL WHEN h.success THEN 1 ELSE 0 END"),
        text("fireInstanceId", "h.fire_uuid"),
        text("accountUuid", "h.account_uuid"),
        text("schedulerJob.name", "(SELECT s.name FROM scheduler_job s WHERE s.uuid = h.job_uuid)"),
        text(
            "trigger.name",
            "(SELECT r.name FROM scheduler_trigger r WHERE r.uuid = h.trigger_uuid)",
        ),
    ],
    select: texts::HISTORY_SELECT,
    count: texts::HISTORY_COUNT,
    tally: None,
    uuid: "h.id",
    account: Some("h.account_uuid"),
    created: "h.id",
    only: "1 = 1",
    tags: None,
};
