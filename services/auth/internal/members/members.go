// Package members tells billing how many members each organization has: the seats of some plans follow them.
package members

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Report is the number of an organization's members.
type Report struct {
	OrganizationID string
	Members        int64
	// Deleted says that the organization was deleted.
	Deleted bool
	// Sequence orders the reports of an organization. It was taken before the members were counted, so a later number never has an older count.
	Sequence int64
	// Changes are what the report covers.
	Changes []string
}

// Store knows the members and the changes that billing does not know.
type Store interface {
	// ChangedOrganizations lists at most limit organizations after one, in order, whose changes billing does not know.
	ChangedOrganizations(ctx context.Context, after string, limit int) ([]string, error)
	// ReportMembers counts the members of an organization under a new number.
	ReportMembers(ctx context.Context, organizationID string) (Report, error)
	// EndReport forgets the changes that a report covers.
	EndReport(ctx context.Context, r Report) error
}

// Reporter sends reports.
type Reporter struct {
	Store Store
	// Send tells billing. Repeating it is harmless.
	Send func(ctx context.Context, r Report) error

	ended string // the organization that ended the last round; "" when the round came to its end
}

// batch is how many organizations are read at once.
const batch = 100

// Run sends one report for all changes of an organization, and looks at each organization once. It calls keep before each report and ends with its
// error. An organization that fails does not keep others from their turn. When billing is away, the round ends, and the next one begins after the organization
// that ended it: it may be the only one that billing does not answer for. Run is not safe for concurrent use.
func (r *Reporter) Run(ctx context.Context, keep func(context.Context) error) error {
	var failed failures
	first := r.ended
	r.ended = ""
	for after, last := first, first == ""; ; {
		changed, err := r.Store.ChangedOrganizations(ctx, after, batch)
		if err != nil {
			return failed.and(err)
		}
		for _, id := range changed {
			if last && first != "" && id > first {
				return failed.error() // it had its turn
			}
			if err := keep(ctx); err != nil {
				return failed.and(err)
			}
			if err := r.report(ctx, id); err != nil {
				failed.add(fmt.Errorf("report the members of %s: %w", id, err))
				if away(err) {
					r.ended = id
					return failed.error()
				}
			}
			after = id
		}
		switch {
		case len(changed) == batch:
		case last:
			return failed.error()
		default:
			after, last = "", true
		}
	}
}

// away tells whether an error says that billing cannot answer at all, so that other reports would fail too.
func away(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.Unimplemented, codes.DeadlineExceeded:
		return true
	default:
		return false
	}
}

// failures are the reports of a round that failed. Only the first error is kept, so that the log does not get one for each organization.
type failures struct {
	first error
	count int
}

func (f *failures) add(err error) {
	if f.count++; f.count == 1 {
		f.first = err
	}
}

func (f *failures) error() error {
	if f.count > 1 {
		return fmt.Errorf("%d reports failed, the first: %w", f.count, f.first)
	}
	return f.first
}

// and joins the failures with the error that ends the round.
func (f *failures) and(err error) error { return errors.Join(f.error(), err) }

func (r *Reporter) report(ctx context.Context, organizationID string) error {
	report, err := r.Store.ReportMembers(ctx, organizationID)
	if err != nil {
		return err
	}
	if err := r.Send(ctx, report); err != nil {
		return err
	}
	return r.Store.EndReport(ctx, report)
}
