-- How many runs led to a message, each caused by the one before.
ALTER TABLE messages ADD COLUMN hops INTEGER NOT NULL DEFAULT 0;
