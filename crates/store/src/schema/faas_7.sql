-- What each project's runs take, for the bound on it. Inserts are added up by whoever makes them, a batch at a time.
CREATE TABLE run_usage (
    project BLOB PRIMARY KEY,
    bytes   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO run_usage (project, bytes)
    SELECT project, sum(length(CAST(record AS BLOB)) + 256) FROM runs GROUP BY project;

CREATE TRIGGER runs_changed AFTER UPDATE OF record ON runs BEGIN
    UPDATE run_usage
        SET bytes = bytes + length(CAST(new.record AS BLOB)) - length(CAST(old.record AS BLOB))
        WHERE project = new.project;
END;
CREATE TRIGGER runs_deleted AFTER DELETE ON runs BEGIN
    UPDATE run_usage SET bytes = bytes - length(CAST(old.record AS BLOB)) - 256 WHERE project = old.project;
END;
