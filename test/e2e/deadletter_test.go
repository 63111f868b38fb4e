package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A dead event from arrival to redrive, as an operator sees it.
func TestDeadEventIsRedriven(t *testing.T) {
	inEachMode(t, func(t *testing.T, in *installation) {
		for _, source := range []string{"clerk", "stripe"} {
			in.malformed(source)
		}
		in.failingForAWhile()
		in.verifyLedger()
	}, "TRIVET_OPERATORS=user_operator")
}

// malformed follows an unreadable body with a valid signature. Trivet stores it as dead, because the provider would otherwise resend
// it for days.
func (in *installation) malformed(source string) {
	in.t.Helper()
	var sent struct {
		EventID string `json:"event_id"`
	}
	in.control(http.MethodPost, "/control/webhooks/send", map[string]any{"provider": source, "raw": `{"type": "user.upd`}, &sent)
	var e inboxEvent
	require.Eventually(in.t, func() bool {
		dead := in.events(source, "?state=EVENT_STATE_DEAD")
		if len(dead) == 1 {
			e = dead[0]
		}
		return len(dead) == 1
	}, 30*time.Second, 50*time.Millisecond)
	var told struct {
		Deliveries []struct {
			State    string
			Status   int
			Attempts int
		}
	}
	require.Eventually(in.t, func() bool {
		in.control(http.MethodGet, "/control/webhooks/deliveries?event="+sent.EventID, nil, &told)
		return len(told.Deliveries) == 1 && told.Deliveries[0].State == "delivered"
	}, 30*time.Second, 50*time.Millisecond)
	require.Equal(in.t, http.StatusOK, told.Deliveries[0].Status)
	require.Equal(in.t, 1, told.Deliveries[0].Attempts)
	require.Equal(in.t, "malformed", e.Type)
	require.Zero(in.t, e.Attempts, "nobody tries")
	require.Regexp(in.t, `JSON (at|from) byte [0-9]+`, e.LastError)
	require.NotEmpty(in.t, e.EndTime)

	in.shows(e.ID, "events", "list", "--source", source, "--state", "dead")
	in.shows(e.LastError, "events", "show", "--source", source, e.ID)
	in.shows("", "events", "redrive", "--source", source, e.ID)
	var again inboxEvent
	require.Eventually(in.t, func() bool {
		again = in.event(source, e.ID)
		return again.State == "EVENT_STATE_DEAD" || again.State == "EVENT_STATE_DONE"
	}, 30*time.Second, 50*time.Millisecond)
	require.Equal(in.t, "EVENT_STATE_DEAD", again.State, "what could not be read then can't be read now: %+v", again)
	require.Equal(in.t, 1, again.Attempts)
	require.Contains(in.t, again.LastError, "could not be read")
	require.Len(in.t, again.Failures, 1)
	require.NotContains(in.t, again.RedactedPayload, "user.upd", "what may hold anything is not kept")
}

// failingForAWhile follows an event whose object can't be fetched: it waits, says why, and succeeds by itself once Stripe works again.
func (in *installation) failingForAWhile() {
	in.t.Helper()
	w := newEventMaker(in)
	customer := w.customers[0]
	in.control(http.MethodPost, "/control/faults", map[string]any{"provider": "stripe", "kind": "status", "status": 500, "path": "/v1/customers/" + customer}, nil)
	_, err := providers{in.sandbox}.change(in.t.Context(), false, "stripe", http.MethodPost, "/v1/customers/"+customer, map[string]any{"metadata": map[string]any{"n": "1"}})
	require.NoError(in.t, err)
	var e inboxEvent
	require.Eventually(in.t, func() bool {
		found := in.events("stripe", "?subject="+customer)
		if len(found) == 0 {
			return false
		}
		e = in.event("stripe", found[0].ID)
		return e.State == "EVENT_STATE_PENDING" && len(e.Failures) >= 2
	}, time.Minute, 50*time.Millisecond)
	require.Equal(in.t, len(e.Failures), e.Attempts)
	for i, f := range e.Failures {
		require.Equal(in.t, i+1, f.Attempt)
		require.NotEmpty(in.t, f.Error)
		begun, err := time.Parse(time.RFC3339, f.BeginTime)
		require.NoError(in.t, err)
		end, err := time.Parse(time.RFC3339, f.EndTime)
		require.NoError(in.t, err)
		require.False(in.t, end.Before(begun))
	}
	require.Equal(in.t, e.Failures[len(e.Failures)-1].Error, e.LastError)
	require.Empty(in.t, e.EndTime)
	in.shows(e.ID, "events", "list", "--source", "stripe", "--subject", customer)
	in.shows(e.LastError, "events", "show", "--source", "stripe", e.ID)

	in.control(http.MethodDelete, "/control/faults?provider=stripe", nil, nil)
	var done inboxEvent
	require.Eventually(in.t, func() bool {
		done = in.event("stripe", e.ID)
		return done.State == "EVENT_STATE_DONE"
	}, time.Minute, 50*time.Millisecond)
	require.Equal(in.t, len(done.Failures)+1, done.Attempts, "what failed is still told")
	require.NotEmpty(in.t, done.EndTime)

	// Replaying what is done, or was never there, changes nothing.
	var redriven struct {
		Redriven        int64
		SkippedEventIDs []string
	}
	in.post(inboxes["stripe"]+":redrive", in.token("user_operator", nil), fmt.Sprintf(`{"eventIds":[%q,"evt_of_nobody"]}`, e.ID), &redriven)
	require.Zero(in.t, redriven.Redriven)
	require.ElementsMatch(in.t, []string{e.ID, "evt_of_nobody"}, redriven.SkippedEventIDs)
	require.Equal(in.t, done, in.event("stripe", e.ID))
}

// shows runs an operator's command that must succeed and write a text, in whatever form.
func (in *installation) shows(text string, args ...string) {
	in.t.Helper()
	out, err := in.operate(args...)
	require.NoError(in.t, err, "%v: %s", args, out)
	require.Contains(in.t, out, text, "%v", args)
}
