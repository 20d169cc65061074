-- What a queued run takes, for the bounds on what waits. keyless: 1 when its caller showed no key. blob: the file with its
-- body, which no other run shares.
ALTER TABLE queue ADD COLUMN bytes   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN keyless INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN blob    BLOB;
UPDATE queue SET bytes = 1024 + coalesce(
    (SELECT length(i.input) FROM inputs AS i WHERE i.project = queue.project AND i.run = queue.run), 0);

-- Inputs of ended runs, for the bound on them. Within a function the first go first: rank 0 came without a key, 1 with one;
-- 2 and 3 are the same with a dead letter.
CREATE TABLE kept_inputs (
    project  BLOB    NOT NULL,
    function BLOB    NOT NULL,
    rank     INTEGER NOT NULL,
    run      BLOB    NOT NULL,
    bytes    INTEGER NOT NULL,
    blob     BLOB,
    PRIMARY KEY (project, function, rank, run)
) STRICT, WITHOUT ROWID;
INSERT INTO kept_inputs (project, function, rank, run, bytes)
    SELECT i.project, coalesce(r.function, zeroblob(16)), iif(d.run IS NULL, 1, 3), i.run, length(i.input) + 1024
    FROM inputs AS i
    LEFT JOIN runs AS r ON r.project = i.project AND r.id = i.run
    LEFT JOIN dead_letters AS d ON d.project = i.project AND d.run = i.run
    WHERE NOT EXISTS (SELECT 1 FROM queue AS q WHERE q.project = i.project AND q.run = i.run);

-- Their bytes. The row with an empty function is the whole project's. Inserts are added up by those who make them.
CREATE TABLE input_usage (
    project  BLOB    NOT NULL,
    function BLOB    NOT NULL,
    bytes    INTEGER NOT NULL,
    PRIMARY KEY (project, function)
) STRICT, WITHOUT ROWID;
INSERT INTO input_usage (project, function, bytes)
    SELECT project, function, sum(bytes) FROM kept_inputs GROUP BY project, function
    UNION ALL SELECT project, x'', sum(bytes) FROM kept_inputs GROUP BY project;
CREATE TRIGGER kept_inputs_deleted AFTER DELETE ON kept_inputs BEGIN
    UPDATE input_usage SET bytes = bytes - old.bytes
        WHERE project = old.project AND function IN (old.function, x'');
END;

-- kept: bytes of the reply.
ALTER TABLE claims ADD COLUMN keyless INTEGER NOT NULL DEFAULT 0;
ALTER TABLE claims ADD COLUMN kept    INTEGER NOT NULL DEFAULT 0;
UPDATE claims SET kept = length(reply) WHERE reply IS NOT NULL;
CREATE INDEX claims_kept ON claims (project, function, keyless DESC, expires_at) WHERE kept > 0;
CREATE INDEX claims_kept_project ON claims (project, keyless DESC, expires_at) WHERE kept > 0;

-- How many names there are, and the bytes of their replies. The row with an empty function is the whole project's.
CREATE TABLE claim_usage (
    project       BLOB    NOT NULL,
    function      BLOB    NOT NULL,
    names         INTEGER NOT NULL,
    keyless_names INTEGER NOT NULL,
    bytes         INTEGER NOT NULL,
    keyless_bytes INTEGER NOT NULL,
    PRIMARY KEY (project, function)
) STRICT, WITHOUT ROWID;
INSERT INTO claim_usage (project, function, names, keyless_names, bytes, keyless_bytes)
    SELECT project, function, count(*), 0, sum(kept), 0 FROM claims GROUP BY project, function
    UNION ALL SELECT project, x'', count(*), 0, sum(kept), 0 FROM claims GROUP BY project;
CREATE TRIGGER claims_added AFTER INSERT ON claims BEGIN
    INSERT INTO claim_usage (project, function, names, keyless_names, bytes, keyless_bytes)
        VALUES (new.project, new.function, 1, new.keyless, new.kept, new.kept * new.keyless),
               (new.project, x'', 1, new.keyless, new.kept, new.kept * new.keyless)
        ON CONFLICT DO UPDATE SET
            names = names + 1,
            keyless_names = keyless_names + excluded.keyless_names,
            bytes = bytes + excluded.bytes,
            keyless_bytes = keyless_bytes + excluded.keyless_bytes;
END;
CREATE TRIGGER claims_changed AFTER UPDATE OF kept ON claims BEGIN
    UPDATE claim_usage SET
        bytes = bytes + new.kept - old.kept,
        keyless_bytes = keyless_bytes + (new.kept - old.kept) * old.keyless
        WHERE project = old.project AND function IN (old.function, x'');
END;
CREATE TRIGGER claims_deleted AFTER DELETE ON claims BEGIN
    UPDATE claim_usage SET
        names = names - 1,
        keyless_names = keyless_names - old.keyless,
        bytes = bytes - old.kept,
        keyless_bytes = keyless_bytes - old.kept * old.keyless
        WHERE project = old.project AND function IN (old.function, x'');
END;
