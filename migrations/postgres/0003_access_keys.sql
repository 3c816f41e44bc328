-- Access keys, and what an account can be told about. The same as migrations/sqlite/0003_access_keys.sql.
-- A signature can be checked only with the secret itself: it is kept sealed with a key that is not in the database.

CREATE TABLE access_key (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account_uuid TEXT COLLATE "C" NOT NULL REFERENCES account (uuid) ON DELETE CASCADE,
    sealed_secret TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE INDEX access_key_account ON access_key (account_uuid, created_ms);

ALTER TABLE account ADD COLUMN description TEXT COLLATE "C";
ALTER TABLE account ADD COLUMN last_op_ms BIGINT;
