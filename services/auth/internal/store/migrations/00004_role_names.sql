-- +goose Up

-- The name of each role from a time on: an event about a member tells the role's name of its day, and may come after the
-- event that renamed the role.
CREATE TABLE role_names (
    role_id    TEXT NOT NULL,
    since_time TIMESTAMP NOT NULL,
    name       TEXT NOT NULL,
    PRIMARY KEY (role_id, since_time)
);
CREATE INDEX role_names_by_name ON role_names (name, since_time);
INSERT INTO role_names (role_id, since_time, name) SELECT id, update_time, name FROM roles WHERE delete_time IS NULL;

-- +goose Down
DROP TABLE role_names;
