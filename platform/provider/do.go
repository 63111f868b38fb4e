package provider

import (
	"cmp"
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/trivet-dev/trivet/platform/tracing"
)

// Verdict is what a provider's reply says about a call that is not HTTP.
type Verdict int

// The verdicts.
const (
	Accepted Verdict = iota // the call did its work
	Refused                 // the provider works and refuses this call, such as a mail to a mailbox that does not exist
	Limited                 // the provider asks for a later call
	Broken                  // the provider cannot work, or refuses every call
)

// Reply is a provider's reply to a call that is not HTTP.
type Reply struct {
	// Code is the provider's own, such as 250 of SMTP. The log shows it.
	Code    int
	Verdict Verdict
}

func (r Reply) outcome() outcome {
	switch r.Verdict {
	case Accepted:
		return success
	case Refused:
		return clientError
	case Limited:
		return rateLimited
	default:
		return serverError
	}
}

// Do makes one call that is not HTTP, such as one by SMTP, with the bulkhead, breaker, metrics, span and log line of the others. fn returns the
// provider's reply, or nil when none came; its error must show nothing secret or personal, because it is logged. Errors: *BusyError, *OpenError,
// and those of fn.
func (t *Transport) Do(ctx context.Context, method string, fn func(ctx context.Context) (*Reply, error)) error {
	c := &call{t: t, method: method, start: time.Now(), ctx: ctx}
	traced, span := tracing.Start(ctx, t.span, tracing.Client)
	if span.On() {
		c.span = span
		span.Name("call " + t.config.Integration + " " + method)
		span.Set(attribute.String("trivet.integration", t.config.Integration), attribute.String("trivet.method", method),
			attribute.String("trivet.target", cmp.Or(t.config.Target, t.config.Integration)))
	}
	if err := c.admit(nil); err != nil {
		c.end(err)
		return err
	}
	err := errPanicked
	defer func() { c.end(err) }() // also after a panic, which the caller may recover: the call's place must be free again
	if c.reply, err = fn(traced); c.reply != nil {
		c.status, c.firstByte = c.reply.Code, time.Since(c.start)
	}
	return err
}

var errPanicked = errors.New("the call panicked")
