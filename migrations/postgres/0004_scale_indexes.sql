-- What keeps questions quick among many records. The same tables and indexes as migrations/sqlite/0004_scale_indexes.sql; how
-- the tally is kept differs.

-- How many jobs there are in each state and images in each status, of every account and ('') of all together, so that a page's
-- total is a sum over a few rows. Kept by triggers in the transaction that changes a record: exact at any moment, whoever writes.
-- `slot` spreads one number over several rows where several transactions write at once.
CREATE TABLE tally (
    kind TEXT COLLATE "C" NOT NULL CONSTRAINT tally_kind CHECK (kind IN ('job', 'image')),
    account_uuid TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    slot BIGINT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (kind, account_uuid, state, slot)
);

-- Whoever still writes waits until the triggers are there: what they changed after the counting would be missing for ever.
LOCK TABLE long_job, image IN SHARE ROW EXCLUSIVE MODE;

INSERT INTO tally (kind, account_uuid, state, slot, n)
    SELECT 'job', '', state, 0, COUNT(*) FROM long_job GROUP BY state;
INSERT INTO tally (kind, account_uuid, state, slot, n)
    SELECT 'job', account_uuid, state, 0, COUNT(*) FROM long_job GROUP BY account_uuid, state;
INSERT INTO tally (kind, account_uuid, state, slot, n)
    SELECT 'image', '', status, 0, COUNT(*) FROM image GROUP BY status;
INSERT INTO tally (kind, account_uuid, state, slot, n)
    SELECT 'image', account_uuid, status, 0, COUNT(*) FROM image GROUP BY account_uuid, status;

-- One upsert for a statement, however many records it changed, its rows in one order: two transactions of one slot then wait for
-- each other instead of locking each other out.
CREATE FUNCTION tally_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO tally (kind, account_uuid, state, slot, n)
            SELECT 'job', scope.account_uuid, c.state, pg_backend_pid() % 16, COUNT(*)
            FROM after_rows c CROSS JOIN LATERAL (VALUES (''), (c.account_uuid)) AS scope (account_uuid)
            GROUP BY scope.account_uuid, c.state ORDER BY scope.account_uuid, c.state
            ON CONFLICT (kind, account_uuid, state, slot) DO UPDATE SET n = tally.n + excluded.n;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO tally (kind, account_uuid, state, slot, n)
            SELECT 'job', scope.account_uuid, c.state, pg_backend_pid() % 16, -COUNT(*)
            FROM before_rows c CROSS JOIN LATERAL (VALUES (''), (c.account_uuid)) AS scope (account_uuid)
            GROUP BY scope.account_uuid, c.state ORDER BY scope.account_uuid, c.state
            ON CONFLICT (kind, account_uuid, state, slot) DO UPDATE SET n = tally.n + excluded.n;
    ELSE
        INSERT INTO tally (kind, account_uuid, state, slot, n)
            SELECT 'job', scope.account_uuid, c.state, pg_backend_pid() % 16, SUM(c.change)
            FROM (SELECT account_uuid, state, -1 AS change FROM before_rows
                  UNION ALL SELECT account_uuid, state, 1 FROM after_rows) c
            CROSS JOIN LATERAL (VALUES (''), (c.account_uuid)) AS scope (account_uuid)
            GROUP BY scope.account_uuid, c.state HAVING SUM(c.change) <> 0
            ORDER BY scope.account_uuid, c.state
            ON CONFLICT (kind, account_uuid, state, slot) DO UPDATE SET n = tally.n + excluded.n;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER tally_job_insert AFTER INSERT ON long_job
    REFERENCING NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION tally_job();
CREATE TRIGGER tally_job_update AFTER UPDATE ON long_job
    REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tally_job();
CREATE TRIGGER tally_job_delete AFTER DELETE ON long_job
    REFERENCING OLD TABLE AS before_rows FOR EACH STATEMENT EXECUTE FUNCTION tally_job();

CREATE FUNCTION tally_image() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO tally (kind, account_uuid, state, slot, n)
            SELECT 'image', scope.account_uuid, c.status, pg_backend_pid() % 16, COUNT(*)
            FROM after_rows c CROSS JOIN LATERAL (VALUES (''), (c.account_uuid)) AS scope (account_uuid)
            GROUP BY scope.account_uuid, c.status ORDER BY scope.account_uuid, c.status
            ON CONFLICT (kind, account_uuid, state, slot) DO UPDATE SET n = tally.n + excluded.n;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO tally (kind, account_uuid, state, slot, n)
            SELECT 'image', scope.account_uuid, c.status, pg_backend_pid() % 16, -COUNT(*)
            FROM before_rows c CROSS JOIN LATERAL (VALUES (''), (c.account_uuid)) AS scope (account_uuid)
            GROUP BY scope.account_uuid, c.status ORDER BY scope.account_uuid, c.status
            ON CONFLICT (kind, account_uuid, state, slot) DO UPDATE SET n = tally.n + excluded.n;
    ELSE
        INSERT INTO tally (kind, account_uuid, state, slot, n)
            SELECT 'image', scope.account_uuid, c.state, pg_backend_pid() % 16, SUM(c.change)
            FROM (SELECT account_uuid, status AS state, -1 AS change FROM before_rows
                  UNION ALL SELECT account_uuid, status, 1 FROM after_rows) c
            CROSS JOIN LATERAL (VALUES (''), (c.account_uuid)) AS scope (account_uuid)
            GROUP BY scope.account_uuid, c.state HAVING SUM(c.change) <> 0
            ORDER BY scope.account_uuid, c.state
            ON CONFLICT (kind, account_uuid, state, slot) DO UPDATE SET n = tally.n + excluded.n;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER tally_image_insert AFTER INSERT ON image
    REFERENCING NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION tally_image();
CREATE TRIGGER tally_image_update AFTER UPDATE ON image
    REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tally_image();
CREATE TRIGGER tally_image_delete AFTER DELETE ON image
    REFERENCING OLD TABLE AS before_rows FOR EACH STATEMENT EXECUTE FUNCTION tally_image();

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
