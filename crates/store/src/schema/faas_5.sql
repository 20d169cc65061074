-- Messages of topics. seq is the order of sending and never used twice. at: when it was sent.
CREATE TABLE messages (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    project BLOB    NOT NULL,
    topic   TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    payload BLOB    NOT NULL
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
