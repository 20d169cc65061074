-- Inputs go by who sent them first: rank 0 came without a key, 1 is the same with a dead letter, 2 and 3 came with a key.
UPDATE kept_inputs SET rank = 3 - rank WHERE rank IN (1, 2);

-- reserved: bytes that are free for the callback of a run's end until then.
ALTER TABLE queue ADD COLUMN reserved INTEGER NOT NULL DEFAULT 0;
UPDATE queue SET reserved = 4096 WHERE record ->> '$.completion.callback.url' IS NOT NULL;

-- cause: 1 for what triggers remember. It is counted apart: names and keyless_names are callers'.
ALTER TABLE claims ADD COLUMN cause INTEGER NOT NULL DEFAULT 0;
UPDATE claims SET cause = 1 WHERE key >= char(1) || 'trigger:' AND key < char(1) || 'trigger;';
-- Runs are numbered by time: the oldest cause is not the one that expires first, since some senders repeat theirs for a month.
CREATE INDEX claims_causes ON claims (project, function, run) WHERE cause = 1;
CREATE INDEX claims_causes_project ON claims (project, run) WHERE cause = 1;

DROP TRIGGER claims_added;
DROP TRIGGER claims_deleted;
ALTER TABLE claim_usage ADD COLUMN causes INTEGER NOT NULL DEFAULT 0;
UPDATE claim_usage SET causes = (
    SELECT count(*) FROM claims AS c
    WHERE c.cause = 1 AND c.project = claim_usage.project AND claim_usage.function IN (c.function, x''));
UPDATE claim_usage SET names = names - causes;
CREATE TRIGGER claims_added AFTER INSERT ON claims BEGIN
    INSERT INTO claim_usage (project, function, names, keyless_names, causes, bytes, keyless_bytes)
        VALUES (new.project, new.function, 1 - new.cause, new.keyless, new.cause, new.kept, new.kept * new.keyless),
               (new.project, x'', 1 - new.cause, new.keyless, new.cause, new.kept, new.kept * new.keyless)
        ON CONFLICT DO UPDATE SET
            names = names + excluded.names,
            keyless_names = keyless_names + excluded.keyless_names,
            causes = causes + excluded.causes,
            bytes = bytes + excluded.bytes,
            keyless_bytes = keyless_bytes + excluded.keyless_bytes;
END;
CREATE TRIGGER claims_deleted AFTER DELETE ON claims BEGIN
    UPDATE claim_usage SET
        names = names - 1 + old.cause,
        keyless_names = keyless_names - old.keyless,
        causes = causes - old.cause,
        bytes = bytes - old.kept,
        keyless_bytes = keyless_bytes - old.kept * old.keyless
        WHERE project = old.project AND function IN (old.function, x'');
END;
