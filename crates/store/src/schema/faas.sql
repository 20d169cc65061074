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

-- Runs that have ended. record: the whole run as JSON text; the other columns repeat what filters need.
-- state: 0 queued, 1 running, 2 succeeded, 3 failed, 4 retried, 5 cancelled. trigger: its name on the wire.
-- code: the number in FN_nnn. duration: microseconds.
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
CREATE UNIQUE INDEX runs_id ON runs (project, id);
-- The columns that filters need stand in the index, so that a row which does not match is never read.
CREATE INDEX runs_function ON runs (project, function, id, version, state, trigger, cold, code, duration);
-- Runs that people look for: those that did not just succeed on a warm instance. Few, so the index is nearly free.
CREATE INDEX runs_notable ON runs (project, id, function, version, state, trigger, cold, code, duration)
    WHERE state <> 2 OR cold = 1;

-- What each project's runs take, for the bound on it. The writer of a batch adds its inserts up.
CREATE TABLE run_usage (
    project BLOB PRIMARY KEY,
    bytes   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TRIGGER runs_changed AFTER UPDATE OF record ON runs BEGIN
    UPDATE run_usage
        SET bytes = bytes + length(CAST(new.record AS BLOB)) - length(CAST(old.record AS BLOB))
        WHERE project = new.project;
END;
CREATE TRIGGER runs_deleted AFTER DELETE ON runs BEGIN
    UPDATE run_usage SET bytes = bytes - length(CAST(old.record AS BLOB)) - 256 WHERE project = old.project;
END;

-- Up to where results of old runs have been removed.
CREATE TABLE results_removed (
    project BLOB PRIMARY KEY,
    before  BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Runs that are accepted and have not ended. seq is the order of enqueuing. stage: 0 sleeps until due_at (delayed or leased),
-- 1 may be handed out, 2 waits behind an earlier item of its ordering key. state is the run's while it is not leased: 0 queued,
-- 4 retried. worker and epoch are those of the present lease. record: the run as JSON text. bytes: what it takes, for the
-- bounds on what waits. keyless: 1 when its caller showed no key. blob: the file with its body, which no other run shares.
-- reserved: bytes that are free for the callback of the run's end until then.
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
    record       TEXT    NOT NULL,
    bytes        INTEGER NOT NULL DEFAULT 0,
    keyless      INTEGER NOT NULL DEFAULT 0,
    blob         BLOB,
    reserved     INTEGER NOT NULL DEFAULT 0
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

-- Inputs of ended runs, for the bound on them. Within a function the first go first: rank 0 came without a key, 1 is the same
-- with a dead letter, 2 and 3 came with a key.
CREATE TABLE kept_inputs (
    project  BLOB    NOT NULL,
    function BLOB    NOT NULL,
    rank     INTEGER NOT NULL,
    run      BLOB    NOT NULL,
    bytes    INTEGER NOT NULL,
    blob     BLOB,
    PRIMARY KEY (project, function, rank, run)
) STRICT, WITHOUT ROWID;

-- Their bytes. The row with an empty function is the whole project's. Inserts are added up by those who make them.
CREATE TABLE input_usage (
    project  BLOB    NOT NULL,
    function BLOB    NOT NULL,
    bytes    INTEGER NOT NULL,
    PRIMARY KEY (project, function)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER kept_inputs_deleted AFTER DELETE ON kept_inputs BEGIN
    UPDATE input_usage SET bytes = bytes - old.bytes
        WHERE project = old.project AND function IN (old.function, x'');
END;

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

-- Callers' own names for runs. calling: 1 while a caller waits for the answer. kept: bytes of the reply. cause: 1 for what
-- triggers remember, which is counted apart.
CREATE TABLE claims (
    project     BLOB    NOT NULL,
    function    BLOB    NOT NULL,
    key         TEXT    NOT NULL,
    run         BLOB    NOT NULL,
    fingerprint BLOB    NOT NULL,
    expires_at  INTEGER NOT NULL,
    calling     INTEGER NOT NULL,
    reply       BLOB,
    keyless     INTEGER NOT NULL DEFAULT 0,
    kept        INTEGER NOT NULL DEFAULT 0,
    cause       INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (project, function, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX claims_age ON claims (expires_at);
CREATE INDEX claims_kept ON claims (project, function, keyless DESC, expires_at) WHERE kept > 0;
CREATE INDEX claims_kept_project ON claims (project, keyless DESC, expires_at) WHERE kept > 0;
-- Runs are numbered by time: the oldest cause is not the one that expires first, since some senders repeat theirs for a month.
CREATE INDEX claims_causes ON claims (project, function, run) WHERE cause = 1;
CREATE INDEX claims_causes_project ON claims (project, run) WHERE cause = 1;

-- What they take. names and keyless_names are callers'. The row with an empty function is the whole project's.
CREATE TABLE claim_usage (
    project       BLOB    NOT NULL,
    function      BLOB    NOT NULL,
    names         INTEGER NOT NULL,
    keyless_names INTEGER NOT NULL,
    bytes         INTEGER NOT NULL,
    keyless_bytes INTEGER NOT NULL,
    causes        INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (project, function)
) STRICT, WITHOUT ROWID;
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
CREATE TRIGGER claims_changed AFTER UPDATE OF kept ON claims BEGIN
    UPDATE claim_usage SET
        bytes = bytes + new.kept - old.kept,
        keyless_bytes = keyless_bytes + (new.kept - old.kept) * old.keyless
        WHERE project = old.project AND function IN (old.function, x'');
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

-- Messages about ended runs that are not delivered yet. host: what attempts are counted by. due_at: when the next attempt
-- may begin. taken: 1 while an attempt is under way, which attempts counts already.
CREATE TABLE callbacks (
    project  BLOB    NOT NULL,
    run      BLOB    NOT NULL,
    host     TEXT    NOT NULL,
    url      TEXT    NOT NULL,
    ended_at INTEGER NOT NULL,
    due_at   INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    taken    INTEGER NOT NULL DEFAULT 0,
    body     BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX callbacks_run ON callbacks (project, run);
CREATE INDEX callbacks_host ON callbacks (host, due_at);
CREATE INDEX callbacks_due ON callbacks (due_at);

-- Messages of topics. seq is the order of sending and never used twice. at: when it was sent. hops: how many runs led to it,
-- each caused by the one before.
CREATE TABLE messages (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    project BLOB    NOT NULL,
    topic   TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    payload BLOB    NOT NULL,
    hops    INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX messages_topic ON messages (project, topic, seq);

-- What the messages of each topic are and take; changed with them. A topic without messages and subscriptions has no row.
CREATE TABLE topics (
    project  BLOB    NOT NULL,
    name     TEXT    NOT NULL,
    messages INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,
    PRIMARY KEY (project, name)
) STRICT, WITHOUT ROWID;

-- Messages up to `after` have left for runs of this trigger.
CREATE TABLE subscriptions (
    project BLOB    NOT NULL,
    topic   TEXT    NOT NULL,
    trigger BLOB    NOT NULL,
    after   INTEGER NOT NULL,
    PRIMARY KEY (project, topic, trigger)
) STRICT, WITHOUT ROWID;
