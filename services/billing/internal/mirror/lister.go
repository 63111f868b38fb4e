package mirror

import (
	"context"
	"time"
)

// Query selects objects at Stripe.
type Query struct {
	Kind Kind
	// Customer selects the objects of one customer. Payment methods can only be listed by customer.
	Customer string
	// Charge selects the refunds and disputes of one charge.
	Charge string
	// Since leaves out objects that were created before it, unless it is zero.
	Since time.Time
	// After is the id of the last object of the previous page; empty for the first page.
	After string
}

// Page is one page of a list, newest first.
type Page struct {
	Bodies [][]byte
	// More reports whether there is another page.
	More bool
}

// Lister lists objects at Stripe.
type Lister interface {
	// List reads a page. Errors: ErrGone when the query's customer, charge or last object was deleted, *LaterError, and others that a
	// retry may resolve.
	List(ctx context.Context, q Query) (Page, error)
}
