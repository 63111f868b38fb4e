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
	found := &finding{responses: map[string]*named{}}
	if refs.Previous != "" {
		previous, err := f.owned(ctx, account, refs.Previous)
		if errs.ReasonOf(err) == errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND {
			return errs.From(err).Field("previous_response_id", "was not found")
		}
		if err != nil {
			return err
		}
		found.previous(previous)
	}
	if err := f.items(ctx, account, refs.Items, found); err != nil {
		return err
	}
	for _, one := range found.responses {
		if r.Target != "" && r.Target != one.Target {
			return invalid("input", "refers to items that different providers keep. Send their content instead")
		}
		r.Target = one.Target
		r.Request.Context = min(r.Request.Context+one.tokens(), unknownTokens)
	}
	return nil
}

// named is a response that a request names, by its id or by the ids of its items.
type named struct {
	stored.Response
	whole int64 // how often the response itself is named
	item  int64 // how often the one of its items is named that is named most
}

// tokens bounds what the provider adds to the input. A response has at most its tokens, in all of its items together, but an
// item is added as often as it is named.
func (n *named) tokens() int64 {
	if n.Tokens == 0 {
		return unknownTokens
	}
	times := n.whole + n.item
	if n.Tokens > unknownTokens/times {
		return unknownTokens
	}
	return n.Tokens * times
}

// finding collects the responses that a request refers to.
type finding struct {
	mu        sync.Mutex
	responses map[string]*named
}

func (f *finding) of(r stored.Response) *named {
	n := f.responses[r.ID]
	if n == nil {
		n = &named{Response: r}
		f.responses[r.ID] = n
	}
	return n
}

func (f *finding) previous(r stored.Response) { f.of(r).whole++ }

// item notes an item of a response, which the request names so many times.
func (f *finding) item(r stored.Response, times int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.of(r)
	n.item = max(n.item, times)
}

// items looks up the responses of items.
func (f *Front) items(ctx context.Context, account string, ids []string, found *finding) error {
	if len(ids) > 0 && f.Store == nil {
		return notFound("No item with the id %q was found. Items of responses that were not stored must be sent with their content.", ids[0]).Field("input", "refers to an unknown item")
	}
	times := make(map[string]int64, len(ids))
	for _, id := range ids {
		times[id]++
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(lookups)
	for id, times := range times {
		group.Go(func() error {
			r, err := f.Store.OfItem(ctx, account, id, f.Now())
			switch {
			case errors.Is(err, stored.ErrNotFound):
				return notFound("No item with the id %q was found. Items of responses that were not stored must be sent with their content.", id).Field("input", "refers to an unknown item")
			case err != nil:
				return unavailable(err)
			}
			found.item(r, times)
			return nil
		})
	}
	return group.Wait()
}
