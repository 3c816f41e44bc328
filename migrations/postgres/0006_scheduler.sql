-- The scheduler: jobs, what fires them, and what their runs led to. The same tables as migrations/sqlite/0006_scheduler.sql.

CREATE TABLE scheduler_job (
    uuid TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account_uuid TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C",
    job_type TEXT COLLATE "C" NOT NULL CONSTRAINT scheduler_job_type CHECK (
        job_type IN (
            'expireUploads', 'purgeDeletedImages', 'scrubImages', 'reconcileStore', 'pruneRecords', 'verifyImage'
        )
    ),
    target_uuid TEXT COLLATE "C",
    parameters TEXT COLLATE "C" NOT NULL,
    enabled BOOLEAN NOT NULL,
    -- The run that is at work: a job never runs beside itself.
    running_id BIGINT,
    created_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL
);

CREATE TABLE scheduler_trigger (
    uuid TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account_uuid TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C",
    kind TEXT COLLATE "C" NOT NULL CONSTRAINT scheduler_trigger_kind CHECK (kind IN ('simple', 'cron')),
    start_ms BIGINT,
    interval_secs BIGINT,
    repeat_count BIGINT,
    cron TEXT COLLATE "C",
    created_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL,
    CONSTRAINT scheduler_trigger_fields CHECK (
        (kind = 'simple') = (interval_secs IS NOT NULL) AND (kind = 'simple') = (repeat_count IS NOT NULL)
        AND (kind = 'cron') = (cron IS NOT NULL)
    )
);

CREATE TABLE scheduler_job_group (
    uuid TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account_uuid TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C",
    job_type TEXT COLLATE "C",
    enabled BOOLEAN NOT NULL,
    created_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL
);

CREATE TABLE scheduler_group_job (
    group_uuid TEXT COLLATE "C" NOT NULL REFERENCES scheduler_job_group (uuid) ON DELETE CASCADE,
    job_uuid TEXT COLLATE "C" NOT NULL REFERENCES scheduler_job (uuid) ON DELETE CASCADE,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (group_uuid, job_uuid)
);
CREATE INDEX scheduler_group_job_job ON scheduler_group_job (job_uuid);

-- A trigger and what it runs. Whoever moves `next_fire_ms` on, by compare-and-swap on `generation`, runs the fire; nobody else does.
CREATE TABLE scheduler_binding (
    trigger_uuid TEXT COLLATE "C" NOT NULL REFERENCES scheduler_trigger (uuid) ON DELETE CASCADE,
    target_uuid TEXT COLLATE "C" NOT NULL,
    target_kind TEXT COLLATE "C" NOT NULL CONSTRAINT scheduler_binding_kind CHECK (target_kind IN ('job', 'group')),
    anchor_ms BIGINT NOT NULL,
    next_fire_ms BIGINT,
    moved_ms BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    PRIMARY KEY (trigger_uuid, target_uuid)
);
CREATE INDEX scheduler_binding_due ON scheduler_binding (next_fire_ms) WHERE next_fire_ms IS NOT NULL;
CREATE INDEX scheduler_binding_target ON scheduler_binding (target_uuid);

-- What a run was stays, whatever becomes of its job and trigger.
CREATE TABLE scheduler_history (
    id BIGINT NOT NULL PRIMARY KEY,
    account_uuid TEXT COLLATE "C" NOT NULL,
    trigger_uuid TEXT COLLATE "C",
    job_uuid TEXT COLLATE "C" NOT NULL,
    group_uuid TEXT COLLATE "C",
    job_type TEXT COLLATE "C" NOT NULL,
    target_uuid TEXT COLLATE "C",
    fire_ms BIGINT NOT NULL,
    fire_uuid TEXT COLLATE "C" NOT NULL UNIQUE,
    request TEXT COLLATE "C" NOT NULL,
    result TEXT COLLATE "C",
    success BOOLEAN,
    node_uuid TEXT COLLATE "C" NOT NULL,
    lease_until_ms BIGINT NOT NULL,
    started_ms BIGINT NOT NULL,
    ended_ms BIGINT,
    CONSTRAINT scheduler_history_ended CHECK (
        (ended_ms IS NULL) = (success IS NULL) AND (ended_ms IS NULL) = (result IS NULL)
    )
);
CREATE INDEX scheduler_history_account ON scheduler_history (account_uuid, id);
CREATE INDEX scheduler_history_started ON scheduler_history (started_ms, id);
CREATE INDEX scheduler_history_account_started ON scheduler_history (account_uuid, started_ms, id);
CREATE INDEX scheduler_history_job ON scheduler_history (job_uuid, id);
CREATE INDEX scheduler_history_trigger ON scheduler_history (trigger_uuid, id);
CREATE INDEX scheduler_history_open ON scheduler_history (node_uuid, lease_until_ms) WHERE ended_ms IS NULL;

-- The number of the newest run.
CREATE TABLE scheduler_sequence (
    id BIGINT NOT NULL PRIMARY KEY CONSTRAINT scheduler_sequence_one CHECK (id = 1),
    last BIGINT NOT NULL
);

-- When the bytes of an image were last read again and compared with its digests; 0 for never.
ALTER TABLE image ADD COLUMN checked_ms BIGINT NOT NULL DEFAULT 0;
CREATE INDEX image_checked ON image (checked_ms, uuid) WHERE status = 'Ready';
