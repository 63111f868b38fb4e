package mirror

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Kind is the type of a Stripe object.
type Kind string

// The stored kinds.
const (
	Customer        Kind = "customer"
	Product         Kind = "product"
	Price           Kind = "price"
	Subscription    Kind = "subscription" // with its items
	Schedule        Kind = "subscription_schedule"
	Invoice         Kind = "invoice"
	CreditNote      Kind = "credit_note"
	CheckoutSession Kind = "checkout.session"
	PaymentMethod   Kind = "payment_method" // only its type and a card's brand, last four digits and expiry
	Refund          Kind = "refund"
	Dispute         Kind = "dispute"
)

// Kinds lists the stored kinds. Kinds that others refer to come first.
func Kinds() []Kind {
	return []Kind{Customer, Product, Price, Schedule, Subscription, Invoice, CreditNote, CheckoutSession, PaymentMethod, Refund, Dispute}
}

// Known reports whether objects of the kind are stored.
func Known(kind Kind) bool {
	switch kind {
	case Customer, Product, Price, Schedule, Subscription, Invoice, CreditNote, CheckoutSession, PaymentMethod, Refund, Dispute:
		return true
	}
	return false
}

// Object is a Stripe object as fetched.
type Object struct {
	Kind Kind
	// ID is the id of the object.
	ID string
	// Customer is the id of the owning customer. A customer owns itself. It may be empty.
	Customer string
	// Status is Stripe's status of the object; "active" or "inactive" for products and prices; empty for kinds without one.
	Status string
	// Deleted marks a tombstone: Stripe no longer has the object. Only Kind, ID, Sequence and FetchTime are meaningful then.
	Deleted bool
	// Sequence is the number of the fetch, from 1. Higher is later.
	Sequence int64
	// CreateTime is when Stripe created the object.
	CreateTime time.Time
	// FetchTime is when the fetch began.
	FetchTime time.Time
	// Partial is true when a list inside the object is truncated, as in objects from Stripe's lists.
	Partial bool
	// Body is the object as JSON, with sorted keys, at API version 2023-10-16, without what reduce drops.
	Body []byte
}

// Parse reads Stripe's answer for an object. The error never quotes the body.
func Parse(kind Kind, body []byte) (Object, error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber() // amounts are exact
	var fields map[string]any
	if decoder.Decode(&fields) != nil || fields == nil {
		return Object{}, fmt.Errorf("mirror: Stripe's answer for a %s is not a JSON object", kind)
	}
	o := Object{Kind: kind, ID: idOf(fields["id"]), Customer: idOf(fields["customer"]), CreateTime: timeOf(fields["created"])}
	if o.ID == "" || fields["object"] != string(kind) {
		return Object{}, fmt.Errorf("mirror: Stripe's answer for a %s is another kind of object", kind)
	}
	o.Deleted, _ = fields["deleted"].(bool)
	o.Partial = cutShort(fields["items"]) || cutShort(fields["lines"]) || cutShort(fields["line_items"])
	o.Status = status(fields)
	if kind == Customer {
		o.Customer = o.ID
	}
	var err error
	if o.Body, err = json.Marshal(reduce(fields)); err != nil {
		return Object{}, errors.New("mirror: Stripe's answer cannot be encoded")
	}
	return o, nil
}

// cutShort reports whether a list inside an object is truncated.
func cutShort(value any) bool {
	list, _ := value.(map[string]any)
	more, _ := list["has_more"].(bool)
	return more
}

// idOf returns an id, or the id of an object that was expanded in its place.
func idOf(value any) string {
	if object, ok := value.(map[string]any); ok {
		value = object["id"]
	}
	id, _ := value.(string)
	return id
}

func timeOf(value any) time.Time {
	number, _ := value.(json.Number)
	seconds, _ := number.Int64()
	return time.Unix(seconds, 0).UTC()
}

func status(fields map[string]any) string {
	if text, ok := fields["status"].(string); ok {
		return text
	}
	active, ok := fields["active"].(bool)
	switch {
	case !ok:
		return ""
	case active:
		return "active"
	default:
		return "inactive"
	}
}
