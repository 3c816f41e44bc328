-- Tags get a uuid, by which they are asked for and deleted one by one, and know whose they are and on what.
-- The same table as in migrations/postgres/0002_tag_uuids.sql; a test compares them.

CREATE TABLE tag_with_uuid (
    uuid TEXT NOT NULL UNIQUE,
    account_uuid TEXT NOT NULL,
    resource_uuid TEXT NOT NULL,
    resource_type TEXT NOT NULL CONSTRAINT tag_resource_type CHECK (
        resource_type IN ('ImageVO', 'LongJobVO')
    ),
    kind TEXT NOT NULL CONSTRAINT tag_kind CHECK (kind IN ('system', 'user')),
    position BIGINT NOT NULL,
    tag TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (resource_uuid, resource_type, kind, position)
);

-- Version 4 UUIDs, as the service makes them. A tag whose job and image are both gone belongs to nobody, and goes.
INSERT INTO tag_with_uuid
SELECT
    LOWER(HEX(RANDOMBLOB(6))) || '4' || SUBSTR(LOWER(HEX(RANDOMBLOB(2))), 2)
        || SUBSTR('89ab', 1 + (RANDOM() & 3), 1) || SUBSTR(LOWER(HEX(RANDOMBLOB(8))), 2),
    r.account_uuid, t.resource_uuid, r.resource_type, t.kind, t.position, t.tag, r.created_ms
FROM tag t JOIN (
    SELECT uuid, account_uuid, created_ms, 'ImageVO' AS resource_type FROM image
    UNION ALL
    SELECT uuid, account_uuid, created_ms, 'LongJobVO' FROM long_job
) r ON r.uuid = t.resource_uuid;

DROP TABLE tag;
ALTER TABLE tag_with_uuid RENAME TO tag;
CREATE INDEX tag_account ON tag (account_uuid, created_ms);
CREATE INDEX tag_created ON tag (created_ms, uuid);
