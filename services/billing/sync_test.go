package billing_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	inboxv1 "github.com/trivet-dev/trivet/gen/go/trivet/inbox/v1"
	"github.com/trivet-dev/trivet/sandbox/webhook"
)

const (
	webhookSecret = "whsec_0123456789abcdef"
	olderSecret   = "whsec_fedcba9876543210"
)

func webhookEnv() map[string]string {
	return map[string]string{
		"STRIPE_SECRET_KEY": "sk_test_billing", "STRIPE_WEBHOOK_SECRET": webhookSecret + "," + olderSecret, "STRIPE_READS_PER_SECOND": "10000", "STRIPE_RETRY_DELAY": "1ms",
	}
}

// deliver hands billing a webhook as the gateway does.
func (h *fixture) deliver(secret, body string) (*billingv1.ReceiveWebhookResponse, error) {
	h.t.Helper()
	headers, err := webhook.Stripe([]string{secret}, "", h.Now(), []byte(body))
	require.NoError(h.t, err)
	return h.from("gateway").ReceiveWebhook(h.t.Context(), &billingv1.ReceiveWebhookRequest{
		Headers: map[string]string{"stripe-signature": headers.Get("Stripe-Signature")}, Body: []byte(body),
	})
}

// at calls the fake as Stripe's dashboard would, and returns the object's id.
func (h *fixture) at(method, path string, form url.Values) string {
	h.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	r.Header.Set("Authorization", "Bearer sk_test_billing")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.stripe.ServeHTTP(w, r)
	require.Equal(h.t, http.StatusOK, w.Code, "%s %s: %s", method, path, w.Body)
	var made struct {
		ID string `json:"id"`
	}
	require.NoError(h.t, json.Unmarshal(w.Body.Bytes(), &made))
	return made.ID
}

func hint(id, kind, object, objectID string) string {
	return fmt.Sprintf(`{"id":%q,"object":"event","type":%q,"api_version":"2023-10-16","livemode":false,"data":{"object":{"id":%q,"object":%q,"email":"ada@example.test"}}}`,
		id, kind, objectID, object)
}

func (h *fixture) event(id string) *inboxv1.Event {
	h.t.Helper()
	got, err := h.from("gateway").GetEvent(h.as(operator), &billingv1.GetEventRequest{EventId: id})
	require.NoError(h.t, err)
	return got.GetEvent()
}

func (h *fixture) eventually(id string, state inboxv1.EventState) *inboxv1.Event {
	h.t.Helper()
	require.Eventually(h.t, func() bool { return h.event(id).GetState() == state }, 20*time.Second, 5*time.Millisecond)
	return h.event(id)
}

func TestWebhooksAreStored(t *testing.T) {
	each(t, webhookEnv(), func(t *testing.T, h *fixture) {
		for name, c := range map[string]struct {
			body, id, subject string
			state             inboxv1.EventState
		}{
			"a snapshot":      {hint("evt_1", "customer.updated", "customer", "cus_1"), "evt_1", "cus_1", inboxv1.EventState_EVENT_STATE_PENDING},
			"an unknown type": {hint("evt_2", "new.thing", "thing", "thing_1"), "evt_2", "thing_1", inboxv1.EventState_EVENT_STATE_PENDING},
			"a thin one": {
				`{"id":"evt_3","object":"v2.core.event","type":"v1.x","livemode":false,"related_object":{"id":"mtr_1","type":"billing.meter"}}`,
				"evt_3", "mtr_1", inboxv1.EventState_EVENT_STATE_PENDING,
			},
			"another version": {
				`{"id":"evt_4","object":"event","type":"invoice.paid","api_version":"2031-01-01","livemode":false,"data":{"object":{"id":"in_1","object":"invoice"}}}`,
				"evt_4", "in_1", inboxv1.EventState_EVENT_STATE_PENDING,
			},
			"live mode": {`{"id":"evt_5","type":"a","livemode":true}`, "evt_5", "evt_5", inboxv1.EventState_EVENT_STATE_IGNORED},
			"an account": {
				`{"id":"evt_6","type":"a","livemode":false,"account":"acct_1"}`, "evt_6", "evt_6", inboxv1.EventState_EVENT_STATE_IGNORED,
			},
		} {
			for i, secret := range []string{webhookSecret, olderSecret} {
				got, err := h.deliver(secret, c.body)
				require.NoError(t, err, name)
				require.Equal(t, i == 1, got.GetDuplicate(), name)
			}
			e := h.event(c.id)
			require.Equal(t, c.state, e.GetState(), name)
			require.Equal(t, c.subject, e.GetSubject(), name)
			require.Equal(t, "stripe", e.GetSource(), name)
			require.Contains(t, e.GetRedactedPayload(), c.id, name)
			require.NotContains(t, e.GetRedactedPayload(), "ada@", name)
		}

		_, err := h.deliver(webhookSecret, `{"id":`)
		require.NoError(t, err)
		client := h.from("gateway")
		dead, err := client.ListEvents(h.as(operator), &billingv1.ListEventsRequest{State: inboxv1.EventState_EVENT_STATE_DEAD})
		require.NoError(t, err)
		require.Len(t, dead.GetEvents(), 1)
		require.Equal(t, "malformed", dead.GetEvents()[0].GetType())
		require.Contains(t, dead.GetEvents()[0].GetLastError(), "not JSON")
		redriven, err := client.RedriveEvents(h.as(operator), &billingv1.RedriveEventsRequest{AllDead: true})
		require.NoError(t, err)
		require.EqualValues(t, 1, redriven.GetRedriven())

		page, err := client.ListEvents(h.as(operator), &billingv1.ListEventsRequest{PageSize: 5})
		require.NoError(t, err)
		require.Len(t, page.GetEvents(), 5)
		rest, err := client.ListEvents(h.as(operator), &billingv1.ListEventsRequest{PageSize: 5, PageToken: page.GetNextPageToken()})
		require.NoError(t, err)
		require.Len(t, rest.GetEvents(), 2)
		require.Empty(t, rest.GetNextPageToken())
	})
}

