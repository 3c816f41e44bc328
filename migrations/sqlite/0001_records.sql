-- The records of the service. The same tables as migrations/postgres/0001_records.sql; a test compares them.
-- Times are epoch milliseconds, identifiers 32 hex digits, digests lower-case hex, every integer BIGINT.

CREATE TABLE account (
    uuid TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    admin BOOLEAN NOT NULL,
    enabled BOOLEAN NOT NULL,
    created_ms BIGINT NOT NULL
);

-- One row per account that ever opened something: whoever counts an account's uploads or sessions locks it first,
-- so that two that come at once cannot both take the last place.
CREATE TABLE account_turn (
    account_uuid TEXT NOT NULL PRIMARY KEY,
    turns BIGINT NOT NULL
);

CREATE TABLE session (
    token_sha256 TEXT NOT NULL PRIMARY KEY,
    account_uuid TEXT NOT NULL REFERENCES account (uuid) ON DELETE CASCADE,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX session_account ON session (account_uuid, expires_ms);
CREATE INDEX session_expires ON session (expires_ms);

CREATE TABLE long_job (
    uuid TEXT NOT NULL PRIMARY KEY,
    account_uuid TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    api_id TEXT NOT NULL,
    job_name TEXT NOT NULL,
    job_data TEXT NOT NULL,
    state TEXT NOT NULL CONSTRAINT long_job_state CHECK (
        state IN ('Waiting', 'Running', 'Suspended', 'Canceling', 'Succeeded', 'Failed', 'Canceled')
    ),
    suspend_reason TEXT CONSTRAINT long_job_suspend_reason CHECK (
        suspend_reason IN ('idle', 'user', 'restart', 'no_space', 'io_error')
    ),
    generation BIGINT NOT NULL,
    stage TEXT NOT NULL CONSTRAINT long_job_stage CHECK (
        stage IN ('receiving', 'verifying', 'inspecting', 'publishing')
    ),
    stage_percent BIGINT NOT NULL,
    waits_for TEXT,
    result_kind TEXT CONSTRAINT long_job_result_kind CHECK (result_kind IN ('event', 'error')),
    result_detail TEXT,
    result_cause TEXT,
    image_uuid TEXT NOT NULL,
    upload_uuid TEXT NOT NULL UNIQUE,
    node_uuid TEXT,
    created_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL,
    finished_ms BIGINT,
    CONSTRAINT long_job_suspended CHECK ((state = 'Suspended') = (suspend_reason IS NOT NULL)),
    CONSTRAINT long_job_finished CHECK (
        (state IN ('Succeeded', 'Failed', 'Canceled')) = (finished_ms IS NOT NULL)
    )
);
CREATE INDEX long_job_account ON long_job (account_uuid, created_ms);
CREATE INDEX long_job_created ON long_job (created_ms, uuid);
CREATE INDEX long_job_state ON long_job (state);
CREATE INDEX long_job_api_id ON long_job (api_id);
CREATE INDEX long_job_image ON long_job (image_uuid);
-- Recovery and supervision read the few jobs that are not final, among many that are.
CREATE INDEX long_job_unfinished ON long_job (uuid) WHERE finished_ms IS NULL;

CREATE TABLE upload (
    uuid TEXT NOT NULL PRIMARY KEY,
    job_uuid TEXT NOT NULL REFERENCES long_job (uuid) ON DELETE CASCADE,
    image_uuid TEXT NOT NULL,
    account_uuid TEXT NOT NULL,
    image_id TEXT,
    completion TEXT NOT NULL CONSTRAINT upload_completion CHECK (completion IN ('by_length', 'explicit')),
    declared_length BIGINT,
    expected_md5 TEXT,
    expected_sha256 TEXT,
    offset_cached BIGINT NOT NULL,
    stored_cached BIGINT NOT NULL,
    fate TEXT NOT NULL CONSTRAINT upload_fate CHECK (fate IN ('open', 'published', 'discarded', 'expired')),
    url_generation BIGINT NOT NULL,
    owner_node TEXT,
    owner_epoch BIGINT NOT NULL,
    lease_until_ms BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    last_byte_ms BIGINT
);
CREATE INDEX upload_job ON upload (job_uuid);
CREATE INDEX upload_image ON upload (image_uuid, created_ms);
CREATE INDEX upload_image_id ON upload (image_id, account_uuid);
CREATE INDEX upload_owner ON upload (owner_node) WHERE fate = 'open';

CREATE TABLE image (
    uuid TEXT NOT NULL PRIMARY KEY,
    account_uuid TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    enabled BOOLEAN NOT NULL,
    status TEXT NOT NULL CONSTRAINT image_status CHECK (status IN ('Downloading', 'Ready', 'Deleted')),
    size BIGINT NOT NULL,
    actual_size BIGINT NOT NULL,
    md5 TEXT,
    sha256 TEXT,
    url TEXT NOT NULL,
    media_type TEXT NOT NULL CONSTRAINT image_media_type CHECK (
        media_type IN ('RootVolumeTemplate', 'DataVolumeTemplate', 'ISO')
    ),
    guest_os_type TEXT,
    platform TEXT NOT NULL,
    architecture TEXT,
    format TEXT NOT NULL,
    system BOOLEAN NOT NULL,
    virtio BOOLEAN NOT NULL,
    storage_uuid TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL,
    deleted_ms BIGINT
);
CREATE INDEX image_account ON image (account_uuid, created_ms);
CREATE INDEX image_created ON image (created_ms, uuid);
CREATE INDEX image_deleted ON image (deleted_ms) WHERE status = 'Deleted';

CREATE TABLE tag (
    resource_uuid TEXT NOT NULL,
    kind TEXT NOT NULL CONSTRAINT tag_kind CHECK (kind IN ('system', 'user')),
    position BIGINT NOT NULL,
    tag TEXT NOT NULL,
    PRIMARY KEY (resource_uuid, kind, position)
);

CREATE TABLE api_job (
    id TEXT NOT NULL PRIMARY KEY,
    success BOOLEAN,
    body TEXT,
    began_ms BIGINT NOT NULL,
    ended_ms BIGINT
);
CREATE INDEX api_job_ended ON api_job (ended_ms);

CREATE TABLE progress (
    api_id TEXT NOT NULL PRIMARY KEY,
    task_name TEXT NOT NULL,
    percent BIGINT NOT NULL,
    time_ms BIGINT NOT NULL
);

CREATE TABLE storage (
    id BIGINT NOT NULL PRIMARY KEY CONSTRAINT storage_one CHECK (id = 1),
    uuid TEXT NOT NULL,
    name TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);

CREATE TABLE setting (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- Written by every readiness check: reading alone would not notice a disk that takes no more.
CREATE TABLE ping (
    id BIGINT NOT NULL PRIMARY KEY CONSTRAINT ping_one CHECK (id = 1),
    times BIGINT NOT NULL
);
