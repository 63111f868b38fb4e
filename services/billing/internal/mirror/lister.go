package mirror

import (
	"context"
	"time"
)

// Query chooses objects at Stripe.
type Query struct {
	Kind Kind
	// Customer narrows to one customer's; payment methods are listed by customer only.
	Customer string
	// Charge narrows refunds and disputes to those of one charge.
	Charge string
	// Since leaves out objects that were made before; zero for none.
	Since time.Time
	// After is the id of the last object of the page before; empty for the first page.
	After string
}

// Page is a part of a list, newest first.
type Page struct {
	Bodies [][]byte
	// More tells whether there is another page.
	More bool
}

// Lister lists objects at Stripe.
type Lister interface {
	// List reads a page. Errors: ErrGone when the query's customer, charge or last object was deleted, *LaterError, and others that a
	// retry may resolve.
	List(ctx context.Context, q Query) (Page, error)
}
