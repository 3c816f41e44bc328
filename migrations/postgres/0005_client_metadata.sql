-- What a tus client said of its file, byte for byte, to be told again. The same as migrations/sqlite/0005_client_metadata.sql.

ALTER TABLE upload ADD COLUMN client_metadata TEXT COLLATE "C";
