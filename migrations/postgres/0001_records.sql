-- The records of the service. The same tables as migrations/sqlite/0001_records.sql; a test compares them.
-- Times are epoch milliseconds, identifiers 32 hex digits, digests lower-case hex, every integer BIGINT.
-- Text is compared and sorted byte by byte, whatever the locale of the database.

CREATE TABLE account (
    uuid TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    password_hash TEXT COLLATE "C" NOT NULL,
    admin BOOLEAN NOT NULL,
    enabled BOOLEAN NOT NULL,
    created_ms BIGINT NOT NULL
);

-- One row per account that ever opened something: whoever counts an account's uploads or sessions locks it first,
-- so that two that come at once cannot both take the last place.
CREATE TABLE account_turn (
    account_uuid TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    turns BIGINT NOT NULL
);

CREATE TABLE session (
    token_sha256 TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account_uuid TEXT COLLATE "C" NOT NULL REFERENCES account (uuid) ON DELETE CASCADE,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX session_account ON session (account_uuid, expires_ms);
CREATE INDEX session_expires ON session (expires_ms);

CREATE TABLE long_job (
    uuid TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account_uuid TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C",
    api_id TEXT COLLATE "C" NOT NULL,
    job_name TEXT COLLATE "C" NOT NULL,
    job_data TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CONSTRAINT long_job_state CHECK (
        state IN ('Waiting', 'Running', 'Suspended', 'Canceling', 'Succeeded', 'Failed', 'Canceled')
    ),
    suspend_reason TEXT COLLATE "C" CONSTRAINT long_job_suspend_reason CHECK (
        suspend_reason IN ('idle', 'user', 'restart', 'no_space', 'io_error')
    ),
    generation BIGINT NOT NULL,
    stage TEXT COLLATE "C" NOT NULL CONSTRAINT long_job_stage CHECK (
        stage IN ('receiving', 'verifying', 'inspecting', 'publishing')
    ),
    stage_percent BIGINT NOT NULL,
    waits_for TEXT COLLATE "C",
    result_kind TEXT COLLATE "C" CONSTRAINT long_job_result_kind CHECK (result_kind IN ('event', 'error')),
    result_detail TEXT COLLATE "C",
    result_cause TEXT COLLATE "C",
    image_uuid TEXT COLLATE "C" NOT NULL,
    upload_uuid TEXT COLLATE "C" NOT NULL UNIQUE,
    node_uuid TEXT COLLATE "C",
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
    uuid TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    job_uuid TEXT COLLATE "C" NOT NULL REFERENCES long_job (uuid) ON DELETE CASCADE,
    image_uuid TEXT COLLATE "C" NOT NULL,
    account_uuid TEXT COLLATE "C" NOT NULL,
    image_id TEXT COLLATE "C",
    completion TEXT COLLATE "C" NOT NULL CONSTRAINT upload_completion CHECK (completion IN ('by_length', 'explicit')),
    declared_length BIGINT,
    expected_md5 TEXT COLLATE "C",
    expected_sha256 TEXT COLLATE "C",
    offset_cached BIGINT NOT NULL,
    stored_cached BIGINT NOT NULL,
    fate TEXT COLLATE "C" NOT NULL CONSTRAINT upload_fate CHECK (fate IN ('open', 'published', 'discarded', 'expired')),
    url_generation BIGINT NOT NULL,
    owner_node TEXT COLLATE "C",
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
    uuid TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account_uuid TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C",
    enabled BOOLEAN NOT NULL,
    status TEXT COLLATE "C" NOT NULL CONSTRAINT image_status CHECK (status IN ('Downloading', 'Ready', 'Deleted')),
    size BIGINT NOT NULL,
    actual_size BIGINT NOT NULL,
    md5 TEXT COLLATE "C",
    sha256 TEXT COLLATE "C",
    url TEXT COLLATE "C" NOT NULL,
    media_type TEXT COLLATE "C" NOT NULL CONSTRAINT image_media_type CHECK (
        media_type IN ('RootVolumeTemplate', 'DataVolumeTemplate', 'ISO')
    ),
    guest_os_type TEXT COLLATE "C",
    platform TEXT COLLATE "C" NOT NULL,
    architecture TEXT COLLATE "C",
    format TEXT COLLATE "C" NOT NULL,
    system BOOLEAN NOT NULL,
    virtio BOOLEAN NOT NULL,
    storage_uuid TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL,
    last_op_ms BIGINT NOT NULL,
    deleted_ms BIGINT
);
CREATE INDEX image_account ON image (account_uuid, created_ms);
CREATE INDEX image_created ON image (created_ms, uuid);
CREATE INDEX image_deleted ON image (deleted_ms) WHERE status = 'Deleted';

CREATE TABLE tag (
    resource_uuid TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL CONSTRAINT tag_kind CHECK (kind IN ('system', 'user')),
    position BIGINT NOT NULL,
    tag TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (resource_uuid, kind, position)
);

CREATE TABLE api_job (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    success BOOLEAN,
    body TEXT COLLATE "C",
    began_ms BIGINT NOT NULL,
    ended_ms BIGINT
);
CREATE INDEX api_job_ended ON api_job (ended_ms);

CREATE TABLE progress (
    api_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    task_name TEXT COLLATE "C" NOT NULL,
    percent BIGINT NOT NULL,
    time_ms BIGINT NOT NULL
);

CREATE TABLE storage (
    id BIGINT NOT NULL PRIMARY KEY CONSTRAINT storage_one CHECK (id = 1),
    uuid TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL
);

CREATE TABLE setting (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value TEXT COLLATE "C" NOT NULL
);

-- Written by every readiness check: reading alone would not notice a disk that takes no more.
CREATE TABLE ping (
    id BIGINT NOT NULL PRIMARY KEY CONSTRAINT ping_one CHECK (id = 1),
    times BIGINT NOT NULL
);
