package ledger

import "context"

// Violation is a row that breaks a rule of the ledger.
type Violation struct {
	// Rule says what should hold.
	Rule string
	// Subject is the account, grant or hold that breaks it.
	Subject string
	// Want and Got are the two sides that should be equal.
	Want, Got int64
}

const auditLimit = 100

// Audit looks for accounts, grants and holds whose sums don't agree; none is what it should find. It reads the whole ledger
// as Store.Violations does. At most 100 violations are returned. Error: ErrUnavailable.
func (l *Ledger) Audit(ctx context.Context) ([]Violation, error) {
	return l.store.Violations(ctx, auditLimit)
}
