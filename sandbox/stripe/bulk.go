package stripe

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// maxBulk is how many objects are made in one go.
const maxBulk = 100_000

// Bulk says which customers [Fake.CreateCustomers] makes.
type Bulk struct {
	// Count is how many, 1 to 100,000.
	Count int
	// Prefix starts their names, which end in a number; empty means "Customer ".
	Prefix string
	// Price gives each customer an active subscription to it; empty means none.
	Price string
	// Quiet makes no events.
	Quiet bool
}

// CreateCustomers makes many customers at once and returns their identifiers. The error names the field that makes no
// sense.
func (f *Fake) CreateCustomers(b Bulk) ([]string, error) {
	if b.Count < 1 || b.Count > maxBulk {
		return nil, errors.New("count must be 1 to 100000")
	}
	if b.Prefix == "" {
		b.Prefix = "Customer "
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cause = cause{quiet: b.Quiet}
	defer func() { f.cause = cause{} }()
	ids := make([]string, 0, b.Count)
	for n := range b.Count {
		name := fmt.Sprintf("%s%06d", b.Prefix, n+1)
		email := fmt.Sprintf("%s-%06d@example.test", strings.ReplaceAll(strings.ToLower(strings.TrimSpace(b.Prefix)), " ", "-"), n+1)
		cus := f.newCustomer()
		cus.Name, cus.Email = &name, &email
		if bad := save(f, f.customers, cus.ID, cus, "customer.created"); bad != nil {
			return ids, bad
		}
		if b.Price != "" {
			if bad := f.subscribeInBulk(cus, b.Price); bad != nil {
				return ids, bad
			}
		}
		ids = append(ids, cus.ID)
	}
	return ids, nil
}

// PastFaults serves as the account does when no fault is set.
func (f *Fake) PastFaults() http.Handler { return f.plain }

// Route returns the pattern of the route that takes a request, or "/".
func (f *Fake) Route(r *http.Request) string {
	_, pattern := f.browser.Handler(r)
	if pattern == "/" {
		_, pattern = f.mux.Handler(r)
	}
	return pattern
}
