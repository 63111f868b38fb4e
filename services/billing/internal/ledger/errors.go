package ledger

import (
	"errors"
	"fmt"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/money"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

// InsufficientError says that an account, or a limit of the caller, does not afford a call. Nothing is held.
type InsufficientError struct {
	// Account is the account as it was.
	Account Account
	// Limit is set when a limit is tighter than the balance: the tightest of the caller's.
	Limit *LimitBudget
	// Needed is the least that the call needs, in nano-dollars; -1 when it is more than can be counted.
	Needed int64
}

// LimitBudget is what a limit leaves.
type LimitBudget struct {
	// Kind tells whose limit it is.
	Kind SubjectKind
	// Amount is what the limit allows in the window; Left may be below 0.
	Amount, Left int64
	Window
	// Wait is the time until the next window begins.
	Wait time.Duration

	// subject is whose limit it is, and spent what the window has used of it.
	subject Subject
	spent   int64
}

// Error says what is missing.
func (e *InsufficientError) Error() string {
	if e.Limit != nil {
		return "the limit of the " + string(e.Limit.Kind) + " does not cover the call"
	}
	return "the balance does not cover the call"
}

// Field is a part of a request that is wrong.
type Field int

// The fields.
const (
	FieldAccount Field = iota
	FieldSource
	FieldAmount
	FieldExpiry
	FieldInput
	FieldExpectedInput
	FieldMinOutput
	FieldMaxOutput
	FieldChoices
	FieldMember
	FieldKey
	FieldLimit
)

// Problem is what is wrong with a field, as the end of a sentence: "must be in the future".
type Problem struct {
	Field Field
	Text  string
}

// InvalidError lists what is wrong with a request.
type InvalidError struct{ Problems []Problem }

// Error lists the problems.
func (e *InvalidError) Error() string { return fmt.Sprintf("invalid request: %v", e.Problems) }

// orNil is e if it has problems.
func (e *InvalidError) orNil() error {
	if len(e.Problems) == 0 {
		return nil
	}
	return e
}

func (e *InvalidError) add(field Field, format string, args ...any) {
	e.Problems = append(e.Problems, Problem{field, fmt.Sprintf(format, args...)})
}

// UnknownModelError wraps what the price list says about a model that it does not have.
type UnknownModelError struct{ Err error }

// Error is the price list's.
func (e *UnknownModelError) Error() string { return e.Err.Error() }

// Unwrap returns the price list's error.
func (e *UnknownModelError) Unwrap() error { return e.Err }

// ModelNotAllowedError says that the account's plan does not include a model.
type ModelNotAllowedError struct {
	Model string
	Plan  plans.Plan
}

// Error names the plan and the model.
func (e *ModelNotAllowedError) Error() string {
	return fmt.Sprintf("plan %s does not include model %s", e.Plan.ID, e.Model)
}

// PlanMissingError says that the plan file no longer has an account's plan.
type PlanMissingError struct{ PlanID string }

// Error names the plan.
func (e *PlanMissingError) Error() string { return "no plan " + e.PlanID }

// RequestUsedError says that a request id was used before.
type RequestUsedError struct {
	RequestID string
	// Over is true when it was the same call, and that is settled; otherwise it was another call.
	Over bool
}

// Error names the request id.
func (e *RequestUsedError) Error() string { return "request id used before: " + e.RequestID }

// HoldNotFoundError says that there is no such hold.
type HoldNotFoundError struct{ HoldID string }

// Error names the hold.
func (e *HoldNotFoundError) Error() string { return "no hold " + e.HoldID }

// HoldClosedError says that a hold takes no more checkpoints.
type HoldClosedError struct{ HoldID string }

// Error names the hold.
func (e *HoldClosedError) Error() string { return "hold closed: " + e.HoldID }

// UsageError says that usage cannot be that of a call, or costs more than a charge may be.
type UsageError struct{ Usage Usage }

// Error shows the counts.
func (e *UsageError) Error() string { return fmt.Sprintf("usage out of range: %+v", e.Usage) }

// UncountableError says that a charge would take one of the account's sums beyond its bound.
type UncountableError struct{ Cost int64 }

// Error names the charge.
func (e *UncountableError) Error() string {
	return "a charge of " + money.Format(e.Cost) + " exceeds what the account's sums can count"
}

// ErasedError says that an account is not opened, because its person was erased.
type ErasedError struct{ AccountID string }

// Error does not name the person.
func (e *ErasedError) Error() string { return "the account's user was erased" }

// TooManyLimitsError says that an account has as many spend limits as it may have.
type TooManyLimitsError struct{ Most int64 }

// Error names the bound.
func (e *TooManyLimitsError) Error() string {
	return fmt.Sprintf("the account has %d spend limits", e.Most)
}

// LimitNotFoundError says that an account has no such spend limit.
type LimitNotFoundError struct{ ID string }

// Error names the limit.
func (e *LimitNotFoundError) Error() string { return fmt.Sprintf("no spend limit %q", e.ID) }

// AccountNotFoundError says that there is no such account.
type AccountNotFoundError struct{ AccountID string }

// Error names the account.
func (e *AccountNotFoundError) Error() string { return fmt.Sprintf("no account %q", e.AccountID) }

// BalanceLimitError says that a grant would take an account beyond MaxBalance.
type BalanceLimitError struct{ Balance int64 }

// Error names the balance.
func (e *BalanceLimitError) Error() string {
	return "balance " + money.Format(e.Balance) + " takes no such grant"
}

// SourceUsedError says that a source was used for another grant.
type SourceUsedError struct {
	Source string
	// Amount is that grant's.
	Amount int64
}

// Error names the source.
func (e *SourceUsedError) Error() string { return fmt.Sprintf("source %q was used", e.Source) }

// is tells whether err is or wraps an E.
func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
