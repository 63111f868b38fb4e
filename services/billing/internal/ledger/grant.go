package ledger

import (
	"context"
	"strings"
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/billing/internal/money"
)

// Prefixes of the sources of grants that the ledger makes itself.
const (
	sourcePlan   = "plan:"
	sourceRefund = "refund:"
)

// NewGrant is credit to give.
type NewGrant struct {
	// AccountID is who gets it; a new account is opened.
	AccountID string
	// Source is what it is for: the same source is granted once.
	Source string
	// Amount is from 1 to MaxAmount, in nano-dollars.
	Amount int64
	// ExpireTime is the first moment at which it is no longer good; zero or Never means that it has no end.
	ExpireTime time.Time
}

// Grant gives an account credit, which pays its debt first. The same grant again is answered with the first. Errors:
// INVALID_ARGUMENT, CONFLICT (the source was used for another grant, or the account would have too much), SERVICE_UNAVAILABLE.
func (l *Ledger) Grant(ctx context.Context, n NewGrant) (Grant, error) {
	if n.ExpireTime.IsZero() {
		n.ExpireTime = Never
	}
	n.ExpireTime = n.ExpireTime.UTC().Truncate(time.Microsecond)
	if err := n.check(l.now()); err != nil {
		return Grant{}, err
	}
	var given Grant
	var refusal error
	err := l.store.Write(ctx, n.AccountID, func(ctx context.Context, tx Tx) (err error) {
		given, refusal, err = l.grant(ctx, tx, n)
		return err
	})
	if err != nil {
		return Grant{}, asPublic(err, "granting credit")
	}
	return given, refusal
}

func (n NewGrant) check(now time.Time) error {
	bad := errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "The grant can't be made; see the fields.")
	if n.Amount < 1 || n.Amount > MaxAmount {
		bad = bad.Field("amountNanoUsd", "must be from 1 to 1000000000000000000 nano-dollars")
	}
	if n.Source == "" || strings.HasPrefix(n.Source, sourcePlan) || strings.HasPrefix(n.Source, sourceRefund) {
		bad = bad.Field("source", "must not be empty, nor begin with plan: or refund:, which the ledger uses itself")
	}
	if !n.ExpireTime.After(now) {
		bad = bad.Field("expireTime", "must be in the future")
	}
	if len(bad.Fields) == 0 {
		return nil
	}
	return bad
}

func (l *Ledger) grant(ctx context.Context, tx Tx, n NewGrant) (given Grant, refusal, err error) {
	now := l.now()
	account, err := l.touch(ctx, tx, n.AccountID, now)
	if err != nil {
		return Grant{}, nil, err
	}
	if account.Balance > MaxBalance-n.Amount {
		refusal = errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFLICT,
			"The account has %s; with this grant it would have more than %s, the most that an account may have.",
			money.Format(account.Balance), money.Format(MaxBalance)).Field("amountNanoUsd", "exceeds what the account may have")
	}
	if refusal == nil {
		inserted, err := l.give(ctx, tx, &account, Grant{Source: n.Source, Amount: n.Amount, ExpireTime: n.ExpireTime}, now)
		if err != nil {
			return Grant{}, nil, err
		}
		if inserted {
			if err := l.save(ctx, tx, &account); err != nil {
				return Grant{}, nil, err
			}
		}
	}
	given, err = tx.GrantBySource(ctx, n.AccountID, n.Source)
	switch {
	case err != nil && refusal != nil:
		return Grant{}, refusal, nil
	case err != nil:
		return Grant{}, nil, err
	case given.Amount != n.Amount || !given.ExpireTime.Equal(n.ExpireTime):
		return Grant{}, errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFLICT,
			"The source %q was used for another grant to this account, of %s. Use a source once.", n.Source, money.Format(given.Amount)).
			Field("source", "was used for another grant"), nil
	default:
		return given, nil, nil
	}
}
