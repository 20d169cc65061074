-- Ids are 16 bytes, big-endian. Times are milliseconds since the Unix epoch.

-- Counters that only rise: the registry's revision and the queue's lease epoch.
CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counters (name, value) VALUES ('revision', 0), ('epoch', 0);

CREATE TABLE entries (
    collection TEXT    NOT NULL,
    project    BLOB    NOT NULL,
    name       TEXT    NOT NULL,
    revision   INTEGER NOT NULL,
    value      BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX entries_key ON entries (collection, project, name);

-- record: the whole run as JSON text; the other columns repeat what filters need.
-- state: 0 queued, 1 running, 2 succeeded, 3 failed, 4 retried, 5 cancelled. code: the number in FN_nnn.
CREATE TABLE runs (
    project  BLOB    NOT NULL,
    id       BLOB    NOT NULL,
    function BLOB    NOT NULL,
    version  INTEGER NOT NULL,
    state    INTEGER NOT NULL,
    ended    INTEGER NOT NULL,
    cold     INTEGER NOT NULL,
    code     INTEGER,
    record   TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX runs_id ON runs (project, id);
CREATE INDEX runs_function ON runs (project, function, id);
CREATE INDEX runs_state ON runs (project, state, id);
CREATE INDEX runs_function_state ON runs (project, function, state, id);
CREATE INDEX runs_function_version ON runs (project, function, version, id);
CREATE INDEX runs_code ON runs (project, code, id) WHERE code IS NOT NULL;
CREATE INDEX runs_function_code ON runs (project, function, code, id) WHERE code IS NOT NULL;
CREATE INDEX runs_cold ON runs (project, id) WHERE cold = 1;
CREATE INDEX runs_function_cold ON runs (project, function, id) WHERE cold = 1;

-- seq is the order of enqueuing. stage: 0 sleeps until due_at (delayed or leased), 1 may be handed out,
-- 2 waits behind an earlier item of its ordering key. worker and epoch are those of the present lease.
CREATE TABLE queue (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    project      BLOB    NOT NULL,
    run          BLOB    NOT NULL,
    function     BLOB    NOT NULL,
    stage        INTEGER NOT NULL,
    due_at       INTEGER NOT NULL,
    not_before   INTEGER NOT NULL,
    priority     INTEGER NOT NULL,
    ordering_key TEXT,
    payload      BLOB    NOT NULL,
    deliveries   INTEGER NOT NULL DEFAULT 0,
    epoch        INTEGER NOT NULL DEFAULT 0,
    worker       TEXT
) STRICT;
CREATE UNIQUE INDEX queue_run ON queue (project, run);
CREATE INDEX queue_ready ON queue (priority DESC, seq) WHERE stage = 1;
CREATE INDEX queue_sleeping ON queue (due_at) WHERE stage = 0;
CREATE INDEX queue_ordered ON queue (project, function, ordering_key, seq) WHERE ordering_key IS NOT NULL;
CREATE INDEX queue_depth ON queue (project, function, worker);

CREATE TABLE dead_letters (
    project      BLOB    NOT NULL,
    run          BLOB    NOT NULL,
    function     BLOB    NOT NULL,
    seq          INTEGER NOT NULL,
    not_before   INTEGER NOT NULL,
    priority     INTEGER NOT NULL,
    ordering_key TEXT,
    payload      BLOB    NOT NULL,
    deliveries   INTEGER NOT NULL,
    reason       TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX dead_letters_run ON dead_letters (project, run);
CREATE INDEX dead_letters_function ON dead_letters (project, function);