// TestEventsWaitForAKey: without STRIPE_SECRET_KEY nothing can be fetched, so events are kept and not tried.
func TestEventsWaitForAKey(t *testing.T) {
	env := webhookEnv()
	delete(env, "STRIPE_SECRET_KEY")
	env["BILLING_SWEEP_INTERVAL"] = "100ms"
	each(t, env, func(t *testing.T, h *fixture) {
		_, err := h.deliver(webhookSecret, hint("evt_1", "customer.updated", "customer", "cus_1"))
		require.NoError(t, err)
		_, err = h.from("ai").Reserve(t.Context(), reserve("r1", "user_alice", "user_alice"))
		require.NoError(t, err)
		h.Add(5 * time.Minute)
		stop := h.run()
		defer stop()
		require.Eventually(t, func() bool { // the other background work has begun, too
			got, err := h.from("gateway").GetAccount(h.as(alice), &billingv1.GetAccountRequest{})
			return err == nil && got.GetAccount().GetHeldNanoUsd() == 0
		}, 20*time.Second, 10*time.Millisecond)
		e := h.event("evt_1")
		require.Equal(t, inboxv1.EventState_EVENT_STATE_PENDING, e.GetState())
		require.Zero(t, e.GetAttempts())
	})
}

func TestWebhooksAreRefused(t *testing.T) {
	each(t, webhookEnv(), func(t *testing.T, h *fixture) {
		_, err := h.deliver("whsec_stranger0123456789", hint("evt_1", "a.b", "customer", "cus_1"))
		e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_WEBHOOK_SIGNATURE_INVALID, err)
		require.Equal(t, "Invalid webhook signature", e.Message)
		_, err = h.from("gateway").ReceiveWebhook(t.Context(), &billingv1.ReceiveWebhookRequest{Body: []byte("{}")})
		refused(t, errorsv1.ErrorReason_ERROR_REASON_WEBHOOK_SIGNATURE_INVALID, err)
		_, err = h.from("ai").ReceiveWebhook(t.Context(), &billingv1.ReceiveWebhookRequest{})
		require.Error(t, err, "only the gateway hands webhooks over")

		client := h.from("gateway")
		_, err = client.GetEvent(h.as(operator), &billingv1.GetEventRequest{EventId: "evt_1"})
		refused(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, err)
		_, err = client.ListEvents(h.as(operator), &billingv1.ListEventsRequest{PageToken: "x"})
		refused(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err)
		_, err = client.ListEvents(h.as(admin), &billingv1.ListEventsRequest{})
		require.Error(t, err, "operators only")
		for _, bad := range []*billingv1.RedriveEventsRequest{{}, {AllDead: true, EventIds: []string{"evt_1"}}} {
			_, err = client.RedriveEvents(h.as(operator), bad)
			refused(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err)
		}
	})
	t.Run("not set up", func(t *testing.T) {
		each(t, nil, func(t *testing.T, h *fixture) {
			_, err := h.deliver(webhookSecret, "{}")
			refused(t, errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR, err)
		})
	})
	t.Run("store down", func(t *testing.T) {
		each(t, webhookEnv(), func(t *testing.T, h *fixture) {
			require.NoError(t, h.service.Close(context.Background()))
			_, err := h.deliver(webhookSecret, hint("evt_1", "a.b", "customer", "cus_1"))
			refused(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, err)
		})
	})
}

func TestEventsAreApplied(t *testing.T) {
	each(t, webhookEnv(), func(t *testing.T, h *fixture) {
		stop := h.run()
		defer stop()
		id := h.at(http.MethodPost, "/v1/customers", url.Values{"email": {"ada@example.test"}})
		for i := range 5 {
			_, err := h.deliver(webhookSecret, hint(fmt.Sprintf("evt_%d", i), "customer.updated", "customer", id))
			require.NoError(t, err)
		}
		for i := range 5 {
			h.eventually(fmt.Sprintf("evt_%d", i), inboxv1.EventState_EVENT_STATE_DONE)
		}
		_, err := h.deliver(webhookSecret, hint("evt_gone", "customer.deleted", "customer", "cus_never"))
		require.NoError(t, err)
		h.eventually("evt_gone", inboxv1.EventState_EVENT_STATE_DONE)
		_, err = h.deliver(webhookSecret, hint("evt_none", "new.thing", "thing", "thing_1"))
		require.NoError(t, err)
		h.eventually("evt_none", inboxv1.EventState_EVENT_STATE_DONE)
	})
}

// refused is requireReason for errors that must say something, whatever it is.
func refused(t *testing.T, want errorsv1.ErrorReason, err error) {
	t.Helper()
	require.NotEmpty(t, requireReason(t, want, err).Message)
}
