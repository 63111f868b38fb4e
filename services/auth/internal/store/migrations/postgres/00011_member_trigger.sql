-- +goose Up

-- +goose StatementBegin
CREATE FUNCTION note_member_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO member_change (organization_id, change_id) VALUES (NEW.organization_id, gen_random_uuid()::text);
    RETURN NULL;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER membership_begins AFTER INSERT ON membership FOR EACH ROW WHEN (NEW.delete_time IS NULL) EXECUTE FUNCTION note_member_change();

CREATE TRIGGER membership_changes AFTER UPDATE OF delete_time ON membership
FOR EACH ROW WHEN ((OLD.delete_time IS NULL) <> (NEW.delete_time IS NULL)) EXECUTE FUNCTION note_member_change();

-- The members from before.
INSERT INTO member_change (organization_id, change_id) SELECT DISTINCT organization_id, 'first' FROM membership WHERE delete_time IS NULL;

-- +goose Down
DROP TRIGGER membership_changes ON membership;
DROP TRIGGER membership_begins ON membership;
DROP FUNCTION note_member_change();
