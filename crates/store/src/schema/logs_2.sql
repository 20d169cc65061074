-- Lines stand in the order of their times, nearly: a time is found by halving, without an index of its own.
DROP INDEX lines_at;

-- What each project's lines take, for the bound on it; changed with the lines.
CREATE TABLE usage (
    project BLOB PRIMARY KEY,
    bytes   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO usage (project, bytes)
    SELECT project, sum(length(CAST(message AS BLOB)) + 128) FROM lines GROUP BY project;
