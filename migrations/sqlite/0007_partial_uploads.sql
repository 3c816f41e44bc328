-- Partial uploads (tus concatenation): bytes that have no job and no image, and become part of an upload that has. `parts` of an
-- upload of the kind 'joined': uuids of its partial uploads, in order, with a blank between two; `taken_by` of a partial one: the
-- upload that it is a part of. A job has one more stage. The same as migrations/postgres/0007_partial_uploads.sql.

-- SQLite changes no constraint of a table: both are made anew. The new uploads refer to the new jobs before the old ones go, since
-- with a table go the rows that refer to it.
CREATE TABLE long_job_new (
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
        stage IN ('receiving', 'joining', 'verifying', 'inspecting', 'publishing')
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
INSERT INTO long_job_new (
    uuid, account_uuid, name, description, api_id, job_name, job_data, state, suspend_reason, generation,
    stage, stage_percent, waits_for, result_kind, result_detail, result_cause, image_uuid, upload_uuid,
    node_uuid, created_ms, last_op_ms, finished_ms
) SELECT
    uuid, account_uuid, name, description, api_id, job_name, job_data, state, suspend_reason, generation,
    stage, stage_percent, waits_for, result_kind, result_detail, result_cause, image_uuid, upload_uuid,
    node_uuid, created_ms, last_op_ms, finished_ms
FROM long_job;

CREATE TABLE upload_new (
    uuid TEXT NOT NULL PRIMARY KEY,
    job_uuid TEXT REFERENCES long_job_new (uuid) ON DELETE CASCADE,
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
    last_byte_ms BIGINT,
    client_metadata TEXT,
    kind TEXT NOT NULL DEFAULT 'whole' CONSTRAINT upload_kind CHECK (kind IN ('whole', 'partial', 'joined')),
    parts TEXT,
    taken_by TEXT,
    CONSTRAINT upload_has_job CHECK ((kind = 'partial') = (job_uuid IS NULL))
);
INSERT INTO upload_new (
    uuid, job_uuid, image_uuid, account_uuid, image_id, completion, declared_length, expected_md5,
    expected_sha256, offset_cached, stored_cached, fate, url_generation, owner_node, owner_epoch, lease_until_ms, created_ms, last_byte_ms,
    client_metadata
) SELECT
    uuid, job_uuid, image_uuid, account_uuid, image_id, completion, declared_length, expected_md5,
    expected_sha256, offset_cached, stored_cached, fate, url_generation, owner_node, owner_epoch, lease_until_ms, created_ms, last_byte_ms,
    client_metadata
FROM upload;

DROP TABLE upload;
DROP TABLE long_job;
ALTER TABLE long_job_new RENAME TO long_job;
ALTER TABLE upload_new RENAME TO upload;

CREATE INDEX upload_job ON upload (job_uuid);
CREATE INDEX upload_image ON upload (image_uuid, created_ms);
CREATE INDEX upload_image_id ON upload (image_id, account_uuid);
CREATE INDEX upload_owner ON upload (owner_node) WHERE fate = 'open';
-- Housekeeping reads the open partial uploads and forgets those that ended long ago, and every creation counts those that its
-- account has open.
CREATE INDEX upload_partial ON upload (uuid) WHERE kind = 'partial' AND fate = 'open';
CREATE INDEX upload_partial_ended ON upload (lease_until_ms) WHERE kind = 'partial' AND fate <> 'open';
CREATE INDEX upload_partial_open ON upload (account_uuid) WHERE kind = 'partial' AND fate = 'open' AND taken_by IS NULL;

CREATE INDEX long_job_created ON long_job (created_ms, uuid);
CREATE INDEX long_job_api_id ON long_job (api_id);
CREATE INDEX long_job_image ON long_job (image_uuid);
-- Recovery and supervision read the few jobs that are not final, among many that are.
CREATE INDEX long_job_unfinished ON long_job (uuid) WHERE finished_ms IS NULL;
CREATE INDEX long_job_account ON long_job (account_uuid, created_ms, uuid);
CREATE INDEX long_job_state ON long_job (state, created_ms, uuid);
CREATE INDEX long_job_account_state ON long_job (account_uuid, state, created_ms, uuid);
CREATE INDEX long_job_last_op ON long_job (last_op_ms, uuid);
CREATE INDEX long_job_account_last_op ON long_job (account_uuid, last_op_ms, uuid);
CREATE INDEX long_job_name ON long_job (LOWER(name), account_uuid);
CREATE INDEX long_job_account_open ON long_job (account_uuid) WHERE finished_ms IS NULL;

CREATE TRIGGER tally_job_insert AFTER INSERT ON long_job BEGIN
    INSERT INTO tally (kind, account_uuid, state, slot, n)
        VALUES ('job', '', NEW.state, 0, 1), ('job', NEW.account_uuid, NEW.state, 0, 1)
        ON CONFLICT (kind, account_uuid, state, slot) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER tally_job_update AFTER UPDATE OF state, account_uuid ON long_job
WHEN OLD.state <> NEW.state OR OLD.account_uuid <> NEW.account_uuid BEGIN
    UPDATE tally SET n = n - 1 WHERE kind = 'job' AND account_uuid IN ('', OLD.account_uuid)
        AND state = OLD.state AND slot = 0;
    INSERT INTO tally (kind, account_uuid, state, slot, n)
        VALUES ('job', '', NEW.state, 0, 1), ('job', NEW.account_uuid, NEW.state, 0, 1)
        ON CONFLICT (kind, account_uuid, state, slot) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER tally_job_delete AFTER DELETE ON long_job BEGIN
    UPDATE tally SET n = n - 1 WHERE kind = 'job' AND account_uuid IN ('', OLD.account_uuid)
        AND state = OLD.state AND slot = 0;
END;
