package ledger

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"github.com/trivet-dev/trivet/platform/callid"
	"github.com/trivet-dev/trivet/platform/models"
)

// Reservation is the worst case of a call.
type Reservation struct {
	// RequestID is the caller's idempotency key within the account.
	RequestID string
	// AccountID pays.
	AccountID string
	// UserID and APIKeyID call.
	UserID, APIKeyID string
	// Verified tells that the user has a verified email address or phone number.
	Verified bool
	// KeyLimit is the API key's own.
	KeyLimit KeyLimit
	// Model is called.
	Model string
	// InputTokens is an upper bound of the input.
	InputTokens int64
	// ExpectedInputTokens is what the input most likely is, at most InputTokens; 0 means InputTokens.
	ExpectedInputTokens int64
	// MinOutputTokens is the least output for each answer that makes the call worth making.
	MinOutputTokens int64
	// MaxOutputTokens is the output for each answer that is wanted; 0 when the model has none.
	MaxOutputTokens int64
	// Choices is how many answers are made; 0 means 1.
	Choices int64
	// Once is what the caller's idempotency key asks for.
	Once Once
	// Pricing is set when the model's prices of tokens do not describe the call.
	Pricing *Pricing
}

// Pricing is the highest price that a call can have, in nano-dollars.
type Pricing struct {
	// Input and Output are the prices of a million tokens of the dearest kind.
	Input, Output int64
	// Fixed is the highest price of everything that is not a token.
	Fixed int64
}

