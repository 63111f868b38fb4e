package rpc

import (
	"errors"
	"strconv"
	"strings"
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/idempotency"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/money"
)

// Public translates the ledger's errors for callers. It returns other errors unchanged: the server maps a store that is down and a
// context that has ended, and hides the rest.
func Public(err error) error {
	if e := publicCall(err); e != nil {
		return e
	}
	if e := publicGrant(err); e != nil {
		return e
	}
	return err
}

// publicCall translates errors about calls. It returns nil for others.
func publicCall(err error) error {
	if e, ok := errors.AsType[*ledger.InsufficientError](err); ok {
		return insufficient(e)
	}
	if e, ok := errors.AsType[*ledger.ModelNotAllowedError](err); ok {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_ALLOWED, "The plan %s does not include the model %s. It includes: %s.",
			e.Plan.Name, e.Model, strings.Join(e.Plan.Models, ", ")).
			Field("model", "is not included in the plan").With("model", e.Model).With("plan", e.Plan.ID)
	}
	if e, ok := errors.AsType[*ledger.PlanMissingError](err); ok {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR,
			"The account is on the plan %q, which is not in the plan file. The operator must add it again (PLANS_FILE).", e.PlanID)
	}
	if e, ok := errors.AsType[*ledger.RequestUsedError](err); ok {
		return requestUsed(e)
	}
	if e, ok := errors.AsType[*ledger.RepeatedError](err); ok {
		return repeated(e)
	}
	if e, ok := errors.AsType[*ledger.HoldNotFoundError](err); ok {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, "There is no hold %q.", e.HoldID).Field("holdId", "is unknown")
	}
	if e, ok := errors.AsType[*ledger.HoldClosedError](err); ok {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFLICT, "The hold %q is closed. Settle it to adjust the charge.", e.HoldID).
			Field("holdId", "is closed")
	}
	if e, ok := errors.AsType[*ledger.UsageError](err); ok {
		u := e.Usage
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT,
			"Invalid usage: %d input tokens (%d cached) and %d output tokens (%d reasoning). Token counts must be non-negative, cached ≤ input, "+
				"reasoning ≤ output, and the cost at most %s.", u.Input, u.CachedInput, u.Output, u.Reasoning, money.Format(ledger.MaxAmount)).
			Field("usage", "is out of range").Cause(err)
	}
	if e, ok := errors.AsType[*ledger.ReportTooLargeError](err); ok {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT,
			"The report is too large: %s alone has more groups than can be sorted. Group by less, or ask for one user, model or API key.", e.Day).
			Field("groupBy", "makes too many groups").Cause(err)
	}
	if e, ok := errors.AsType[*ledger.UncountableError](err); ok {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFLICT,
			"The charge of %s cannot be booked: the account's balance or its usage in this period would exceed what can be counted.",
			money.Format(e.Cost)).Field("usage", "exceeds what the account can count")
	}
	return nil
}

// publicGrant translates errors about grants and invalid fields. It returns nil for others.
func publicGrant(err error) error {
	if e, ok := errors.AsType[*ledger.InvalidError](err); ok {
		return invalidFields(e)
	}
	if e, ok := errors.AsType[*ledger.AccountNotFoundError](err); ok {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND,
			"Account %q was not found. Check the id. An account is opened by its first call, or by an operator's grant that sets create.", e.AccountID).
			Field("accountId", "is unknown")
	}
	if _, ok := errors.AsType[*ledger.ErasedError](err); ok {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_USER_DISABLED, "This user was deleted.")
	}
	if e, ok := errors.AsType[*ledger.LimitNotFoundError](err); ok {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND,
			"The spend limit %q was not found. ListSpendLimits returns those of the account.", e.ID).Field("id", "is unknown")
	}
	if e, ok := errors.AsType[*ledger.TooManyLimitsError](err); ok {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFLICT,
			"The account has %d spend limits, the maximum. Delete limits that it does not need, or set one for every member.", e.Most)
	}
	if e, ok := errors.AsType[*ledger.BalanceLimitError](err); ok {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFLICT,
			"The account has %s. With this grant it would exceed %s, the highest balance of an account.",
			money.Format(e.Balance), money.Format(ledger.MaxBalance)).Field("amountNanoUsd", "exceeds the highest balance of an account")
	}
	if e, ok := errors.AsType[*ledger.SourceUsedError](err); ok {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFLICT,
			"The source %q was used for another grant to this account, of %s. Use a source once.", e.Source, money.Format(e.Amount)).
			Field("source", "was used for another grant")
	}
	return nil
}

func requestUsed(e *ledger.RequestUsedError) error {
	if e.Over {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFLICT,
			"The call with the request id %q is over and billed. Use a new id for each call.", e.RequestID).
			Field("requestId", "belongs to a call that is over")
	}
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFLICT,
		"The request id %q was used for another call. Use a new id for each call.", e.RequestID).
		Field("requestId", "was used for another call")
}

