package mirror_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
)

// TestNoPersonalDataIsStored has the personal and secret fields of each kind, also inside of what might be expanded. What begins
// with "no-" must not be kept.
func TestNoPersonalDataIsStored(t *testing.T) {
	const (
		person   = `"email":"no-1","phone":"no-2","address":{"line1":"no-3"},"shipping":{"name":"no-4"}`
		method   = `{"id":"pm_9","object":"payment_method","billing_details":{"name":"no-5"},"card":{"fingerprint":"no-6","last4":"1111"}}`
		intent   = `{"id":"pi_1","object":"payment_intent","client_secret":"no-7","last_payment_error":{"payment_method":` + method + `}}`
		customer = `{"id":"cus_1","object":"customer","name":"no-8",` + person + `}`
		coupon   = `{"id":"co_1","object":"coupon","percent_off":10,"times_redeemed":7,"name":"no-9"}`
	)
	for kind, c := range map[mirror.Kind]struct{ body, want string }{
		mirror.Customer: {
			`"name":"no-1","description":"no-2","balance":5,"next_invoice_sequence":7,"preferred_locales":["no-3"],"tax":{"ip_address":"no-4"},` + person +
				`,"sources":{"data":[{"owner":"no-5"}]},"invoice_settings":{"custom_fields":[{"value":"no-6"}],"default_payment_method":` + method +
				`},"discount":{"object":"discount","coupon":` + coupon + `},"metadata":{"email":"yes"}`,
			`"balance":5,"invoice_settings":{"default_payment_method":{"id":"pm_9","object":"payment_method"}},
			 "discount":{"object":"discount","coupon":{"id":"co_1","object":"coupon","percent_off":10}},"metadata":{"email":"yes"}`,
		},
		mirror.Invoice: {
			`"customer":` + customer + `,"customer_email":"no-1","customer_name":"no-2","customer_address":{"city":"no-3"},"customer_phone":"no-4",
			 "customer_shipping":{"name":"no-5"},"customer_tax_ids":[{"value":"no-6"}],"hosted_invoice_url":"no-7","invoice_pdf":"no-8","custom_fields":[{"value":"no-9"}],
			 "payment_intent":` + intent + `,"last_finalization_error":{"payment_method":` + method + `},"total":7,
			 "lines":{"object":"list","data":[{"id":"il_1","amount":7,"price":{"id":"price_1","object":"price","unit_amount":7,"nickname":"no-10","active":true,
			 "metadata":{"a":"no-11"}},"plan":{"id":"price_1","object":"plan","amount":7,"nickname":"no-12"},"tax_rates":[{"id":"txr_1","object":"tax_rate","percentage":20,"active":true}]}],"has_more":false},
			 "metadata":{"client_secret":"yes"}`,
			`"customer":{"id":"cus_1","object":"customer"},"payment_intent":{"id":"pi_1","object":"payment_intent"},
			 "last_finalization_error":{"payment_method":{"id":"pm_9","object":"payment_method"}},"total":7,
			 "lines":{"object":"list","data":[{"id":"il_1","amount":7,"price":{"id":"price_1","object":"price","unit_amount":7},
			 "plan":{"id":"price_1","object":"plan","amount":7},"tax_rates":[{"id":"txr_1","object":"tax_rate","percentage":20}]}],"has_more":false},
			 "metadata":{"client_secret":"yes"}`,
		},
		mirror.Subscription: {
			`"cancellation_details":{"comment":"no-1","reason":"cancellation_requested"},"latest_invoice":{"id":"in_1","object":"invoice","hosted_invoice_url":"no-2"},
			 "pending_setup_intent":{"id":"seti_1","object":"setup_intent","client_secret":"no-3"},"items":{"data":[{"id":"si_1","quantity":2,"metadata":{"a":"b"}}]}`,
			`"cancellation_details":{"reason":"cancellation_requested"},"latest_invoice":{"id":"in_1","object":"invoice"},
			 "pending_setup_intent":{"id":"seti_1","object":"setup_intent"},"items":{"data":[{"id":"si_1","quantity":2,"metadata":{"a":"b"}}]}`,
		},
		mirror.CheckoutSession: {
			`"url":"no-1","success_url":"no-2","cancel_url":"no-3","return_url":"no-4","client_secret":"no-5","customer_details":{"email":"no-6"},"customer_email":"no-7",
			 "custom_fields":[{"text":{"value":"no-8"}}],"shipping_details":{"name":"no-9"},"after_expiration":{"recovery":{"url":"no-10"}},"collected_information":{"a":"no-11"},
			 "client_reference_id":"org_1","amount_total":5`,
			`"client_reference_id":"org_1","amount_total":5`,
		},
		mirror.Refund: {
			`"destination_details":{"card":{"reference":"no-1"}},"receipt_number":"no-2","instructions_email":"no-3","next_action":{"display_details":{"email_sent":"no-4"}},"amount":5`,
			`"amount":5`,
		},
		mirror.Dispute: {`"evidence":{"customer_name":"no-1","customer_email_address":"no-2"},"amount":5,"reason":"fraudulent"`, `"amount":5,"reason":"fraudulent"`},
		mirror.Product: {`"name":"Pro","url":"https://example.test/pro","images":["a.png"]`, `"name":"Pro","url":"https://example.test/pro","images":["a.png"]`},
		mirror.Price:   {`"nickname":"Pro","unit_amount":5,"metadata":{"a":"b"}`, `"nickname":"Pro","unit_amount":5,"metadata":{"a":"b"}`},
		mirror.PaymentMethod: {
			`"type":"card","customer":"cus_1","billing_details":{"name":"no-1"},"card":{"brand":"visa","last4":"4242","exp_month":1,"exp_year":2030,"fingerprint":"no-2","iin":"no-3"},
			 "us_bank_account":{"routing_number":"no-4"}`,
			`"type":"card","customer":"cus_1","card":{"brand":"visa","last4":"4242","exp_month":1,"exp_year":2030},"created":null,"livemode":null`,
		},
	} {
		start := `{"id":"x_1","object":"` + string(kind) + `",`
		require.True(t, json.Valid([]byte(start+c.body+"}")), kind)
		o, err := mirror.Parse(kind, []byte(start+c.body+"}"))
		require.NoError(t, err)
		require.JSONEq(t, start+c.want+"}", string(o.Body), kind)
		require.NotContains(t, string(o.Body), "no-", kind)
	}
}
