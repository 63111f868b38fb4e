package mirror

import (
	"bytes"
	"encoding/json"
)

// dropped lists the fields that are removed from every object, at any depth: personal data, free text, and secrets. The links to
// an invoice's page and PDF open it without sign-in, and they expire. A page that shows invoices must read them from Stripe at
// that moment. Metadata belongs to the operator's app and is stored.
func dropped() map[string]bool {
	return map[string]bool{
		// personal data
		"address": true, "billing_details": true, "cash_balance": true, "collected_information": true, "customer_address": true,
		"customer_details": true, "customer_email": true, "customer_name": true, "customer_phone": true, "customer_shipping": true,
		"customer_tax_ids": true, "email": true, "instructions_email": true, "ip_address": true, "owner": true, "phone": true,
		"receipt_email": true, "shipping": true, "shipping_cost": true, "shipping_details": true, "sources": true, "tax_ids": true,
		"destination_details": true, "evidence": true,
		// free text
		"comment": true, "custom_fields": true, "custom_text": true,
		// secrets and links without sign-in
		"client_secret": true, "hosted_invoice_url": true, "invoice_pdf": true, "next_action": true, "receipt_number": true,
		"receipt_url": true, "verify_with_microdeposits": true,
	}
}

// droppedOf lists the fields that are removed from one kind of object only. Some contain no personal data but change without an
// event, so the store could never be equal to Stripe.
func droppedOf(kind string) []string {
	switch Kind(kind) { //nolint:exhaustive // of others nothing more is dropped
	case Customer:
		return []string{"name", "description", "preferred_locales", "subscriptions", "tax", "next_invoice_sequence"}
	case CheckoutSession:
		return []string{"url", "success_url", "cancel_url", "return_url", "after_expiration"}
	}
	return nil
}

// embedded lists the fields that are stored of an object inside another object: only what never changes. The inner object has
// its own events, and a change of it sends no event for the outer one.
func embedded(kind string) []string {
	switch kind {
	case "price":
		return []string{
			"id", "object", "billing_scheme", "created", "currency", "livemode", "product", "recurring", "tiers_mode", "transform_quantity", "type",
			"unit_amount", "unit_amount_decimal",
		}
	case "plan":
		return []string{
			"id", "object", "aggregate_usage", "amount", "amount_decimal", "billing_scheme", "created", "currency", "interval", "interval_count",
			"livemode", "meter", "product", "tiers_mode", "transform_usage", "usage_type",
		}
	case "coupon":
		return []string{"id", "object", "amount_off", "created", "currency", "duration", "duration_in_months", "livemode", "percent_off"}
	case "tax_rate":
		return []string{"id", "object", "created", "inclusive", "livemode", "percentage", "tax_type"}
	case "payment_method":
		return []string{"id", "object", "type"}
	case "customer", "product", "subscription", "invoice", "charge", "payment_intent", "setup_intent", "card", "bank_account", "source",
		"account", "test_helpers.test_clock", "balance_transaction", "promotion_code":
		return []string{"id", "object"}
	}
	return nil
}

// reduce returns the stored part of an object.
func reduce(fields map[string]any) map[string]any {
	kind, _ := fields["object"].(string)
	if kind == string(PaymentMethod) {
		return map[string]any{
			"id": fields["id"], "object": kind, "type": fields["type"], "customer": idOf(fields["customer"]),
			"created": fields["created"], "livemode": fields["livemode"], "card": card(fields["card"]),
		}
	}
	for _, name := range droppedOf(kind) {
		delete(fields, name)
	}
	strip(fields, dropped())
	return fields
}

// strip reduces everything inside an object.
func strip(fields map[string]any, drop map[string]bool) {
	for name, value := range fields {
		if drop[name] {
			delete(fields, name)
		} else if name != "metadata" {
			fields[name] = stripped(value, drop)
		}
	}
}

func stripped(value any, drop map[string]bool) any {
	switch v := value.(type) {
	case []any:
		for i := range v {
			v[i] = stripped(v[i], drop)
		}
	case map[string]any:
		kind, _ := v["object"].(string)
		if keep := embedded(kind); keep != nil {
			return only(v, keep)
		}
		strip(v, drop)
	}
	return value
}

func only(fields map[string]any, names []string) map[string]any {
	kept := make(map[string]any, len(names))
	for _, name := range names {
		if value, has := fields[name]; has {
			kept[name] = value
		}
	}
	return kept
}

func card(value any) map[string]any {
	all, ok := value.(map[string]any)
	if !ok {
		return nil
	}
	return only(all, []string{"brand", "last4", "exp_month", "exp_year"})
}

// WithoutMetadata returns the body of an object without any metadata, which the app may have written about an erased person. An
// unreadable body becomes the body of an object without fields.
func WithoutMetadata(body []byte) []byte {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var fields map[string]any
	if decoder.Decode(&fields) != nil {
		return []byte("{}")
	}
	dropMetadata(fields)
	reduced, err := json.Marshal(fields)
	if err != nil {
		return []byte("{}")
	}
	return reduced
}

func dropMetadata(value any) {
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			dropMetadata(item)
		}
	case map[string]any:
		delete(v, "metadata")
		for _, item := range v {
			dropMetadata(item)
		}
	}
}

// sameBody reports whether the stored object equals the listed one. A stored object without metadata, as of an erased person's
// customer, is compared without metadata.
func sameBody(stored, listed []byte) bool {
	return bytes.Equal(stored, listed) || !bytes.Contains(stored, []byte(`"metadata"`)) && bytes.Equal(stored, WithoutMetadata(listed))
}
