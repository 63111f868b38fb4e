package connect

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/peer"
	"github.com/trivet-dev/trivet/platform/requestid"
)

// fix says what to do when another service refuses this one. The cause is a known one of peer.Refusal, or "".
func fix(why string) (text, cause string) {
	switch why {
	case peer.WrongSecret:
		return "another service refused this one: their TRIVET_INTERNAL_SECRET differ; give all processes the same list", why
	case peer.WrongTime:
		return "another service refused this one: their clocks differ by more than a minute; set the clocks of the machines", why
	case peer.WrongName:
		return "another service refused this one: its version does not let this service make the call; run the same version everywhere", why
	default: // of a later version
		return "another service refused this one; compare TRIVET_INTERNAL_SECRET, the clocks and the versions of the two", ""
	}
}

// LogTo writes an error to log when another service refuses this one, one line a second at most of each cause. Call it before the first call.
func (c *Conn) LogTo(log *slog.Logger) { c.log = log }

// seen is what the caller sees of an error. A refusal of this service is Trivet's own failure: PERMISSION_DENIED would
// tell a person whose request the service serves to ask for more rights.
func (c *Conn) seen(ctx context.Context, method string, err error) error {
	if err == nil {
		return nil
	}
	why := peer.Refusal(err)
	if why == "" {
		return err
	}
	text, cause := fix(why)
	if suppressed, write := c.lines.Next(cause); write {
		c.log.LogAttrs(ctx, slog.LevelError, text, slog.String("rpc", method), slog.Any("error", err),
			slog.String("request_id", requestid.From(ctx)), slog.Int("suppressed", suppressed))
	}
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, "Service temporarily unavailable. Please try again later.").
		After(time.Second).Cause(err)
}

// seenStream is a stream whose errors are as the caller may see them.
type seenStream struct {
	grpc.ClientStream

	seen func(error) error
}

// RecvMsg implements grpc.ClientStream.
func (s *seenStream) RecvMsg(message any) error {
	return s.seen(s.ClientStream.RecvMsg(message))
}
