package webhook_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway/internal/webhook"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// Only what the provider would not send counts against the sender's address; Trivet's own failures do not.
func TestWhichWebhooksAreRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want bool
	}{
		"stored":            {nil, false},
		"a bad signature":   {errs.New(errorsv1.ErrorReason_ERROR_REASON_WEBHOOK_SIGNATURE_INVALID, "x"), true},
		"the store is down": {errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, "x"), false},
		"no secret":         {errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR, "x"), false},
		"a defect":          {errors.New("x"), false},
	} {
		t.Run(name, func(t *testing.T) {
			refused := false
			post(&webhook.Handler{
				Receive: func(context.Context, map[string]string, []byte) error { return tc.err },
				Refused: func(*http.Request) { refused = true },
			}, t.Context())
			require.Equal(t, tc.want, refused)
		})
	}
}

// A sender that leaves while the event is being stored has not waited too long: it counts as any other broken request.
func TestASenderThatLeaves(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	refused := false
	post(&webhook.Handler{
		Receive: func(ctx context.Context, _ map[string]string, _ []byte) error {
			leave()
			<-ctx.Done()
			return ctx.Err()
		},
		Refused: func(*http.Request) { refused = true },
	}, ctx)
	require.True(t, refused)
}
