package ai_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
)

// breakStore has the store fail to write what a provider keeps.
func (h *fixture) breakStore() {
	h.t.Helper()
	place := h.place
	place.Beside = true
	db := databasetest.Open(h.t, place, database.Migrations{})
	require.NoError(h.t, db.Write(h.t.Context(), "", func(ctx context.Context, tx database.Tx) error {
		_, err := tx.ExecContext(ctx, "DROP TABLE erased_user")
		return err
	}))
}

// When the owner of a response cannot be stored, the caller gets a 503 and pays nothing, one call was made, and the provider
// keeps nothing.
func TestAResponseWhoseOwnerCannotBeStored(t *testing.T) {
	for name, body := range map[string]string{"whole": ask, "streamed": strings.Replace(ask, "{", `{"stream":true,`, 1)} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t, withStore(), withReply(5))
			h.breakStore()
			a := h.respond(body)
			requireReason(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, a.err)
			require.Contains(t, a.err.Message, "owner")
			require.Equal(t, 10*time.Second, a.err.RetryAfter)
			require.Nil(t, a.head)
			final := h.settled().Settled[0]
			require.Zero(t, final.GetUsage().GetInputTokens()+final.GetUsage().GetOutputTokens())
			require.Equal(t, "SERVICE_UNAVAILABLE", final.GetErrorCode())
			sent, _ := h.openai.LastRequest()
			require.Equal(t, "DELETE", sent.Method)
			require.True(t, strings.HasPrefix(sent.Path, "/v1/responses/resp_"), sent.Path)
			require.EqualValues(t, 2, h.openai.Stats().Calls, "the call and the deletion")

			again := h.respond(body)
			requireReason(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, again.err)
			require.NotZero(t, again.err.RetryAfter)
			require.EqualValues(t, 2, h.openai.Stats().Calls, "no other response is made for nobody meanwhile")
			require.Nil(t, h.respond(strings.Replace(body, "{", `{"store":false,`, 1)).err)
		})
	}
}
