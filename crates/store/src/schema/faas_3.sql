-- Three indexes on runs instead of nine. The columns that filters need stand in the index, so that a row which does not
-- match is never read. trigger: its name on the wire. duration: microseconds.
DROP INDEX runs_function;
DROP INDEX runs_state;
DROP INDEX runs_function_state;
DROP INDEX runs_function_version;
DROP INDEX runs_code;
DROP INDEX runs_function_code;
DROP INDEX runs_cold;
DROP INDEX runs_function_cold;

ALTER TABLE runs RENAME TO runs_1;
DROP INDEX runs_id;
CREATE TABLE runs (
    project  BLOB    NOT NULL,
    id       BLOB    NOT NULL,
    function BLOB    NOT NULL,
    version  INTEGER NOT NULL,
    state    INTEGER NOT NULL,
    trigger  TEXT    NOT NULL,
    ended    INTEGER NOT NULL,
    cold     INTEGER NOT NULL,
    code     INTEGER,
    duration INTEGER,
    record   TEXT    NOT NULL
) STRICT;
INSERT INTO runs (project, id, function, version, state, trigger, ended, cold, code, duration, record)
    SELECT project, id, function, version, state, coalesce(record ->> 'trigger', 'http'), ended, cold, code,
           record ->> 'duration_us', record
    FROM runs_1 ORDER BY rowid;
DROP TABLE runs_1;

CREATE UNIQUE INDEX runs_id ON runs (project, id);
CREATE INDEX runs_function ON runs (project, function, id, version, state, trigger, cold, code, duration);
-- Runs that people look for: those that did not just succeed on a warm instance. Few, so the index is nearly free.
CREATE INDEX runs_notable ON runs (project, id, function, version, state, trigger, cold, code, duration)
    WHERE state <> 2 OR cold = 1;

-- Up to where results of old runs have been removed.
CREATE TABLE results_removed (
    project BLOB PRIMARY KEY,
    before  BLOB NOT NULL
) STRICT, WITHOUT ROWID;
