-- +goose Up

-- +goose StatementBegin
CREATE TRIGGER membership_begins AFTER INSERT ON membership WHEN NEW.delete_time IS NULL
BEGIN
    INSERT INTO member_change (organization_id, change_id) VALUES (NEW.organization_id, lower(hex(randomblob(16))));
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER membership_changes AFTER UPDATE OF delete_time ON membership WHEN (OLD.delete_time IS NULL) <> (NEW.delete_time IS NULL)
BEGIN
    INSERT INTO member_change (organization_id, change_id) VALUES (NEW.organization_id, lower(hex(randomblob(16))));
END;
-- +goose StatementEnd

-- The members from before.
INSERT INTO member_change (organization_id, change_id) SELECT DISTINCT organization_id, 'first' FROM membership WHERE delete_time IS NULL;

-- +goose Down
DROP TRIGGER membership_changes;
DROP TRIGGER membership_begins;
