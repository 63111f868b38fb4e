package ledger

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/billing/internal/money"
	"github.com/trivet-dev/trivet/services/billing/internal/plain"
)

// Prefixes of the sources of grants that the ledger makes itself.
const (
	sourcePlan   = "plan:"
	sourceRefund = "refund:"
)

// NewGrant is credit to give.
type NewGrant struct {
	// AccountID gets it.
	AccountID string
	// Create opens the account if there is none; without it, an unknown account is refused.
	Create bool
	// Source is what it is for: the same source is granted once.
	Source string
	// Amount is from 1 to MaxAmount, in nano-dollars.
	Amount int64
	// ExpireTime is the first moment at which it is no longer good; zero or Never means that it has no end.
	ExpireTime time.Time
}

// Grant gives an account credit, which pays its debt first. The same grant again is answered with the first, also after that has expired.
// Errors: INVALID_ARGUMENT, NOT_FOUND (the account), CONFLICT (the source was used for another grant, or the account would have too much),
// SERVICE_UNAVAILABLE.
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
		return Grant{}, asPublic(err, "granting credit")
	}
	return given, refusal
}

func badGrant() *errs.Error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "The grant is invalid; see the fields.")
}

func orNil(bad *errs.Error) error {
	if len(bad.Fields) == 0 {
		return nil
	}
	return bad
}

// checkNames checks what identifies the grant.
func (n NewGrant) checkNames() error {
	bad := badGrant()
	for field, text := range map[string]string{"accountId": n.AccountID, "source": n.Source} {
		switch {
		case text == "":
			bad = bad.Field(field, "must not be empty")
		case !plain.Trimmed(text):
			bad = bad.Field(field, "must not begin or end with white space")
		case !plain.Printable(text):
			bad = bad.Field(field, "must not contain control characters")
		}
	}
	if strings.HasPrefix(n.Source, sourcePlan) || strings.HasPrefix(n.Source, sourceRefund) {
		bad = bad.Field("source", "must not begin with plan: or refund:, which the ledger uses itself")
	}
	slices.SortFunc(bad.Fields, func(a, b errs.Field) int { return strings.Compare(a.Name, b.Name) })
	return orNil(bad)
}

// checkTerms checks what a new grant gives.
func (n NewGrant) checkTerms(now time.Time) error {
	bad := badGrant()
	if n.Amount < 1 || n.Amount > MaxAmount {
		bad = bad.Field("amountNanoUsd", "must be from 1 to 1000000000000000 nano-dollars ($1000000.00)")
	}
	if !n.ExpireTime.After(now) {
		bad = bad.Field("expireTime", "must be in the future")
	}
	return orNil(bad)
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
			return Account{}, errs.New(errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND,
				"There is no account %q. Check the id, or set create to open the account with this grant.", n.AccountID).
				Field("accountId", "is unknown"), nil
		case err != nil:
			return Account{}, nil, err
		}
	}
	if account, err = l.touch(ctx, tx, n.AccountID, now); err != nil {
		return Account{}, nil, err
	}
	if account.Balance > MaxBalance-n.Amount {
		refusal = errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFLICT,
			"The account has %s; with this grant it would have more than %s, the most that an account may have.",
			money.Format(account.Balance), money.Format(MaxBalance)).Field("amountNanoUsd", "exceeds what the account may have")
	}
	return account, refusal, nil
}

// compare tells whether a stored grant is the one that is asked for.
func (n NewGrant) compare(given Grant) error {
	if given.Amount == n.Amount && given.ExpireTime.Equal(n.ExpireTime) {
		return nil
	}
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFLICT,
		"The source %q was used for another grant to this account, of %s. Use a source once.", n.Source, money.Format(given.Amount)).
		Field("source", "was used for another grant")
}
