package stripe_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	stripesdk "github.com/stripe/stripe-go/v76"

	"github.com/trivet-dev/trivet/sandbox/stripe"
)

// TestParameters has, by endpoint, all that Trivet sends, and some of what Stripe has and the sandbox lacks. What it lacks must be refused by
// its name: a test that passes because a parameter was ignored fails at Stripe.
func TestParameters(t *testing.T) {
	for name, test := range map[string]struct {
		path string
		// sent are the parameters that Trivet sends.
		sent string
		// lacking are parameters that are refused beside them.
		lacking []string
	}{
		"customer": {
			"/v1/customers", "description=Trivet+account&metadata[trivet_account]=a", []string{"source=tok_visa", "cash_balance[settings][reconciliation_mode]=manual"},
		},
		"checkout of a subscription": {
			"/v1/checkout/sessions", "mode=subscription&customer=CUS&client_reference_id=a&metadata[trivet_account]=a&metadata[trivet_request]=r&line_items[0][price]=PRICE&line_items[0][quantity]=1" +
				"&success_url=https://app.test&cancel_url=https://app.test&allow_promotion_codes=true&automatic_tax[enabled]=true&tax_id_collection[enabled]=true&customer_update[address]=auto" +
				"&customer_update[name]=auto&subscription_data[metadata][trivet_account]=a&subscription_data[trial_period_days]=14&payment_method_collection=if_required" +
				"&subscription_data[trial_settings][end_behavior][missing_payment_method]=pause", []string{
				"payment_method_types[0]=sepa_debit", "payment_method_options[card][request_three_d_secure]=any", "phone_number_collection[enabled]=true",
				"consent_collection[terms_of_service]=required", "custom_text[submit][message]=x", "after_expiration[recovery][enabled]=true", "custom_fields[0][key]=x", "currency=eur",
				"saved_payment_method_options[payment_method_save]=enabled", "ui_mode=embedded", "shipping_address_collection[allowed_countries][0]=DE", "shipping_options[0][shipping_rate]=x",
				"line_items[0][adjustable_quantity][enabled]=true", "line_items[0][tax_rates][0]=txr_1", "line_items[0][dynamic_tax_rates][0]=txr_1", "customer_update[shipping]=auto",
				"subscription_data[billing_cycle_anchor]=1900000000", "subscription_data[application_fee_percent]=1", "payment_intent_data[description]=x", "invoice_creation[enabled]=true",
				"setup_intent_data[description]=x",
			},
		},
		"checkout of a pack": {
			"/v1/checkout/sessions", "mode=payment&customer=CUS&metadata[trivet_account]=a&line_items[0][price]=PACK&line_items[0][quantity]=1&success_url=https://app.test" +
				"&cancel_url=https://app.test&allow_promotion_codes=true&automatic_tax[enabled]=false&tax_id_collection[enabled]=true&customer_update[address]=auto&customer_update[name]=auto" +
				"&invoice_creation[enabled]=true&payment_intent_data[metadata][trivet_account]=a", []string{
				"payment_intent_data[capture_method]=manual", "payment_intent_data[receipt_email]=a@b.test", "payment_intent_data[statement_descriptor]=X",
				"invoice_creation[invoice_data][footer]=x", "subscription_data[description]=x", "payment_method_collection=if_required",
			},
		},
		"checkout that saves a card": {
			"/v1/checkout/sessions", "mode=setup&customer=CUS&currency=usd&success_url=https://app.test", []string{"line_items[0][price]=PACK", "automatic_tax[enabled]=true", "discounts[0][coupon]=x", "submit_type=pay"},
		},
		"portal": {"/v1/billing_portal/sessions", "customer=CUS&return_url=https://app.test", []string{"flow_data[type]=subscription_cancel", "on_behalf_of=acct_1"}},
		"portal configuration": {
			"/v1/billing_portal/configurations", "business_profile[headline]=Cards&features[customer_update][enabled]=true&features[customer_update][allowed_updates][0]=tax_id&features[invoice_history][enabled]=true" +
				"&features[payment_method_update][enabled]=true&features[subscription_cancel][enabled]=true&features[subscription_cancel][mode]=at_period_end&features[subscription_update][enabled]=false" +
				"&features[subscription_update][default_allowed_updates]=&features[subscription_update][products]=", []string{
				"features[subscription_update][enabled]=true", "features[subscription_pause][enabled]=true", "features[subscription_update][proration_behavior]=sometimes",
			},
		},
		"subscription": {
			"/v1/subscriptions/SUB", "items[0][id]=ITEM&items[0][price]=PRICE&items[0][quantity]=2&proration_behavior=always_invoice&payment_behavior=pending_if_incomplete", []string{
				"items[0][tax_rates][0]=txr_1", "items[0][billing_thresholds][usage_gte]=1", "items[0][clear_usage]=true", "payment_settings[payment_method_types][0]=sepa_debit",
				"payment_settings[payment_method_options][card][network]=visa", "billing_thresholds[amount_gte]=1", "transfer_data[destination]=acct_1", "default_tax_rates[0]=txr_1",
			},
		},
		"new subscription": {
			"/v1/subscriptions", "customer=CUS&items[0][price]=PRICE", []string{"currency=eur", "items[0][tax_rates][0]=txr_1", "application_fee_percent=1", "payment_settings[payment_method_options][card][network]=visa"},
		},
		"draft of overage": {
			"/v1/invoices", "customer=CUS&currency=usd&auto_advance=false&collection_method=charge_automatically&pending_invoice_items_behavior=exclude&automatic_tax[enabled]=true&metadata[trivet_overage]=c", []string{
				"rendering[amount_tax_display]=exclude_tax", "rendering_options[amount_tax_display]=exclude_tax", "statement_descriptor=X", "custom_fields[0][name]=x", "account_tax_ids[0]=txi_1",
				"payment_settings[payment_method_types][0]=sepa_debit", "payment_settings[default_mandate]=x", "from_invoice[invoice]=in_1", "shipping_cost[shipping_rate]=x",
			},
		},
		"item of overage": {
			"/v1/invoiceitems", "customer=CUS&amount=100&currency=usd&description=Usage&tax_behavior=exclusive&tax_code=txcd_1&discountable=false&metadata[trivet_overage]=c",
			[]string{"tax_rates[0]=txr_1", "discounts[0][coupon]=x", "tax_behavior=sometimes"},
		},
		"payment intent": {
			"/v1/payment_intents", "amount=100&currency=usd&customer=CUS", []string{
				"capture_method=manual", "confirmation_method=manual", "payment_method_types[0]=sepa_debit", "error_on_requires_action=true", "application_fee_amount=1", "transfer_group=x",
			},
		},
		"price":   {"/v1/prices", "product=PROD&currency=usd&unit_amount=1&lookup_key=k&tax_behavior=exclusive&metadata[a]=b&recurring[interval]=month", []string{"currency_options[eur][unit_amount]=1", "custom_unit_amount[enabled]=true"}},
		"product": {"/v1/products", "id=trivet_x&name=X&active=true&tax_code=txcd_1", []string{"package_dimensions[height]=1", "marketing_features[0][name]=x"}},
		"meter event": {
			"/v1/billing/meter_events", "event_name=tokens&payload[stripe_customer_id]=CUS&payload[value]=999999999999999", []string{"livemode=true", "payload[value]=1000000000000000"},
		},
		"release of a schedule": {"/v1/subscription_schedules/SCHEDULE/release", "", []string{"preserve_cancel_date=true"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := openShop(t)
			sub := s.subscribe(t, s.params(s.pro))
			schedule, err := s.client.SubscriptionSchedules.New(&stripesdk.SubscriptionScheduleParams{FromSubscription: &sub.ID})
			require.NoError(t, err)
			pack, err := s.client.Prices.New(&stripesdk.PriceParams{Product: &s.pro.Product.ID, Currency: stripesdk.String("usd"), UnitAmount: stripesdk.Int64(500)})
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, s.do(t, "POST", "/v1/billing/meters", "display_name=T&event_name=tokens&default_aggregation[formula]=sum").status)
			named := strings.NewReplacer("CUS", s.customer, "PRICE", s.pro.ID, "PACK", pack.ID, "PROD", s.pro.Product.ID, "SUB", sub.ID, "ITEM", sub.Items.Data[0].ID, "SCHEDULE", schedule.ID)
			path, sent := named.Replace(test.path), named.Replace(test.sent)
			s.recorded.take(t)
			for _, extra := range append([]string{"trivet_unknown=1"}, test.lacking...) {
				param, _, _ := strings.Cut(extra, "=")
				r := s.do(t, "POST", path, sent+"&"+named.Replace(extra))
				require.Equal(t, http.StatusBadRequest, r.status, "%s: %s", extra, r.body)
				refused := r.problem(t)
				require.NotEmpty(t, refused.Param, extra)
				require.True(t, strings.HasPrefix(param, strings.TrimSuffix(refused.Param, "[0]")), "%s is refused as %s", extra, refused.Param)
			}
			require.Empty(t, s.recorded.types(t), "nothing has changed")
			r := s.do(t, "POST", path, sent)
			require.Equal(t, http.StatusOK, r.status, r.body)
		})
	}
}

