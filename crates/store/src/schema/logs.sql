-- Ids are 16 bytes, big-endian. Times are milliseconds since the Unix epoch. The id is the cursor and never used twice.
-- level: 0 debug, 1 info, 2 warn, 3 error. stream: 0 stdout, 1 stderr, 2 logger, 3 platform.
-- Lines stand in the order of their times, nearly: a time is found by halving, without an index on it.
CREATE TABLE lines (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    project  BLOB    NOT NULL,
    function BLOB    NOT NULL,
    run      BLOB,
    at       INTEGER NOT NULL,
    level    INTEGER NOT NULL,
    stream   INTEGER NOT NULL,
    message  TEXT    NOT NULL
) STRICT;
CREATE INDEX lines_project ON lines (project, id);
CREATE INDEX lines_function ON lines (project, function, id);
CREATE INDEX lines_run ON lines (project, run, id) WHERE run IS NOT NULL;

-- What each project's lines take, for the bound on it; changed with the lines.
CREATE TABLE usage (
    project BLOB PRIMARY KEY,
    bytes   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
