package ledger

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/trivet-dev/trivet/platform/plain"
)

// SubjectKind tells whose limit it is.
type SubjectKind string

// The kinds of subjects.
const (
	SubjectMember SubjectKind = "member"
	SubjectKey    SubjectKind = "api_key"
)

// Subject is whose spending is limited.
type Subject struct {
	Kind SubjectKind
	// ID is the user's or the API key's; EveryMember for each member that has no limit of its own for the same windows.
	ID string
}

// EveryMember is the id of the subject of a default limit.
const EveryMember = ""

// MemberSubject is a member of an account.
func MemberSubject(userID string) Subject { return Subject{Kind: SubjectMember, ID: userID} }

// KeySubject is an API key.
func KeySubject(keyID string) Subject { return Subject{Kind: SubjectKey, ID: keyID} }

// SpendLimit is the most that a subject may spend in each window, its holds included.
type SpendLimit struct {
	// ID is "limit_…", made from the account, the subject and the period.
	ID        string
	AccountID string
	Subject   Subject
	// Period is one of the constants.
	Period time.Duration
	// Amount is in nano-dollars; above 0.
	Amount                 int64
	CreateTime, UpdateTime time.Time
}

// effective applies the limits of every member to those periods for which the member has no limit of its own.
func effective(stored []SpendLimit, userID string) (limits []SpendLimit) {
	own := map[time.Duration]bool{}
	for _, l := range stored {
		if l.Subject == MemberSubject(userID) {
			own[l.Period] = true
		}
	}
	for _, l := range stored {
		if l.Subject == MemberSubject(EveryMember) {
			if own[l.Period] {
				continue
			}
			l.Subject.ID = userID
		}
		limits = append(limits, l)
	}
	return limits
}

// LimitQuery asks for spend limits.
type LimitQuery struct {
	AccountID string
	// Only narrows the list to a kind, and to a subject; its zero value means all.
	Only Subject
	// WithDefaults adds the limits of every member to those of one.
	WithDefaults bool
	// After is the last limit of the page before; only its Subject and Period are used.
	After SpendLimit
	Limit int
	// Caller is the user who asks; the account's free credit may be that person's. "" means nobody.
	Caller string
}

// LimitUse is a limit with its present window.
type LimitUse struct {
	SpendLimit
	// Window and Spend are zero for a limit of every member.
	Window Window
	Spend  Spend
}

const (
	// MaxLimits bounds the spend limits of an account.
	MaxLimits = 10_000
	// maxLimitPage bounds a page of limits, because the first read of a window sums it up.
	maxLimitPage = 100
)

