//! Statements of the scheduler. House rules as in `db::statements`.

macro_rules! job_columns {
    () => {
        "s.uuid, s.account_uuid, s.name, s.description, s.job_type, s.target_uuid, s.parameters, \
         s.enabled, s.created_ms, s.last_op_ms"
    };
}

macro_rules! trigger_columns {
    () => {
        "r.uuid, r.account_uuid, r.name, r.description, r.kind, r.start_ms, r.interval_secs, \
         r.repeat_count, r.cron, r.created_ms, r.last_op_ms"
    };
}

macro_rules! binding_columns {
    () => {
        "b.trigger_uuid, b.target_uuid, b.target_kind, b.anchor_ms, b.next_fire_ms, b.moved_ms, \
         b.generation"
    };
}

macro_rules! history_columns {
    () => {
        "h.id, h.account_uuid, h.trigger_uuid, h.job_uuid, h.group_uuid, h.job_type, h.target_uuid, \
         h.fire_ms, h.fire_uuid, h.request, h.result, h.success, h.node_uuid, h.started_ms, h.ended_ms"
    };
}

pub(in crate::db) const JOB_SELECT: &str =
    concat!("SELECT ", job_columns!(), " FROM scheduler_job s WHERE ");
pub(in crate::db) const JOB_COUNT: &str = "SELECT COUNT(*) AS n FROM scheduler_job s WHERE ";
pub(in crate::db) const TRIGGER_SELECT: &str =
    concat!("SELECT ", trigger_columns!(), " FROM scheduler_trigger r WHERE ");
pub(in crate::db) const TRIGGER_COUNT: &str =
    "SELECT COUNT(*) AS n FROM scheduler_trigger r WHERE ";
pub(in crate::db) const GROUP_SELECT: &str = "SELECT g.uuid, g.account_uuid, g.name, g.description, \
     g.job_type, g.enabled, g.created_ms, g.last_op_ms FROM scheduler_job_group g WHERE ";
pub(in crate::db) const GROUP_COUNT: &str =
    "SELECT COUNT(*) AS n FROM scheduler_job_group g WHERE ";
pub(in crate::db) const HISTORY_SELECT: &str =
    concat!("SELECT ", history_columns!(), " FROM scheduler_history h WHERE ");
pub(in crate::db) const HISTORY_COUNT: &str =
    "SELECT COUNT(*) AS n FROM scheduler_history h WHERE ";

pub(super) const JOB_BY_UUID: &str =
    concat!("SELECT ", job_columns!(), " FROM scheduler_job s WHERE s.uuid = $1");
pub(super) const JOBS_OF_GROUP: &str = concat!(
    "SELECT ",
    job_columns!(),
    " FROM scheduler_group_job m JOIN scheduler_job s ON s.uuid = m.job_uuid \
     WHERE m.group_uuid = $1 ORDER BY m.created_ms, s.uuid"
);
/// All of them: there are a thousand at the most.
pub(super) const BINDINGS: &str = concat!(
    "SELECT ",
    binding_columns!(),
    " FROM scheduler_binding b ORDER BY b.trigger_uuid, b.target_uuid"
);
pub(super) const MEMBERS: &str = "SELECT group_uuid, job_uuid, created_ms FROM scheduler_group_job \
     ORDER BY group_uuid, created_ms, job_uuid";
/// Not those of a job that is at work: each try would undo the writes of all others that share its transaction.
pub(in crate::db) const BINDINGS_DUE: &str = concat!(
    "SELECT ",
    binding_columns!(),
    ", ",
    trigger_columns!(),
    " FROM scheduler_binding b JOIN scheduler_trigger r ON r.uuid = b.trigger_uuid \
     WHERE b.next_fire_ms <= $1 AND NOT EXISTS (SELECT 1 FROM scheduler_job j \
     WHERE j.uuid = b.target_uuid AND j.running_id IS NOT NULL) \
     ORDER BY b.next_fire_ms, b.trigger_uuid, b.target_uuid LIMIT $2"
);

