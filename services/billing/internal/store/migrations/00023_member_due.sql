-- +goose Up

-- Finds the organizations whose seats are due.
CREATE INDEX member_count_due ON member_count (next_time, account_id);

-- +goose Down
DROP INDEX member_count_due;
