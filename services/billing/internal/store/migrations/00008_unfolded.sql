-- +goose Up

-- The records of closed calls that are to be folded. A fold reads and deletes these narrow rows, which lie together, and leaves the holds
-- alone: to mark each hold as folded would write its page again. The hold itself says fold = 2 from its closing on. A hold that is
-- closed with another value was closed by a version before this one, and is folded as before.
CREATE TABLE unfolded_call (
    account_id TEXT   NOT NULL,
    -- When the hold was closed or corrected: a fold takes the oldest calls first.
    close_time BIGINT NOT NULL,
    hold_id    TEXT   NOT NULL,
    user_id    TEXT   NOT NULL,
    -- 1: charge and usage are to be folded. 3: the usage only, because the charge has an entry of its own.
    fold       BIGINT NOT NULL,
    -- The charge that is to be folded.
    charged    BIGINT NOT NULL,
    -- A segment of this one call, without the user, in the form of segment.go.
    record     BYTEA  NOT NULL,
    PRIMARY KEY (account_id, close_time, hold_id),
    CONSTRAINT unfolded_call_fold CHECK (fold IN (1, 3)),
    CONSTRAINT unfolded_call_charged CHECK (charged >= 0)
);

-- +goose Down
UPDATE hold SET fold = (SELECT c.fold FROM unfolded_call AS c WHERE c.account_id = hold.account_id AND c.close_time = hold.settle_time AND c.hold_id = hold.id)
WHERE EXISTS (SELECT 1 FROM unfolded_call AS c WHERE c.account_id = hold.account_id AND c.close_time = hold.settle_time AND c.hold_id = hold.id);
DROP TABLE unfolded_call;