// Tax ids of a saved customer are collected only when Stripe may keep the address and the name, for a pack, too.
func TestTaxIDsOfASavedCustomer(t *testing.T) {
	s := openShop(t)
	pack, err := s.client.Prices.New(&stripesdk.PriceParams{Product: &s.pro.Product.ID, Currency: stripesdk.String("usd"), UnitAmount: stripesdk.Int64(500)})
	require.NoError(t, err)
	for _, c := range []struct {
		update string
		want   int
	}{
		{"", http.StatusBadRequest},
		{"&customer_update[name]=auto", http.StatusBadRequest},
		{"&customer_update[address]=auto", http.StatusBadRequest},
		{"&customer_update[address]=auto&customer_update[name]=auto", http.StatusOK},
	} {
		r := s.do(t, "POST", "/v1/checkout/sessions", "mode=payment&customer="+s.customer+"&line_items[0][price]="+pack.ID+
			"&line_items[0][quantity]=1&success_url=https://app.test&tax_id_collection[enabled]=true"+c.update)
		require.Equal(t, c.want, r.status, "%s: %s", c.update, r.body)
	}
}

// A session of mode setup saves a card without a payment.
func TestCheckoutSavesACard(t *testing.T) {
	s := openShop(t)
	p := &stripesdk.CheckoutSessionParams{
		Mode: stripesdk.String("setup"), Customer: &s.customer, SuccessURL: stripesdk.String("http://app.test/done"), Currency: stripesdk.String("usd"),
		SetupIntentData: &stripesdk.CheckoutSessionSetupIntentDataParams{Metadata: map[string]string{"account": "acc_1"}},
	}
	session, err := s.client.CheckoutSessions.New(p)
	require.NoError(t, err)
	require.Equal(t, "setup_intent.created", s.recorded.types(t))
	_, _, body := s.browse(t, "GET", "/pay/"+session.ID, nil)
	require.Contains(t, body, "Save this card")
	require.Contains(t, body, "Nothing is charged now.")
	_, err = s.Pay(session.ID, "chargeDeclined", "")
	require.ErrorContains(t, err, "declined")
	_, err = s.Pay(session.ID, "", "")
	require.Error(t, err, "a card is needed")
	require.Empty(t, s.recorded.types(t))

	_, err = s.Pay(session.ID, "authenticationRequired", "")
	require.NoError(t, err)
	require.Equal(t, "payment_method.attached setup_intent.succeeded checkout.session.completed", s.recorded.types(t))
	get := &stripesdk.CheckoutSessionParams{}
	get.AddExpand("setup_intent.payment_method")
	done, err := s.client.CheckoutSessions.Get(session.ID, get)
	require.NoError(t, err)
	require.Equal(t, stripesdk.CheckoutSessionPaymentStatusNoPaymentRequired, done.PaymentStatus)
	require.Equal(t, stripesdk.SetupIntentStatusSucceeded, done.SetupIntent.Status)
	require.Equal(t, "acc_1", done.SetupIntent.Metadata["account"])
	require.Equal(t, s.customer, done.SetupIntent.PaymentMethod.Customer.ID)
	require.Nil(t, done.PaymentIntent)
	require.Nil(t, done.Invoice)
	intents := s.client.SetupIntents.List(&stripesdk.SetupIntentListParams{Customer: &s.customer})
	require.True(t, intents.Next())
	require.Equal(t, done.SetupIntent.ID, intents.SetupIntent().ID)
	require.Equal(t, http.StatusBadRequest, s.do(t, "GET", "/v1/setup_intents/"+done.SetupIntent.ID+"?client_secret=x", "").status)
}

