-- What the inspection of an image led to, stored with the image, and the states that a job has been in. The same tables as
-- migrations/postgres/0008_inspection_and_history.sql.

-- JSON (`domain::inspected`); NULL until the image is described, and of images from before this was stored.
ALTER TABLE image ADD COLUMN inspection TEXT;

-- Why the job is in the state that it is in; NULL where it has been since before this was recorded.
ALTER TABLE long_job ADD COLUMN state_cause TEXT;

-- A row for every change of state, written by triggers: in the statement that changes it, whoever does, and at the cost of no other. A
-- job that was recorded at its end (an image of one request) has none, and its own row says all. `number` is the job's
-- generation. At most 100 rows of a job: then the oldest but the first goes. A migration that makes long_job anew makes its
-- triggers anew.
CREATE TABLE job_history (
    job_uuid TEXT NOT NULL REFERENCES long_job (uuid) ON DELETE CASCADE,
    number BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    state TEXT NOT NULL,
    suspend_reason TEXT,
    cause TEXT,
    PRIMARY KEY (job_uuid, number)
) WITHOUT ROWID;

CREATE TRIGGER job_history_insert AFTER INSERT ON long_job WHEN NEW.finished_ms IS NULL BEGIN
    INSERT INTO job_history (job_uuid, number, at_ms, state, suspend_reason, cause)
        VALUES (NEW.uuid, NEW.generation, NEW.created_ms, NEW.state, NEW.suspend_reason, NEW.state_cause)
        ON CONFLICT (job_uuid, number) DO NOTHING;
END;

CREATE TRIGGER job_history_update AFTER UPDATE OF state, suspend_reason ON long_job
WHEN OLD.state <> NEW.state OR OLD.suspend_reason IS NOT NEW.suspend_reason BEGIN
    -- Of a job without a row: the state that it leaves.
    INSERT INTO job_history (job_uuid, number, at_ms, state, suspend_reason, cause)
        SELECT OLD.uuid, OLD.generation, COALESCE(OLD.finished_ms, OLD.last_op_ms), OLD.state, OLD.suspend_reason, OLD.state_cause
        WHERE NOT EXISTS (SELECT 1 FROM job_history WHERE job_uuid = OLD.uuid);
    INSERT INTO job_history (job_uuid, number, at_ms, state, suspend_reason, cause)
        VALUES (NEW.uuid, NEW.generation, NEW.last_op_ms, NEW.state, NEW.suspend_reason, NEW.state_cause)
        ON CONFLICT (job_uuid, number) DO NOTHING;
    DELETE FROM job_history WHERE job_uuid = NEW.uuid
        AND (SELECT COUNT(*) FROM job_history WHERE job_uuid = NEW.uuid) > 100
        AND number = (SELECT number FROM job_history WHERE job_uuid = NEW.uuid ORDER BY number LIMIT 1 OFFSET 1);
END;
