package grpcserver_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/requestid"
)

// A service learns of refused calls whose caller is known. Callers without an identity are nobody's: a service learns nothing of them.
func TestServicesLearnOfRefusedCalls(t *testing.T) {
	bothWays(t, func(t *testing.T, w *way) {
		ctx := requestid.With(t.Context(), "req-1")
		drop := func(*aiv1.RelayResponse) error { return nil }
		for name, token := range map[string]string{"nobody": "", "forged": "x", "of another service": w.token(t, passport.Claims{}, "auth"), "of the future": w.future(t)} {
			require.Error(t, w.read(ctx, token, someChat, drop))
			require.Empty(t, w.ai.told(), name)
		}
		key := w.token(t, passport.Claims{UserID: "u", AccountID: "u", APIKeyID: "key_1"}, "ai")
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, errs.ReasonOf(w.read(ctx, key, someChat, drop)))
		require.Equal(t, []string{"u Relay - PERMISSION_DENIED req-1"}, w.ai.told())

		client, good := aiv1.NewAIServiceClient(w.conn), passport.Outgoing(ctx, w.token(t, passport.Claims{}, "ai"))
		_, err := client.Embed(good, &aiv1.EmbedRequest{Model: "m"})
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, errs.ReasonOf(err))
		require.Equal(t, []string{"user_1 Embed m INVALID_ARGUMENT req-1"}, w.ai.told())
		stream, err := client.ChatStream(good, &aiv1.ChatStreamRequest{Model: "m"})
		require.NoError(t, err)
		_, err = stream.Recv()
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, errs.ReasonOf(err))
		require.Equal(t, []string{"user_1 ChatStream m INVALID_ARGUMENT req-1"}, w.ai.told())
		_, err = client.Embed(passport.Outgoing(ctx, key), &aiv1.EmbedRequest{Model: "m", Input: []string{"a"}})
		require.Error(t, err)
		require.Equal(t, []string{"u Embed - PERMISSION_DENIED req-1"}, w.ai.told())
		_, err = client.Embed(good, &aiv1.EmbedRequest{Model: "m", Input: []string{"a"}})
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_NOT_IMPLEMENTED, errs.ReasonOf(err))
		require.Empty(t, w.ai.told(), "the service's own errors are its own")
	})
}