// repeated explains what the first call under an idempotency key came to.
func repeated(e *ledger.RepeatedError) error {
	switch {
	case e.RequestID == "":
		return idempotency.Reused()
	case e.Running:
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_REQUEST_IN_PROGRESS,
			"The call with this Idempotency-Key still runs. Ask again later to learn what it cost.").
			With("request_id", e.RequestID).After(idempotency.Retry)
	}
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_ALREADY_COMPLETED,
		"The call with this Idempotency-Key is over and cost %s; its answer is not stored. GET /api/v1/requests/%s has its record. Use a new key to call again.",
		money.Format(e.Cost), e.RequestID).
		With("request_id", e.RequestID).With("cost_nano_usd", decimal(e.Cost))
}

// insufficient explains how much is missing, and which limit applies.
func insufficient(e *ledger.InsufficientError) error {
	needed, a := "more than can be counted", e.Account
	if e.Needed >= 0 {
		needed = "at least " + money.Format(e.Needed)
	}
	if e.Limit != nil {
		return beyondLimit(e, needed)
	}
	held := ""
	if a.Held > 0 {
		held = ", of which " + money.Format(a.Held) + " is held for running calls"
	}
	if a.Overage.Cap > 0 && a.Overage.CloseTime.Equal(ledger.Never) {
		held += "; of the overage of " + money.Format(a.Overage.Cap) + " that the plan allows, " + money.Format(a.Overage.Used) + " is used"
	}
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE,
		"Insufficient balance for this call. The balance is %s%s; the call needs %s. Add credit, ask for less output, or wait for the new period on %s.",
		money.Format(a.Balance), held, needed, a.PeriodEnd.Format(time.DateOnly)).
		With("limit", "balance").With("balance_nano_usd", decimal(a.Balance)).With("held_nano_usd", decimal(a.Held))
}

// beyondLimit explains which limit of the caller applies, and when its next window begins. Waiting helps only a call that the limit can cover.
func beyondLimit(e *ledger.InsufficientError, needed string) error {
	l := e.Limit
	who, remedy := "The API key", "use a key with a higher limit"
	if l.Kind == ledger.SubjectMember {
		who, remedy = "This member of the account", "have an admin raise the limit"
	}
	out := errs.New(errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE,
		"%s may spend %s until %s, of which %s is left; this call needs %s. Ask for less output, wait, or %s.",
		who, money.Format(l.Amount), l.End.Format(time.RFC3339), money.Format(max(l.Left, 0)), needed, remedy).
		With("limit", string(l.Kind)).With("window", periodName(l.Period)).With("window_end_time", l.End.Format(time.RFC3339)).
		With("limit_nano_usd", decimal(l.Amount)).With("available_nano_usd", decimal(l.Left))
	if e.Needed >= 0 && e.Needed <= l.Amount {
		out = out.After(l.Wait)
	}
	return out
}

// periodName names the windows of a limit.
func periodName(period time.Duration) string {
	for window, p := range periods {
		if p == period {
			return strings.ToLower(strings.TrimPrefix(window.String(), "SPEND_WINDOW_"))
		}
	}
	return strconv.FormatInt(int64(period/time.Second), 10) + "s"
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

// name returns the API's name of a ledger field.
func name(f ledger.Field) string {
	switch f {
	case ledger.FieldAccount:
		return "accountId"
	case ledger.FieldSource:
		return "source"
	case ledger.FieldAmount:
		return "amountNanoUsd"
	case ledger.FieldExpiry:
		return "expireTime"
	case ledger.FieldInput:
		return "inputTokens"
	case ledger.FieldExpectedInput:
		return "expectedInputTokens"
	case ledger.FieldMinOutput:
		return "minOutputTokens"
	case ledger.FieldMaxOutput:
		return "maxOutputTokens"
	case ledger.FieldChoices:
		return "choices"
	case ledger.FieldMember:
		return "userId"
	case ledger.FieldKey:
		return "apiKeyId"
	case ledger.FieldLimit:
		return "limitNanoUsd"
	}
	return "request"
}

func invalidFields(e *ledger.InvalidError) error {
	sentences := make([]string, 0, len(e.Problems))
	for _, p := range e.Problems {
		sentences = append(sentences, name(p.Field)+" "+p.Text+".")
	}
	public := errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "%s", strings.Join(sentences, " "))
	for _, p := range e.Problems {
		public = public.Field(name(p.Field), p.Text)
	}
	return public
}

// invalid returns the error for one wrong field.
func invalid(field, problem string) error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "%s %s.", field, problem).Field(field, problem)
}
