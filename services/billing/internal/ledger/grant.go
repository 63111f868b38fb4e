package ledger

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/platform/plain"
	"github.com/trivet-dev/trivet/services/billing/internal/money"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// Prefixes of the sources of grants that the ledger makes itself.
const (
	sourcePlan   = "plan:"
	sourceRefund = "refund:"
	sourceReturn = "return:"
)

// reserved are the prefixes that no operator's grant may have: it would take the place of a grant that is due.
func reserved() []string {
	return []string{sourcePlan, sourceRefund, sourceReturn, subscriptions.SourcePrefix, subscriptions.PackPrefix, subscriptions.TopUpPrefix}
}

// NewGrant is credit to give.
type NewGrant struct {
	// AccountID gets it.
	AccountID string
	// Create opens an unknown account. Without it, an unknown account is refused.
	Create bool
	// Source is what it is for: the same source is granted once.
	Source string
	// Amount is from 1 to MaxAmount, in nano-dollars.
	Amount int64
	// ExpireTime is the first moment at which it is no longer good; zero or Never means that it has no end.
	ExpireTime time.Time
}

// Grant gives an account credit, which pays its debt first. The same grant again is answered with the first, also after that has expired.
// Errors: *InvalidError, *AccountNotFoundError, *SourceUsedError, *BalanceLimitError, ErrUnavailable.
func (l *Ledger) Grant(ctx context.Context, n NewGrant) (Grant, error) {
	if n.ExpireTime.IsZero() {
		n.ExpireTime = Never
	}
	n.ExpireTime = n.ExpireTime.UTC().Truncate(time.Microsecond)
	if err := n.checkNames(); err != nil {
		return Grant{}, err
	}
	var given Grant
	var refusal error
	err := l.store.Write(ctx, n.AccountID, func(ctx context.Context, tx Tx) (err error) {
		given, refusal, err = l.grant(ctx, tx, n)
		return err
	})
	if err != nil {
		return Grant{}, err
	}
	return given, refusal
}

// checkNames checks what identifies the grant.
func (n NewGrant) checkNames() error {
	bad := &InvalidError{}
	for _, f := range []struct {
		field Field
		text  string
	}{{FieldAccount, n.AccountID}, {FieldSource, n.Source}} {
		switch {
		case f.text == "":
			bad.add(f.field, "must not be empty")
		case !plain.Trimmed(f.text):
			bad.add(f.field, "must not begin or end with white space")
		case !plain.Printable(f.text):
			bad.add(f.field, "must not contain control characters")
		}
	}
	for _, prefix := range reserved() {
		if strings.HasPrefix(n.Source, prefix) {
			bad.add(FieldSource, "must not begin with %s, which is reserved", prefix)
		}
	}
	return bad.orNil()
}

// checkTerms checks what a new grant gives.
func (n NewGrant) checkTerms(now time.Time) error {
	bad := &InvalidError{}
	if n.Amount < 1 || n.Amount > MaxAmount {
		bad.add(FieldAmount, "must be from 1 to %d nano-dollars (%s)", int64(MaxAmount), money.Format(MaxAmount))
	}
	if !n.ExpireTime.After(now) {
		bad.add(FieldExpiry, "must be in the future")
	}
	return bad.orNil()
}

func (l *Ledger) grant(ctx context.Context, tx Tx, n NewGrant) (given Grant, refusal, err error) {
	if given, err = tx.GrantBySource(ctx, n.AccountID, n.Source); !errors.Is(err, ErrNotFound) {
		return given, n.compare(given), err
	}
	now := l.now()
	if refusal := n.checkTerms(now); refusal != nil {
		return Grant{}, refusal, nil
	}
	account, refusal, err := l.grantee(ctx, tx, n, now)
	if err != nil || refusal != nil {
		return Grant{}, refusal, err
	}
	inserted, err := l.give(ctx, tx, &account, Grant{Source: n.Source, Amount: n.Amount, ExpireTime: n.ExpireTime}, now)
	if err == nil && inserted {
		err = l.save(ctx, tx, &account)
	}
	if err != nil {
		return Grant{}, nil, err
	}
	if given, err = tx.GrantBySource(ctx, n.AccountID, n.Source); err != nil {
		return Grant{}, nil, err
	}
	return given, n.compare(given), nil
}

// grantee is the account that the grant is for, brought up to date.
func (l *Ledger) grantee(ctx context.Context, tx Tx, n NewGrant, now time.Time) (account Account, refusal, err error) {
	if !n.Create {
		switch _, err := tx.LockAccount(ctx, n.AccountID); {
		case errors.Is(err, ErrNotFound):
			return Account{}, &AccountNotFoundError{n.AccountID}, nil
		case err != nil:
			return Account{}, nil, err
		}
	}
	if account, err = l.touchAside(ctx, tx, n.AccountID, now); err != nil {
		return Account{}, nil, err
	}
	if account.Balance > MaxBalance-n.Amount {
		refusal = &BalanceLimitError{account.Balance}
	}
	return account, refusal, nil
}

// compare tells whether a stored grant is the one that is asked for.
func (n NewGrant) compare(given Grant) error {
	if given.Amount == n.Amount && given.ExpireTime.Equal(n.ExpireTime) {
		return nil
	}
	return &SourceUsedError{Source: n.Source, Amount: given.Amount}
}
