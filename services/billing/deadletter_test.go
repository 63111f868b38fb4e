package billing_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	inboxv1 "github.com/trivet-dev/trivet/gen/go/trivet/inbox/v1"
	"github.com/trivet-dev/trivet/sandbox/fault"
)

// A dead event from arrival through its attempts to an operator's redrive.
func TestDeadEventIsRedriven(t *testing.T) {
	env := maps.Clone(webhookEnv())
	env["TRIVET_INBOX_MAX_ATTEMPTS"], env["TRIVET_INBOX_RETRY_BASE"] = "3", "1ms"
	each(t, env, func(t *testing.T, h *fixture) {
		defer h.run()()
		id := h.at(http.MethodPost, "/v1/customers", url.Values{"name": {"Ada"}})
		broken, err := h.stripe.Faults().Add(fault.Fault{Kind: fault.Status, Status: 500, Path: "/v1/customers/" + id})
		require.NoError(t, err)
		_, err = h.deliver(webhookSecret, hint("evt_poisoned", "customer.updated", "customer", id))
		require.NoError(t, err)
		var e *inboxv1.Event
		require.Eventually(t, func() bool {
			e = h.event("evt_poisoned")
			if next := e.GetNextAttemptTime(); next != nil && next.AsTime().After(h.Now()) {
				h.Add(time.Second) // the pause ends; while an event is claimed, its lease would
			}
			return e.GetState() == inboxv1.EventState_EVENT_STATE_DEAD
		}, 20*time.Second, 5*time.Millisecond)
		require.EqualValues(t, 3, e.GetAttempts())
		require.Contains(t, e.GetLastError(), "stripe answered 500")
		require.NotNil(t, e.GetEndTime())
		require.Nil(t, e.GetDoneTime())
		require.Nil(t, e.GetNextAttemptTime())
		require.Len(t, e.GetFailures(), 3)
		for i, f := range e.GetFailures() {
			require.EqualValues(t, i+1, f.GetAttempt())
			require.Contains(t, f.GetError(), "stripe answered 500")
			require.False(t, f.GetEndTime().AsTime().Before(f.GetBeginTime().AsTime()))
		}

		client := h.from("gateway")
		redrive := func(ids ...string) *billingv1.RedriveEventsResponse {
			answer, err := client.RedriveEvents(h.as(operator), &billingv1.RedriveEventsRequest{EventIds: ids})
			require.NoError(t, err)
			return answer
		}
		require.True(t, h.stripe.Faults().Remove(broken.ID))
		answer := redrive("evt_poisoned", "evt_unknown")
		require.EqualValues(t, 1, answer.GetRedriven())
		require.Equal(t, []string{"evt_unknown"}, answer.GetSkippedEventIds())
		e = h.eventually("evt_poisoned", inboxv1.EventState_EVENT_STATE_DONE)
		require.EqualValues(t, 1, e.GetAttempts())
		require.Len(t, e.GetFailures(), 3, "what went before stays visible")
		require.Equal(t, e.GetEndTime().AsTime(), e.GetDoneTime().AsTime())

		answer = redrive("evt_poisoned")
		require.Zero(t, answer.GetRedriven(), "what is done stays done")
		require.Equal(t, []string{"evt_poisoned"}, answer.GetSkippedEventIds())
		all, err := h.reconcile(&billingv1.ReconcileRequest{})
		require.NoError(t, err)
		require.Equal(t, "1 0 0 0", all["customers"], fmt.Sprint(all))
	})
}

// Of a body that is not an event, nothing is stored that could be handled. A redrive must not mark it as done.
func TestUnreadableEventStaysDead(t *testing.T) {
	each(t, webhookEnv(), func(t *testing.T, h *fixture) {
		defer h.run()()
		_, err := h.deliver(webhookSecret, `{"id":`)
		require.NoError(t, err)
		client := h.from("gateway")
		dead, err := client.ListEvents(h.as(operator), &billingv1.ListEventsRequest{State: inboxv1.EventState_EVENT_STATE_DEAD})
		require.NoError(t, err)
		require.Len(t, dead.GetEvents(), 1)
		id := dead.GetEvents()[0].GetId()
		answer, err := client.RedriveEvents(h.as(operator), &billingv1.RedriveEventsRequest{EventIds: []string{id}})
		require.NoError(t, err)
		require.EqualValues(t, 1, answer.GetRedriven())
		require.Eventually(t, func() bool { return h.event(id).GetEndTime() != nil }, 20*time.Second, 5*time.Millisecond)
		e := h.event(id)
		require.Equal(t, inboxv1.EventState_EVENT_STATE_DEAD, e.GetState())
		require.Contains(t, e.GetLastError(), "could not be read when it arrived")
		require.EqualValues(t, 1, e.GetAttempts())
	})
}