pub(super) const JOBS_ALL_COUNT: &str = "SELECT COUNT(*) AS n FROM scheduler_job";
pub(super) const TRIGGERS_ALL_COUNT: &str = "SELECT COUNT(*) AS n FROM scheduler_trigger";
pub(super) const GROUPS_ALL_COUNT: &str = "SELECT COUNT(*) AS n FROM scheduler_job_group";
pub(super) const BINDINGS_ALL_COUNT: &str = "SELECT COUNT(*) AS n FROM scheduler_binding";
pub(super) const MEMBERS_ALL_COUNT: &str = "SELECT COUNT(*) AS n FROM scheduler_group_job";

pub(super) const JOB_INSERT: &str = "INSERT INTO scheduler_job (uuid, account_uuid, name, \
     description, job_type, target_uuid, parameters, enabled, created_ms, last_op_ms) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING";
pub(super) const JOB_UPDATE: &str = "UPDATE scheduler_job SET name = $2, description = $3, \
     parameters = $4, last_op_ms = $5 WHERE uuid = $1";
pub(super) const JOB_SWITCH: &str =
    "UPDATE scheduler_job SET enabled = $2, last_op_ms = $3 WHERE uuid = $1";
pub(super) const JOB_DELETE: &str = "DELETE FROM scheduler_job WHERE uuid = $1";
pub(super) const TRIGGER_INSERT: &str = "INSERT INTO scheduler_trigger (uuid, account_uuid, name, \
     description, kind, start_ms, interval_secs, repeat_count, cron, created_ms, last_op_ms) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING";
pub(super) const TRIGGER_UPDATE: &str = "UPDATE scheduler_trigger SET name = $2, description = $3, \
     kind = $4, start_ms = $5, interval_secs = $6, repeat_count = $7, cron = $8, last_op_ms = $9 \
     WHERE uuid = $1";
pub(super) const TRIGGER_RENAME: &str = "UPDATE scheduler_trigger SET name = $2, description = $3, \
     last_op_ms = $4 WHERE uuid = $1";
/// Its bindings go with it by their foreign key; runs that it fired go on.
pub(super) const TRIGGER_DELETE: &str = "DELETE FROM scheduler_trigger WHERE uuid = $1";
pub(super) const GROUP_INSERT: &str = "INSERT INTO scheduler_job_group (uuid, account_uuid, name, \
     description, job_type, enabled, created_ms, last_op_ms) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";
pub(super) const GROUP_UPDATE: &str = "UPDATE scheduler_job_group SET name = $2, description = $3, \
     last_op_ms = $4 WHERE uuid = $1";
pub(super) const GROUP_SWITCH: &str =
    "UPDATE scheduler_job_group SET enabled = $2, last_op_ms = $3 WHERE uuid = $1";
pub(super) const GROUP_DELETE: &str = "DELETE FROM scheduler_job_group WHERE uuid = $1";
pub(super) const BINDINGS_OF_TARGET_DELETE: &str =
    "DELETE FROM scheduler_binding WHERE target_uuid = $1";
/// Only between a trigger and a target that are there.
pub(super) const BINDING_INSERT: &str = "INSERT INTO scheduler_binding (trigger_uuid, target_uuid, \
     target_kind, anchor_ms, next_fire_ms, moved_ms, generation) \
     SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS BIGINT), \
     CAST($5 AS BIGINT), CAST($6 AS BIGINT), 1 \
     WHERE EXISTS (SELECT 1 FROM scheduler_trigger WHERE uuid = $1) \
     AND (EXISTS (SELECT 1 FROM scheduler_job WHERE uuid = $2 AND CAST($3 AS TEXT) = 'job') \
     OR EXISTS (SELECT 1 FROM scheduler_job_group WHERE uuid = $2 AND CAST($3 AS TEXT) = 'group')) \
     ON CONFLICT DO NOTHING";
pub(super) const BINDING_EXISTS: &str =
    "SELECT COUNT(*) AS n FROM scheduler_binding WHERE trigger_uuid = $1 AND target_uuid = $2";
pub(super) const BINDING_DELETE: &str =
    "DELETE FROM scheduler_binding WHERE trigger_uuid = $1 AND target_uuid = $2";
/// The compare-and-swap by which a fire is taken, and by which a change of its trigger is told apart from a fire.
pub(in crate::db) const BINDING_MOVE: &str = "UPDATE scheduler_binding SET generation = generation + 1, \
     anchor_ms = $4, next_fire_ms = $5, moved_ms = $6 \
     WHERE trigger_uuid = $1 AND target_uuid = $2 AND generation = $3";