// Stripe's summaries lag behind the events; invoices do not.
func TestSummariesLag(t *testing.T) {
	now := newClock()
	s := &shop{server: serve(t, stripe.Config{Now: now.Now, SummaryDelay: 600e9}), now: now}
	cus, err := s.client.Customers.New(&stripesdk.CustomerParams{})
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, s.do(t, "POST", "/v1/billing/meters", "display_name=T&event_name=tokens&default_aggregation[formula]=sum").status)
	r := s.do(t, "POST", "/v1/billing/meter_events", "event_name=tokens&payload[stripe_customer_id]="+cus.ID+"&payload[value]=7")
	require.Equal(t, http.StatusOK, r.status, r.body)
	meters := s.client.BillingMeters.List(&stripesdk.BillingMeterListParams{})
	require.True(t, meters.Next())
	minute := now.at.Unix() / 60 * 60
	sum := func() float64 {
		it := s.client.BillingMeterEventSummaries.List(&stripesdk.BillingMeterEventSummaryListParams{
			ID: &meters.BillingMeter().ID, Customer: &cus.ID, StartTime: stripesdk.Int64(minute), EndTime: stripesdk.Int64(minute + 60),
		})
		require.True(t, it.Next())
		return it.BillingMeterEventSummary().AggregatedValue
	}
	require.Zero(t, sum())
	now.at = now.at.Add(599e9)
	require.Zero(t, sum())
	now.at = now.at.Add(1e9)
	require.InDelta(t, 7, sum(), 0)
}

