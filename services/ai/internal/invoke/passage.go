package invoke

import (
	"context"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// Why a stream that the caller had begun to get did not end in order.
const (
	cutCallerLeft    = "caller_left"
	cutBrokenOff     = "broken_off"     // the provider ended it early, or sent something that cannot be read
	cutProviderError = "provider_error" // the provider sent an error in place of the rest
	cutTimeout       = "timeout"        // the provider was silent for too long
	cutExceeded      = "exceeded"       // the provider sent more than the call's bound
	cutInternal      = "internal"       // Trivet failed
)

// FallbackText is the reason of a fallback for a caller who gets a fixed text, because no target of the model was available.
const FallbackText = "no_target"

// Moved implements Exchange.
func (c *call) Moved(reason string) { c.moves = append(c.moves, reason) }

// recordPassage records how the answer came to the caller: once for each call, whichever API it came by.
func (c *call) recordPassage() {
	recorder := c.invoker.deps.Recorder
	for _, reason := range c.moves {
		recorder.FellBack(c.up, c.model.ID, reason)
	}
	if cause := c.cutBy(); cause != "" {
		recorder.Cut(c.up, c.model.ID, cause)
	}
	if c.resumes() || !c.headed || !c.req.Stream && !c.streamsMedia() { // a resumed stream began with another call
		return
	}
	switch {
	case !c.shown.IsZero():
		recorder.FirstToken(c.up, c.model.ID, c.shown.Sub(c.arrived))
	case c.whole.Load(): // an answer in one piece that became a stream
		recorder.FirstToken(c.up, c.model.ID, c.firstByte.Sub(c.arrived))
	}
}

// cutBy is why a stream did not end in order; "" for one that did, for an answer that the caller had not begun to get, and for one that the
// caller did not ask to be streamed.
func (c *call) cutBy() string {
	switch {
	case !c.headed, !c.req.Stream && !c.streamsMedia() && !c.resumes():
		return ""
	case c.leftEarly:
		return cutCallerLeft
	case c.panicked != nil:
		return cutInternal
	case c.err == nil:
		return ""
	case c.exceeded:
		return cutExceeded
	case c.told:
		return cutProviderError
	}
	switch errs.ReasonOf(c.err) {
	case errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_TIMEOUT:
		return cutTimeout
	case errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR:
		return cutBrokenOff
	default:
		return cutInternal
	}
}

// NoteFallbackText counts a call that ended without a target, and whose caller gets a fixed text.
func (i *Invoker) NoteFallbackText(ctx context.Context, model string) {
	if m, err := i.deps.Models.Get(model); err == nil {
		i.deps.Recorder.FellBack(ctx, m.ID, FallbackText)
	}
}