// fingerprint tells one request from another under the same id.
func (r Reservation) fingerprint() string {
	var buffer [256]byte // usual ids fit
	b := buffer[:0]
	for _, text := range [...]string{r.UserID, r.APIKeyID, r.Model} {
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	for _, n := range [...]int64{r.InputTokens, r.ExpectedInputTokens, r.MinOutputTokens, r.MaxOutputTokens, r.Choices} {
		b = binary.AppendVarint(b, n)
	}
	if p := r.Pricing; p != nil {
		for _, n := range [...]int64{p.Input, p.Output, p.Fixed} {
			b = binary.AppendVarint(b, n)
		}
	}
	sum := sha256.Sum256(b)
	return encode("", sum[:15])
}

// holdID returns the id of a request's hold, which is made from what makes it unique, so that the primary key alone makes Reserve
// idempotent. The id of a call's hold begins with the time of the call, so that new rows lie together in the index: a random place costs a
// page for each. renamed tells that versions before this one gave it formerHoldID. Where replicas share the database, such a version may run at the same
// time, so the id stays as it was.
func (l *Ledger) holdID(accountID, requestID string) (id string, began time.Time, renamed bool) {
	const timeBytes = 6
	began, ok := callid.Parse(requestID, accountID)
	if !ok || l.store.Shared() {
		return formerHoldID(accountID, requestID), began, false
	}
	sum := holdSum(accountID, requestID)
	var raw [8 + holdBytes]byte
	binary.BigEndian.PutUint64(raw[:], uint64(began.UnixMilli())<<16)
	copy(raw[timeBytes:], sum[:])
	return encode(prefixHold, raw[:holdBytes]), began, true
}

// holdIDs returns the id of a request's hold, and the one that a version before this one gave it; empty when it is the same.
func (l *Ledger) holdIDs(accountID, requestID string) (id, former string) {
	id, _, renamed := l.holdID(accountID, requestID)
	if renamed {
		former = formerHoldID(accountID, requestID)
	}
	return id, former
}

func formerHoldID(accountID, requestID string) string {
	sum := holdSum(accountID, requestID)
	return encode(prefixHold, sum[:holdBytes])
}

// holdBytes is how many bytes the id of a hold has.
const holdBytes = 20

func holdSum(accountID, requestID string) [sha256.Size]byte {
	var buffer [128]byte // usual ids fit
	b := append(append(buffer[:0], accountID...), 0)
	return sha256.Sum256(append(b, requestID...))
}

// maxChoices bounds the answers of one call.
const maxChoices = 128

// check refuses counts whose product could not be counted.
func (r Reservation) check() error {
	bad := &InvalidError{}
	for _, f := range []struct {
		field  Field
		tokens int64
	}{
		{FieldInput, r.InputTokens}, {FieldExpectedInput, r.ExpectedInputTokens}, {FieldMinOutput, r.MinOutputTokens}, {FieldMaxOutput, r.MaxOutputTokens},
	} {
		if f.tokens < 0 || f.tokens > MaxTokens {
			bad.add(f.field, "is %d, must be from 0 to %d", f.tokens, int64(MaxTokens))
		}
	}
	if r.Choices > maxChoices {
		bad.add(FieldChoices, "is %d, must be at most %d", r.Choices, maxChoices)
	}
	if len(bad.Problems) == 0 && r.MinOutputTokens > r.MaxOutputTokens {
		bad.add(FieldMinOutput, "is %d, must not exceed the maximum, which is %d", r.MinOutputTokens, r.MaxOutputTokens)
	}
	return bad.orNil()
}

// reserving is one Reserve in progress.
type reserving struct {
	l *Ledger
	Reservation
	// id is the hold's, and former the one that it has if a version before this one made it; empty when none can have.
	id, former string
	model      models.Model
	// worst is the model at its dearest: a price list of one's own may ask more for cached input.
	worst models.Model
	// fullCost is the price of the whole wish; tooBig is true when it cannot be counted.
	fullCost int64
	tooBig   bool
	// fixed is the part of the cost that is not tokens.
	fixed int64
	// telling is what the decision has told, and answer what it came to.
	telling telling
	answer  answer
}

// Reserve holds the worst case of a call. An account that can't afford MaxOutputTokens gets a hold for fewer, down to
// MinOutputTokens. The same request id with the same contents gets the same hold while it is open. Errors: *InsufficientError,
// *RepeatedError, *UnknownModelError, *ModelNotAllowedError, *InvalidError, *RequestUsedError, *PlanMissingError, ErrUnavailable.
func (l *Ledger) Reserve(ctx context.Context, r Reservation) (Hold, error) {
	h, err := l.reserve(ctx, r)
	if is[*PlanMissingError](err) {
		if err = l.readMissing(ctx, err); err == nil {
			h, err = l.reserve(ctx, r)
		}
	}
	if refusal, refused := errors.AsType[*InsufficientError](err); refused && l.free == FreeVerified && r.Verified {
		h, err = l.reserveVerified(ctx, r, refusal)
	}
	l.count.reserved(ctx, err)
	return h, err
}

func (l *Ledger) reserve(ctx context.Context, r Reservation) (Hold, error) {
	r.Choices = max(r.Choices, 1)
	if err := r.check(); err != nil {
		return Hold{}, err
	}
	call := l.reservings.Get().(*reserving) //nolint:forcetypeassert // the pool makes them
	defer func() {
		*call = reserving{}
		l.reservings.Put(call)
	}()
	*call = reserving{l: l, Reservation: r}
	id, began, renamed := l.holdID(r.AccountID, r.RequestID)
	call.id = id
	if renamed {
		possible, err := l.former.possible(ctx, l.store, began)
		if err != nil {
			return Hold{}, err
		}
		if possible {
			call.former = formerHoldID(r.AccountID, r.RequestID)
		}
	}
	model, err := l.prices.Get(r.Model)
	if err != nil {
		return call.held(ctx, &UnknownModelError{err})
	}
	call.model, call.worst = model, model
	call.worst.InputPrice = max(model.InputPrice, model.CachedInputPrice)
	if p := r.Pricing; p != nil {
		call.fixed = p.Fixed
		call.worst.InputPrice, call.worst.CachedInputPrice, call.worst.OutputPrice = p.Input, p.Input, p.Output
		call.model = call.worst
	}
	full, err := call.worst.Cost(r.InputTokens, 0, r.MaxOutputTokens*r.Choices)
	full = plus(full, call.fixed)
	call.fullCost, call.tooBig = full, err != nil || full > MaxAmount
	return call.run(ctx)
}

// held answers a repetition whose model is no longer in the price list; refusal is for a new call.
func (r *reserving) held(ctx context.Context, refusal error) (Hold, error) {
	again, err := r.repeated(ctx, r.l.store)
	switch {
	case errors.Is(err, ErrNotFound):
		return Hold{}, refusal
	case err != nil:
		return Hold{}, err
	}
	return again.hold, again.refusal
}

// answer is what a decision came to: a hold, or a refusal. A refusal does not fail the transaction, because it must not undo what the
// decision did besides.
type answer struct {
	hold    Hold
	refusal error
}

func (r *reserving) run(ctx context.Context) (Hold, error) {
	caller := Caller{AccountID: r.AccountID, UserID: r.UserID, APIKeyID: r.APIKeyID, Reserves: true}
	err := r.l.store.WriteCall(ctx, caller, func(ctx context.Context, tx Tx) (err error) {
		r.telling = telling{l: r.l}
		r.answer, err = r.decide(ctx, tx)
		return err
	})
	if err != nil {
		return Hold{}, err
	}
	r.telling.committed()
	if r.answer.refusal == nil {
		h := r.answer.hold
		r.l.recent.Add(h.ID, &h)
	}
	return r.answer.hold, r.answer.refusal
}

func (r *reserving) decide(ctx context.Context, tx Tx) (answer, error) {
	if r.Once.Key != "" {
		return r.decideOnce(ctx, tx)
	}
	return r.decideCall(ctx, tx)
}

// decideCall answers a repetition with the first answer, and a new request with a hold or a refusal. Nearly all requests are new, so the first
// run looks for an earlier one only before it refuses.
func (r *reserving) decideCall(ctx context.Context, tx Tx) (answer, error) {
	if !r.assumesNew(tx) {
		if again, err := r.repeated(ctx, tx); !errors.Is(err, ErrNotFound) {
			return again, err
		}
	}
	return r.decideNew(ctx, tx)
}

// assumesNew is true in a run that takes the request for new without looking for an earlier one.
func (r *reserving) assumesNew(tx Tx) bool { return tx.Assumes() && r.former == "" }

// decideNew brings the account up to date and holds what it affords.
func (r *reserving) decideNew(ctx context.Context, tx Tx) (answer, error) {
	now := r.l.now()
	account, err := r.l.touch(ctx, tx, r.AccountID, r.UserID, now)
	if err != nil {
		return answer{}, err
	}
	if now.Before(account.PeriodStart) {
		now = account.PeriodStart // the clock is behind that of a replica that has begun the period
	}
	if refusal := r.allowed(account.Plan); refusal != nil {
		return r.refuse(ctx, tx, refusal, func() error { return nil })
	}
	b, err := r.budget(ctx, tx, account, now)
	if err != nil {
		return answer{}, err
	}
	h, ok := r.affordable(now, b.amount)
	if !ok {
		return r.refuse(ctx, tx, r.insufficient(account, b), func() error { return r.telling.refused(ctx, tx, account, b.by) })
	}
	inserted, err := tx.InsertHold(ctx, h)
	if err != nil {
		return answer{}, err
	}
	if !inserted {
		return r.repeated(ctx, tx)
	}
	account.Held += h.Amount
	if err := tx.AddSpend(ctx, h, Spend{Held: h.Amount}); err != nil {
		return answer{}, err
	}
	return answer{hold: h}, tx.SaveAccount(ctx, account)
}

// refuse refuses a new request, and tells that. A repetition gets the first answer and tells nothing: what it needs is held or charged already.
func (r *reserving) refuse(ctx context.Context, tx Tx, refusal error, tell func() error) (answer, error) {
	if r.assumesNew(tx) {
		if again, err := r.repeated(ctx, tx); !errors.Is(err, ErrNotFound) {
			return again, err
		}
	}
	return answer{refusal: refusal}, tell()
}

// holdReader is a Store or a Tx.
type holdReader interface {
	Hold(ctx context.Context, id string) (Hold, error)
}

// either reads the hold with one of two ids; the second may be empty.
func either(ctx context.Context, holds holdReader, id, former string) (Hold, error) {
	h, err := holds.Hold(ctx, id)
	if errors.Is(err, ErrNotFound) && former != "" {
		return holds.Hold(ctx, former)
	}
	return h, err
}

// repeated answers a request id that was seen before, or ErrNotFound.
func (r *reserving) repeated(ctx context.Context, holds holdReader) (answer, error) {
	old, err := either(ctx, holds, r.id, r.former)
	if err != nil {
		return answer{}, err
	}
	return r.answerFor(old), nil
}

func (r *reserving) answerFor(old Hold) answer {
	switch {
	case old.Fingerprint != r.fingerprint():
		return answer{refusal: &RequestUsedError{RequestID: r.RequestID}}
	case old.State != StateOpen:
		return answer{refusal: &RequestUsedError{RequestID: r.RequestID, Over: true}}
	default:
		return answer{hold: old}
	}
}

func (r *reserving) allowed(planID string) error {
	plan, err := r.l.planOf(planID)
	if err != nil {
		return err
	}
	if !plan.Allows(r.Model) {
		return &ModelNotAllowedError{Model: r.Model, Plan: plan}
	}
	return nil
}

// affordable makes the largest hold, up to the wish, that the budget affords; false when not even the least is.
func (r *reserving) affordable(now time.Time, budget int64) (Hold, bool) {
	budget = min(max(budget, 0), MaxAmount)
	if !r.tooBig && r.fullCost <= budget {
		return r.hold(now, r.fullCost, r.MaxOutputTokens), true
	}
	// The model is asked for the sum over all answers; each gets the same share.
	total := r.worst.AffordableOutput(r.InputTokens, budget-r.fixed, r.MaxOutputTokens*r.Choices)
	output := total / r.Choices
	if total < 0 || output < r.MinOutputTokens {
		return Hold{}, false
	}
	cost, err := r.worst.Cost(r.InputTokens, 0, output*r.Choices)
	return r.hold(now, plus(cost, r.fixed), output), err == nil
}

func (r *reserving) hold(now time.Time, amount, outputTokens int64) Hold {
	return Hold{
		ID: r.id, AccountID: r.AccountID, RequestID: r.RequestID, Fingerprint: r.fingerprint(),
		UserID: r.UserID, APIKeyID: r.APIKeyID, Model: r.Model,
		InputPrice: r.model.InputPrice, CachedInputPrice: r.model.CachedInputPrice, OutputPrice: r.model.OutputPrice,
		Amount: amount, OutputTokens: outputTokens, State: StateOpen, CreateTime: now, LeaseTime: now.Add(r.l.lease),
		// The call follows at once: should this process die, its input was used, so a hold is never swept at nothing.
		Used: Usage{Input: min(r.InputTokens, cmp.Or(r.ExpectedInputTokens, r.InputTokens))},
	}
}