// The tax of an invoice that a program makes is worked out as that of a subscription's; an item without a price says whether its amount includes it.
func TestTaxOfAnInvoiceByHand(t *testing.T) {
	for behavior, want := range map[string][2]int64{"exclusive": {1190, 190}, "inclusive": {1000, 160}, "": {1190, 190}} {
		s := openShop(t)
		require.Equal(t, http.StatusOK, s.do(t, "POST", "/v1/customers/"+s.customer, "address[country]=DE").status)
		inv, err := s.client.Invoices.New(&stripesdk.InvoiceParams{Customer: &s.customer, AutomaticTax: &stripesdk.InvoiceAutomaticTaxParams{Enabled: stripesdk.Bool(true)}})
		require.NoError(t, err)
		item := &stripesdk.InvoiceItemParams{Customer: &s.customer, Invoice: &inv.ID, Amount: stripesdk.Int64(1000), Currency: stripesdk.String("usd")}
		if behavior != "" {
			item.TaxBehavior = &behavior
		}
		_, err = s.client.InvoiceItems.New(item)
		require.NoError(t, err)
		_, err = s.client.InvoiceItems.New(&stripesdk.InvoiceItemParams{Customer: &s.customer, Invoice: &inv.ID, Amount: stripesdk.Int64(0), Currency: stripesdk.String("usd")})
		require.NoError(t, err)
		inv, err = s.client.Invoices.FinalizeInvoice(inv.ID, nil)
		require.NoError(t, err)
		require.Equal(t, want, [2]int64{inv.Total, inv.Tax}, behavior)
	}
}