pub(super) const MEMBER_INSERT: &str = "INSERT INTO scheduler_group_job (group_uuid, job_uuid, \
     created_ms) SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS BIGINT) \
     WHERE EXISTS (SELECT 1 FROM scheduler_job_group WHERE uuid = $1) \
     AND EXISTS (SELECT 1 FROM scheduler_job WHERE uuid = $2) ON CONFLICT DO NOTHING";
pub(super) const MEMBER_EXISTS: &str =
    "SELECT COUNT(*) AS n FROM scheduler_group_job WHERE group_uuid = $1 AND job_uuid = $2";
pub(super) const MEMBER_DELETE: &str =
    "DELETE FROM scheduler_group_job WHERE group_uuid = $1 AND job_uuid = $2";
/// Whoever gets the row makes the defaults: once in the life of the records, also where several processes start at once.
pub(super) const DEFAULTS_ONCE: &str =
    "INSERT INTO setting (name, value) VALUES ('scheduler_defaults', '1') ON CONFLICT DO NOTHING";

// Runs.

pub(super) const NEXT_ID: &str = "INSERT INTO scheduler_sequence (id, last) VALUES (1, 1) \
     ON CONFLICT (id) DO UPDATE SET last = scheduler_sequence.last + 1 RETURNING last";
/// A job that is at work or disabled is not begun.
pub(in crate::db) const JOB_BEGIN: &str = "UPDATE scheduler_job SET running_id = $2 \
     WHERE uuid = $1 AND running_id IS NULL AND (enabled OR $3)";
pub(super) const HISTORY_INSERT: &str = "INSERT INTO scheduler_history (id, account_uuid, \
     trigger_uuid, job_uuid, group_uuid, job_type, target_uuid, fire_ms, fire_uuid, request, \
     node_uuid, lease_until_ms, started_ms) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
pub(in crate::db) const HISTORY_BEGINS: &str =
    "UPDATE scheduler_history SET started_ms = $2 WHERE id = $1 AND ended_ms IS NULL";
pub(in crate::db) const HISTORY_END: &str = "UPDATE scheduler_history SET ended_ms = $2, success = $3, \
     result = $4 WHERE id = $1 AND ended_ms IS NULL";
pub(super) const JOB_END: &str = "UPDATE scheduler_job SET running_id = NULL WHERE running_id = $1";
pub(super) const HISTORY_CLOSE_OF_NODE: &str = "UPDATE scheduler_history SET ended_ms = $2, \
     success = $3, result = $4 WHERE ended_ms IS NULL AND node_uuid = $1 RETURNING id";
/// Not one whose lease was renewed since it was read.
pub(super) const HISTORY_CLOSE_SILENT: &str = "UPDATE scheduler_history SET ended_ms = $2, \
     success = $3, result = $4 WHERE ended_ms IS NULL AND id = $1 AND lease_until_ms = $5";
pub(super) const HISTORY_OPEN: &str =
    "SELECT id, lease_until_ms FROM scheduler_history WHERE ended_ms IS NULL";
/// Runs that jobs say they are at work on, and that are over or not there.
pub(super) const ORPHANS: &str = "SELECT j.running_id AS id FROM scheduler_job j \
     WHERE j.running_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM scheduler_history h \
     WHERE h.id = j.running_id AND h.ended_ms IS NULL)";
pub(in crate::db) const LEASES_RENEW: &str = "UPDATE scheduler_history SET lease_until_ms = $2 \
     WHERE id = $1 AND ended_ms IS NULL AND node_uuid = $3";
pub(in crate::db) const HISTORY_PRUNE: &str = "DELETE FROM scheduler_history WHERE id IN (SELECT h.id FROM scheduler_history h \
     WHERE h.started_ms < $1 AND h.ended_ms IS NOT NULL ORDER BY h.started_ms, h.id LIMIT $2)";

// Images that are read again.

pub(super) const IMAGE_CHECKED: &str = "UPDATE image SET checked_ms = $2 WHERE uuid = $1";

pub(super) const SCRUB_NOTE: &str = "SELECT name, value FROM setting WHERE name = 'scrub_begun'";
pub(super) const SCRUB_NOTE_KEEP: &str = "INSERT INTO setting (name, value) \
     VALUES ('scrub_begun', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
