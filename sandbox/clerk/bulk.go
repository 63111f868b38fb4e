package clerk

import (
	"cmp"
	"fmt"
	"net/http"
)

// maxBulk is how many objects are made in one go.
const maxBulk = 100_000

// Bulk says which users [Fake.CreateUsers] makes.
type Bulk struct {
	// Count is how many, 1 to 100,000.
	Count int
	// Prefix starts their identifiers, which end in a number; empty means "user_bulk_".
	Prefix string
	// Org is an organization that they join as members; the first one is its admin when it is new. Empty means none.
	Org string
	// Quiet emits no events.
	Quiet bool
}

// CreateUsers makes many users at once and returns their identifiers. The error names the first invalid field.
func (f *Fake) CreateUsers(b Bulk) ([]string, error) {
	b.Prefix = cmp.Or(b.Prefix, "user_bulk_")
	if b.Count < 1 || b.Count > maxBulk {
		return nil, invalid("count", "form_param_format_invalid", "must be 1 to 100000.")
	}
	if err := (TokenSpec{User: b.Prefix + "1", Org: b.Org}).Validate(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.origin = origin{quiet: b.Quiet}
	defer func() { f.origin = origin{} }()
	ids := make([]string, 0, b.Count)
	for n := 1; len(ids) < b.Count; n++ {
		id := fmt.Sprintf("%s%06d", b.Prefix, n)
		if f.known(id) {
			continue
		}
		spec := TokenSpec{User: id, Org: b.Org}
		if _, err := f.ensureUser(spec); err != nil {
			return ids, err
		}
		if _, _, err := f.ensureOrganization(spec); err != nil {
			return ids, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// known reports whether a user has or had that identifier.
func (f *Fake) known(id string) bool {
	_, has := f.users.Get(id)
	_, had := f.gone.Get(id)
	return has || had
}

// PastFaults returns a handler that ignores the faults.
func (f *Fake) PastFaults() http.Handler { return f.api }

// Route returns the pattern of the route that takes a request, or "/".
func (f *Fake) Route(r *http.Request) string {
	mux, r := f.mux(r)
	_, pattern := mux.Handler(r)
	return pattern
}
