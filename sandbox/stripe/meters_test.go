package stripe_test

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	stripesdk "github.com/stripe/stripe-go/v76"
)

func TestMeteredUsageIsBilled(t *testing.T) {
	s := openShop(t)
	meter, err := s.client.BillingMeters.New(&stripesdk.BillingMeterParams{
		DisplayName: stripesdk.String("Tokens"), EventName: stripesdk.String("tokens"), DefaultAggregation: &stripesdk.BillingMeterDefaultAggregationParams{Formula: stripesdk.String("sum")},
	})
	require.NoError(t, err)
	require.Equal(t, stripesdk.BillingMeterStatusActive, meter.Status)
	price, err := s.client.Prices.New(&stripesdk.PriceParams{
		Currency: stripesdk.String("usd"), UnitAmountDecimal: stripesdk.Float64(0.25), ProductData: &stripesdk.PriceProductDataParams{Name: stripesdk.String("Tokens")},
		Recurring: &stripesdk.PriceRecurringParams{Interval: stripesdk.String("month"), UsageType: stripesdk.String("metered"), Meter: &meter.ID},
	})
	require.NoError(t, err)
	sub := s.subscribe(t, s.params(price))
	require.Equal(t, stripesdk.SubscriptionStatusActive, sub.Status)
	require.Zero(t, sub.Items.Data[0].Quantity)
	send := func(id string, value int, at time.Time) error {
		_, err := s.client.BillingMeterEvents.New(&stripesdk.BillingMeterEventParams{
			EventName: stripesdk.String("tokens"), Identifier: &id, Timestamp: stripesdk.Int64(at.Unix()),
			Payload: map[string]string{"stripe_customer_id": s.customer, "value": strconv.Itoa(value)},
		})
		return err
	}
	s.now.at = s.now.at.Add(time.Hour)
	for i := range 10 {
		require.NoError(t, send(fmt.Sprint("event-", i), 100, s.now.at))
	}
	err = send("event-3", 100, s.now.at)
	require.Contains(t, sdkError(t, err).Msg, "already exists")
	r := s.do(t, "POST", "/v1/billing/meter_events", "event_name=tokens&identifier=event-3&payload[stripe_customer_id]="+s.customer+"&payload[value]=1")
	require.Equal(t, http.StatusBadRequest, r.status)
	require.Equal(t, "false", r.header.Get("Stripe-Should-Retry"))
	require.Equal(t, "timestamp", sdkError(t, send("old", 1, s.now.at.AddDate(0, 0, -36))).Param)
	require.Equal(t, "timestamp", sdkError(t, send("new", 1, s.now.at.Add(6*time.Minute))).Param)
	require.Equal(t, "payload[value]", sdkError(t, send("negative", -1, s.now.at)).Param)
	_, err = s.client.BillingMeterEventAdjustments.New(&stripesdk.BillingMeterEventAdjustmentParams{
		EventName: stripesdk.String("tokens"), Type: stripesdk.String("cancel"), Cancel: &stripesdk.BillingMeterEventAdjustmentCancelParams{Identifier: stripesdk.String("event-0")},
	})
	require.NoError(t, err)

	minute := s.now.at.Unix() / 60 * 60
	it := s.client.BillingMeterEventSummaries.List(&stripesdk.BillingMeterEventSummaryListParams{
		ID: &meter.ID, Customer: &s.customer, StartTime: stripesdk.Int64(minute - 3600), EndTime: stripesdk.Int64(minute + 60),
	})
	require.True(t, it.Next())
	require.InDelta(t, 900, it.BillingMeterEventSummary().AggregatedValue, 0)

	_, err = s.Renew(sub.ID)
	require.NoError(t, err)
	inv := s.invoices(t, sub.ID)[0]
	require.EqualValues(t, 225, inv.Total, "900 at a quarter of a cent")
	require.EqualValues(t, 900, inv.Lines.Data[0].Quantity)

	_, err = s.client.BillingMeters.New(&stripesdk.BillingMeterParams{DisplayName: stripesdk.String("Again"), EventName: stripesdk.String("tokens"), DefaultAggregation: &stripesdk.BillingMeterDefaultAggregationParams{Formula: stripesdk.String("count")}})
	require.Equal(t, "event_name", sdkError(t, err).Param)
	off, err := s.client.BillingMeters.Deactivate(meter.ID, nil)
	require.NoError(t, err)
	require.Equal(t, stripesdk.BillingMeterStatusInactive, off.Status)
	require.Equal(t, "event_name", sdkError(t, send("after", 1, s.now.at)).Param)
}
