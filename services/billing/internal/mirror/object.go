package mirror

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Kind is what Stripe calls an object's type.
type Kind string

// The kinds that are kept.
const (
	Customer        Kind = "customer"
	Product         Kind = "product"
	Price           Kind = "price"
	Subscription    Kind = "subscription" // with its items
	Invoice         Kind = "invoice"
	CheckoutSession Kind = "checkout.session"
	PaymentMethod   Kind = "payment_method" // no more than its type and a card's brand, last four digits and expiry
	Refund          Kind = "refund"
	Dispute         Kind = "dispute"
)

// Kinds are all that are kept, those first that others refer to.
func Kinds() []Kind {
	return []Kind{Customer, Product, Price, Subscription, Invoice, CheckoutSession, PaymentMethod, Refund, Dispute}
}

// Known tells whether objects of the kind are kept.
func Known(kind Kind) bool {
	switch kind {
	case Customer, Product, Price, Subscription, Invoice, CheckoutSession, PaymentMethod, Refund, Dispute:
		return true
	}
	return false
}

// Object is one of Stripe's objects as a fetch found it.
type Object struct {
	Kind Kind
	// ID is Stripe's.
	ID string
	// Customer is the id of the customer that it belongs to; a customer's own for itself; empty for none.
	Customer string
	// Status is Stripe's word for where it stands; "active" or "inactive" of products and prices; empty for none.
	Status string
	// Deleted marks a tombstone: Stripe has it no more, and only Kind, ID, Sequence and FetchTime count.
	Deleted bool
	// Sequence is the number of the fetch, 1 or more: higher is later.
	Sequence int64
	// CreateTime is when Stripe made it.
	CreateTime time.Time
	// FetchTime is when the fetch began.
	FetchTime time.Time
	// Partial is true when a list in it is cut short, as in what Stripe lists.
	Partial bool
	// Body is the object as JSON, with sorted keys, at API version 2023-10-16, without what reduce drops.
	Body []byte
}

// Parse reads what Stripe answered for an object. The error shows nothing of the body.
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

// cutShort tells whether a list that is part of an object has more than is shown.
func cutShort(value any) bool {
	list, _ := value.(map[string]any)
	more, _ := list["has_more"].(bool)
	return more
}

// idOf is an id, or that of an object that was put in its place.
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
