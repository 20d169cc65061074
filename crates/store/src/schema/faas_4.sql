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
