package responses

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/errgroup"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/ai/internal/invoke"
	"github.com/trivet-dev/trivet/services/ai/internal/stored"
)

const (
	// lookups is how many items are looked up at once.
	lookups = 8
	// unknownTokens stands for a response whose tokens are not known: it fills any model's context.
	unknownTokens = 1 << 40
)

// resolve checks that the account owns everything that the request refers to, and restricts the call to the target that
// keeps it.
func (f *Front) resolve(ctx context.Context, account string, r *invoke.ResponseCall) error {
	refs := &r.Request.References
	found := &finding{responses: map[string]stored.Response{}}
	if refs.Previous != "" {
		previous, err := f.owned(ctx, account, refs.Previous)
		if errs.ReasonOf(err) == errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND {
			return errs.From(err).Field("previous_response_id", "was not found")
		}
		if err != nil {
			return err
		}
		found.add(previous)
	}
	if err := f.items(ctx, account, refs.Items, found); err != nil {
		return err
	}
	for _, one := range found.responses {
		if r.Target != "" && r.Target != one.Target {
			return invalid("input", "refers to items that different providers keep. Send their content instead")
		}
		r.Target = one.Target
		tokens := one.Tokens
		if tokens == 0 {
			tokens = unknownTokens
		}
		r.Request.Context = min(r.Request.Context+tokens, unknownTokens)
	}
	return nil
}

// finding collects the responses that a request refers to.
type finding struct {
	mu        sync.Mutex
	responses map[string]stored.Response
}

func (f *finding) add(r stored.Response) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.responses[r.ID] = r
}

// items looks up the responses of items.
func (f *Front) items(ctx context.Context, account string, ids []string, found *finding) error {
	if len(ids) > 0 && f.Store == nil {
		return notFound("No item with the id %q was found. Items of responses that were not stored must be sent with their content.", ids[0]).Field("input", "refers to an unknown item")
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(lookups)
	for _, id := range ids {
		group.Go(func() error {
			r, err := f.Store.OfItem(ctx, account, id, f.Now())
			switch {
			case errors.Is(err, stored.ErrNotFound):
				return notFound("No item with the id %q was found. Items of responses that were not stored must be sent with their content.", id).Field("input", "refers to an unknown item")
			case err != nil:
				return unavailable(err)
			}
			found.add(r)
			return nil
		})
	}
	return group.Wait()
}