// SetLimit makes a spend limit, or changes the amount of the one that the subject has for the period. What the subject has spent in the present window
// counts. Errors: *AccountNotFoundError, *InvalidError, *ErasedError, *TooManyLimitsError, ErrUnavailable.
func (l *Ledger) SetLimit(ctx context.Context, limit SpendLimit) (SpendLimit, error) {
	if err := limit.check(); err != nil {
		return SpendLimit{}, err
	}
	limit.ID = limit.id()
	err := l.store.Write(ctx, limit.AccountID, func(ctx context.Context, tx Tx) error {
		if _, err := tx.LockAccount(ctx, limit.AccountID); err != nil {
			return err
		}
		limit.UpdateTime = l.now()
		saved, err := tx.SaveSpendLimit(ctx, limit, MaxLimits)
		if err == nil {
			limit = saved
		}
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return SpendLimit{}, &AccountNotFoundError{limit.AccountID}
	}
	return limit, err
}

func (s SpendLimit) check() error {
	bad := &InvalidError{}
	field := FieldMember
	if s.Subject.Kind == SubjectKey {
		field = FieldKey
	}
	switch id := s.Subject.ID; {
	case id == "" && field == FieldKey:
		bad.add(field, "must not be empty")
	case !plain.Trimmed(id):
		bad.add(field, "must not begin or end with white space")
	case !plain.Printable(id):
		bad.add(field, "must not contain control characters")
	}
	if s.Amount < 1 || s.Amount > MaxBalance {
		bad.add(FieldLimit, "is %d, must be from 1 to %d", s.Amount, int64(MaxBalance))
	}
	return bad.orNil()
}

// id is the same for the same subject and period of an account.
func (s SpendLimit) id() string {
	const idBytes = 15
	sum := sha256.Sum256([]byte(s.AccountID + "\x00" + string(s.Subject.Kind) + "\x00" + s.Subject.ID + "\x00" + strconv.FormatInt(s.Period.Microseconds(), 10)))
	return encode(prefixLimit, sum[:idBytes])
}

// DeleteLimit deletes a spend limit, unless may refuses that. Errors: *LimitNotFoundError, may's, ErrUnavailable.
func (l *Ledger) DeleteLimit(ctx context.Context, accountID, id string, may func(SpendLimit) error) error {
	var refusal error
	err := l.store.Write(ctx, accountID, func(ctx context.Context, tx Tx) error {
		if _, err := tx.LockAccount(ctx, accountID); err != nil {
			return err
		}
		limit, err := tx.SpendLimit(ctx, accountID, id)
		if err != nil {
			return err
		}
		if refusal = may(limit); refusal != nil {
			return nil
		}
		return tx.DeleteSpendLimit(ctx, accountID, id)
	})
	if errors.Is(err, ErrNotFound) {
		return &LimitNotFoundError{id}
	}
	if err != nil {
		return err
	}
	return refusal
}

// Limits reads a page of at most 100 spend limits, with what is held and spent in their present windows. last is the last limit of the page if there may
// be more. Errors: *AccountNotFoundError, ErrUnavailable.
func (l *Ledger) Limits(ctx context.Context, q LimitQuery) (uses []LimitUse, last *SpendLimit, err error) {
	size := min(q.Limit, maxLimitPage)
	q.Limit = size + 1
	page, err := l.store.SpendLimitPage(ctx, q)
	if err != nil || len(page) == 0 {
		return nil, nil, err
	}
	if len(page) > size {
		page = page[:size]
		last = &page[size-1]
	}
	err = l.store.Write(ctx, q.AccountID, func(ctx context.Context, tx Tx) error {
		uses = make([]LimitUse, 0, len(page))
		return l.use(ctx, tx, q, page, &uses)
	})
	if errors.Is(err, ErrNotFound) {
		err = &AccountNotFoundError{q.AccountID}
	}
	return uses, last, err
}

// use adds the present windows of limits, without those of people who were erased meanwhile and without limits that were deleted meanwhile: the windows of an
// account without limits are not kept up to date.
func (l *Ledger) use(ctx context.Context, tx Tx, q LimitQuery, page []SpendLimit, uses *[]LimitUse) error {
	now := l.now()
	if _, err := tx.LockAccount(ctx, q.AccountID); err != nil {
		return err
	}
	account, err := l.touch(ctx, tx, q.AccountID, q.Caller, now)
	if err != nil {
		return err
	}
	if now.Before(account.PeriodStart) {
		now = account.PeriodStart
	}
	for _, limit := range page {
		limit, err := present(ctx, tx, limit)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		use := LimitUse{SpendLimit: limit}
		if limit.Subject != MemberSubject(EveryMember) {
			use.Window = windowAt(limit.Period, account, now)
			use.Spend, err = tx.SpendWindow(ctx, q.AccountID, limit.Subject, use.Window, limit.Amount)
			if is[*ErasedError](err) {
				continue
			}
			if err != nil {
				return err
			}
		}
		*uses = append(*uses, use)
	}
	return nil
}

// present reads a limit of the locked account again, or ErrNotFound.
func present(ctx context.Context, tx Tx, limit SpendLimit) (SpendLimit, error) {
	userID, keyID := limit.Subject.ID, ""
	switch {
	case limit.Subject == MemberSubject(EveryMember): // it has no window
		return limit, nil
	case limit.Subject.Kind == SubjectKey:
		userID, keyID = "", limit.Subject.ID
	}
	stored, err := tx.SpendLimits(ctx, limit.AccountID, userID, keyID)
	if err != nil {
		return SpendLimit{}, err
	}
	for _, s := range stored {
		if s.ID == limit.ID {
			return s, nil
		}
	}
	return SpendLimit{}, ErrNotFound
}

// String names the subject.
func (s Subject) String() string { return fmt.Sprintf("%s %s", s.Kind, s.ID) }
