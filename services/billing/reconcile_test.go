package billing_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	inboxv1 "github.com/trivet-dev/trivet/gen/go/trivet/inbox/v1"
)

// reconcile returns the last word on each kind, as "same repaired created removed".
func (h *fixture) reconcile(req *billingv1.ReconcileRequest) (map[string]string, error) {
	h.t.Helper()
	stream, err := h.from("gateway").Reconcile(h.as(operator), req)
	require.NoError(h.t, err)
	found := map[string]string{}
	for {
		p, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return found, err
		}
		if p.GetDone() {
			found[p.GetKind()] = fmt.Sprint(p.GetSame(), p.GetRepaired(), p.GetCreated(), p.GetRemoved())
		}
	}
}

func TestReconcileRepairsWhatNoWebhookTold(t *testing.T) {
	each(t, webhookEnv(), func(t *testing.T, h *fixture) {
		var customers []string
		for i := range 120 {
			customers = append(customers, h.at(http.MethodPost, "/v1/customers", url.Values{"email": {fmt.Sprintf("c%d@example.test", i)}}))
		}
		product := h.at(http.MethodPost, "/v1/products", url.Values{"name": {"Pro"}})
		h.at(http.MethodPost, "/v1/prices", url.Values{
			"product": {product}, "currency": {"usd"}, "unit_amount": {"2000"}, "recurring[interval]": {"month"},
		})
		method := h.at(http.MethodPost, "/v1/payment_methods", url.Values{"type": {"card"}, "card[token]": {"tok_visa"}})
		h.at(http.MethodPost, "/v1/payment_methods/"+method+"/attach", url.Values{"customer": {customers[0]}})

		all, err := h.reconcile(&billingv1.ReconcileRequest{})
		require.NoError(t, err)
		require.Equal(t, map[string]string{
			"customers": "0 0 120 0", "products": "0 0 1 0", "prices": "0 0 1 0", "subscriptions": "0 0 0 0", "invoices": "0 0 0 0",
			"checkout_sessions": "0 0 0 0", "payment_methods": "0 0 1 0", "refunds": "0 0 0 0", "credit_notes": "0 0 0 0", "subscription_schedules": "0 0 0 0", "disputes": "0 0 0 0",
		}, all)

		h.at(http.MethodPost, "/v1/customers/"+customers[1], url.Values{"metadata[vip]": {"yes"}})
		h.at(http.MethodDelete, "/v1/customers/"+customers[2], nil)
		h.at(http.MethodPost, "/v1/customers", nil)
		h.at(http.MethodPost, "/v1/payment_methods/"+method+"/detach", nil)
		all, err = h.reconcile(&billingv1.ReconcileRequest{})
		require.NoError(t, err)
		require.Equal(t, "118 1 1 1", all["customers"])
		require.Equal(t, "1 0 0 0", all["prices"])
		require.Equal(t, "0 1 0 0", all["payment_methods"])

		all, err = h.reconcile(&billingv1.ReconcileRequest{})
		require.NoError(t, err)
		require.Equal(t, "120 0 0 0", all["customers"], "one reconciliation leaves no difference")
		require.Equal(t, "1 0 0 0", all["payment_methods"])

		all, err = h.reconcile(&billingv1.ReconcileRequest{Since: timestamppb.New(time.Now().Add(time.Hour))})
		require.NoError(t, err)
		require.Equal(t, "0 0 0 0", all["customers"])
	})
}

func TestEventsAndReconcilingAgree(t *testing.T) {
	each(t, webhookEnv(), func(t *testing.T, h *fixture) {
		stop := h.run()
		defer stop()
		id := h.at(http.MethodPost, "/v1/customers", url.Values{"email": {"ada@example.test"}, "name": {"Ada"}})
		_, err := h.deliver(webhookSecret, hint("evt_1", "customer.created", "customer", id))
		require.NoError(t, err)
		h.eventually("evt_1", inboxv1.EventState_EVENT_STATE_DONE)
		all, err := h.reconcile(&billingv1.ReconcileRequest{})
		require.NoError(t, err)
		require.Equal(t, "1 0 0 0", all["customers"])
	})
}

func TestReconcileRefuses(t *testing.T) {
	each(t, nil, func(t *testing.T, h *fixture) {
		_, err := h.reconcile(&billingv1.ReconcileRequest{})
		refused(t, errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR, err)
	})
	each(t, webhookEnv(), func(t *testing.T, h *fixture) {
		_, err := h.reconcile(&billingv1.ReconcileRequest{TimeLimit: durationpb.New(-time.Second)})
		refused(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err)
	})
}

func TestASubscriptionAndItsInvoiceAreKept(t *testing.T) {
	each(t, webhookEnv(), func(t *testing.T, h *fixture) {
		customer := h.at(http.MethodPost, "/v1/customers", url.Values{
			"payment_method": {"pm_card_visa"}, "invoice_settings[default_payment_method]": {"pm_card_visa"},
		})
		product := h.at(http.MethodPost, "/v1/products", url.Values{"name": {"Pro"}})
		price := h.at(http.MethodPost, "/v1/prices", url.Values{
			"product": {product}, "currency": {"usd"}, "unit_amount": {"2000"}, "recurring[interval]": {"month"},
		})
		h.at(http.MethodPost, "/v1/subscriptions", url.Values{"customer": {customer}, "items[0][price]": {price}})
		for _, want := range []string{"0 0 1 0", "1 0 0 0"} {
			all, err := h.reconcile(&billingv1.ReconcileRequest{})
			require.NoError(t, err)
			for _, kind := range []string{"customers", "products", "prices", "subscriptions", "invoices", "payment_methods"} {
				require.Equal(t, want, all[kind], kind)
			}
		}
	})
}
