-- +goose Up

-- Clerk's id of a membership; a person who joins again gets another one. '' when only a token told of it.
ALTER TABLE memberships ADD COLUMN clerk_id TEXT NOT NULL DEFAULT '';
CREATE INDEX memberships_by_clerk_id ON memberships (clerk_id);

-- Memberships of which Clerk told that they are over, by Clerk's id. The end may come before the beginning, and may tell
-- no more than the id.
CREATE TABLE ended_memberships (
    clerk_id  TEXT PRIMARY KEY,
    end_time  TIMESTAMP, -- when Clerk says that it was
    note_time TIMESTAMP NOT NULL -- when that came here
);
CREATE INDEX ended_memberships_by_time ON ended_memberships (note_time);

-- +goose Down
DROP TABLE ended_memberships;
DROP INDEX memberships_by_clerk_id;
ALTER TABLE memberships DROP COLUMN clerk_id;
