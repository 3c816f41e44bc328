-- Partial uploads (tus concatenation): bytes that have no job and no image, and become part of an upload that has. `parts` of an
-- upload of the kind 'joined': uuids of its partial uploads, in order, with a blank between two; `taken_by` of a partial one: the
-- upload that it is a part of. A job has one more stage. The same as migrations/sqlite/0007_partial_uploads.sql.

ALTER TABLE long_job DROP CONSTRAINT long_job_stage;
ALTER TABLE long_job ADD CONSTRAINT long_job_stage CHECK (
    stage IN ('receiving', 'joining', 'verifying', 'inspecting', 'publishing')
);
ALTER TABLE upload ALTER COLUMN job_uuid DROP NOT NULL;
ALTER TABLE upload ADD COLUMN kind TEXT COLLATE "C" NOT NULL DEFAULT 'whole'
    CONSTRAINT upload_kind CHECK (kind IN ('whole', 'partial', 'joined'));
ALTER TABLE upload ADD COLUMN parts TEXT COLLATE "C";
ALTER TABLE upload ADD COLUMN taken_by TEXT COLLATE "C";
ALTER TABLE upload ADD CONSTRAINT upload_has_job CHECK ((kind = 'partial') = (job_uuid IS NULL));
-- Housekeeping reads the open partial uploads and forgets those that ended long ago, and every creation counts those that its
-- account has open.
CREATE INDEX upload_partial ON upload (uuid) WHERE kind = 'partial' AND fate = 'open';
CREATE INDEX upload_partial_ended ON upload (lease_until_ms) WHERE kind = 'partial' AND fate <> 'open';
CREATE INDEX upload_partial_open ON upload (account_uuid) WHERE kind = 'partial' AND fate = 'open' AND taken_by IS NULL;
