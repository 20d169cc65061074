-- Runs that are accepted for later. Nothing was ever enqueued under the first schema.
DROP TABLE queue;
DROP TABLE dead_letters;

-- seq is the order of enqueuing. stage: 0 sleeps until due_at (delayed or leased), 1 may be handed out,
-- 2 waits behind an earlier item of its ordering key. state is the run's while it is not leased: 0 queued, 4 retried.
-- worker and epoch are those of the present lease. record: the run as JSON text.
CREATE TABLE queue (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    project      BLOB    NOT NULL,
    run          BLOB    NOT NULL,
    function     BLOB    NOT NULL,
    version      INTEGER NOT NULL,
    state        INTEGER NOT NULL,
    stage        INTEGER NOT NULL,
    due_at       INTEGER NOT NULL,
    priority     INTEGER NOT NULL,
    ordering_key TEXT,
    deliveries   INTEGER NOT NULL DEFAULT 0,
    epoch        INTEGER NOT NULL DEFAULT 0,
    worker       TEXT,
    record       TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX queue_run ON queue (project, run);
CREATE INDEX queue_function ON queue (project, function, run);
CREATE INDEX queue_ready ON queue (project, function, priority DESC, seq) WHERE stage = 1;
CREATE INDEX queue_sleeping ON queue (due_at) WHERE stage = 0;
CREATE INDEX queue_ordered ON queue (project, function, ordering_key, seq) WHERE ordering_key IS NOT NULL;

-- What runs were enqueued with; kept after their end, for replays.
CREATE TABLE inputs (
    project BLOB NOT NULL,
    run     BLOB NOT NULL,
    input   BLOB NOT NULL,
    PRIMARY KEY (project, run)
) STRICT, WITHOUT ROWID;

-- Runs that were given up; the runs themselves are in `runs`.
CREATE TABLE dead_letters (
    project  BLOB    NOT NULL,
    run      BLOB    NOT NULL,
    function BLOB    NOT NULL,
    code     INTEGER,
    died_at  INTEGER NOT NULL,
    reason   TEXT    NOT NULL,
    PRIMARY KEY (project, run)
) STRICT, WITHOUT ROWID;
CREATE INDEX dead_letters_function ON dead_letters (project, function, run);
CREATE INDEX dead_letters_age ON dead_letters (died_at);

-- Callers' own names for runs. calling: 1 while a caller waits for the answer.
CREATE TABLE claims (
    project     BLOB    NOT NULL,
    function    BLOB    NOT NULL,
    key         TEXT    NOT NULL,
    run         BLOB    NOT NULL,
    fingerprint BLOB    NOT NULL,
    expires_at  INTEGER NOT NULL,
    calling     INTEGER NOT NULL,
    reply       BLOB,
    PRIMARY KEY (project, function, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX claims_age ON claims (expires_at);
