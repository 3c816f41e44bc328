-- What keeps questions quick among many records. The same tables and indexes as migrations/postgres/0004_scale_indexes.sql; how
-- the tally is kept differs.

-- How many jobs there are in each state and images in each status, of every account and ('') of all together, so that a page's
-- total is a sum over a few rows. Kept by triggers in the transaction that changes a record: exact at any moment, whoever writes.
-- `slot` spreads one number over several rows where several transactions write at once; here there is one writer.
CREATE TABLE tally (
    kind TEXT NOT NULL CONSTRAINT tally_kind CHECK (kind IN ('job', 'image')),
    account_uuid TEXT NOT NULL,
    state TEXT NOT NULL,
    slot BIGINT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (kind, account_uuid, state, slot)
);

INSERT INTO tally (kind, account_uuid, state, slot, n)
    SELECT 'job', '', state, 0, COUNT(*) FROM long_job GROUP BY state;
INSERT INTO tally (kind, account_uuid, state, slot, n)
    SELECT 'job', account_uuid, state, 0, COUNT(*) FROM long_job GROUP BY account_uuid, state;
INSERT INTO tally (kind, account_uuid, state, slot, n)
    SELECT 'image', '', status, 0, COUNT(*) FROM image GROUP BY status;
INSERT INTO tally (kind, account_uuid, state, slot, n)
    SELECT 'image', account_uuid, status, 0, COUNT(*) FROM image GROUP BY account_uuid, status;

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

CREATE TRIGGER tally_image_insert AFTER INSERT ON image BEGIN
    INSERT INTO tally (kind, account_uuid, state, slot, n)
        VALUES ('image', '', NEW.status, 0, 1), ('image', NEW.account_uuid, NEW.status, 0, 1)
        ON CONFLICT (kind, account_uuid, state, slot) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER tally_image_update AFTER UPDATE OF status, account_uuid ON image
WHEN OLD.status <> NEW.status OR OLD.account_uuid <> NEW.account_uuid BEGIN
    UPDATE tally SET n = n - 1 WHERE kind = 'image' AND account_uuid IN ('', OLD.account_uuid)
        AND state = OLD.status AND slot = 0;
    INSERT INTO tally (kind, account_uuid, state, slot, n)
        VALUES ('image', '', NEW.status, 0, 1), ('image', NEW.account_uuid, NEW.status, 0, 1)
        ON CONFLICT (kind, account_uuid, state, slot) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER tally_image_delete AFTER DELETE ON image BEGIN
    UPDATE tally SET n = n - 1 WHERE kind = 'image' AND account_uuid IN ('', OLD.account_uuid)
        AND state = OLD.status AND slot = 0;
END;

-- Pages in their order without sorting: by creation and by last change, of everybody and of one account, also within a state.
DROP INDEX long_job_account;
CREATE INDEX long_job_account ON long_job (account_uuid, created_ms, uuid);
DROP INDEX long_job_state;
CREATE INDEX long_job_state ON long_job (state, created_ms, uuid);
CREATE INDEX long_job_account_state ON long_job (account_uuid, state, created_ms, uuid);
CREATE INDEX long_job_last_op ON long_job (last_op_ms, uuid);
CREATE INDEX long_job_account_last_op ON long_job (account_uuid, last_op_ms, uuid);
DROP INDEX image_account;
CREATE INDEX image_account ON image (account_uuid, created_ms, uuid);
CREATE INDEX image_status ON image (status, created_ms, uuid);
CREATE INDEX image_account_status ON image (account_uuid, status, created_ms, uuid);
CREATE INDEX image_last_op ON image (last_op_ms, uuid);
CREATE INDEX image_account_last_op ON image (account_uuid, last_op_ms, uuid);
-- Names by their beginning, without regard to case.
CREATE INDEX long_job_name ON long_job (LOWER(name), account_uuid);
CREATE INDEX image_name ON image (LOWER(name), account_uuid);
-- Whose tag it is. A tag has at most 2,048 bytes, which fits an index on both databases.
CREATE INDEX tag_text ON tag (tag, kind, resource_uuid);
-- Every submit counts what its account has open.
CREATE INDEX long_job_account_open ON long_job (account_uuid) WHERE finished_ms IS NULL;
