// Package members tells billing how many members each organization has: the seats of some plans follow them.
package members

import (
	"context"
	"errors"
	"fmt"
)

// Report is the number of an organization's members.
type Report struct {
	OrganizationID string
	Members        int64
	// Sequence orders the reports of an organization. It was taken before the members were counted, so a later number never has an older count.
	Sequence int64
	// Changes are what the report covers.
	Changes []string
}

// Store knows the members and what billing was not told.
type Store interface {
	// ChangedOrganizations lists at most limit organizations whose count billing does not have yet.
	ChangedOrganizations(ctx context.Context, limit int) ([]string, error)
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
}

// batch is how many organizations are read at once.
const batch = 100

// Run sends what billing was not told: one report for all changes of an organization. It calls keep before each report and ends with its error. An
// organization that fails does not keep others from their turn.
func (r *Reporter) Run(ctx context.Context, keep func(context.Context) error) error {
	for {
		changed, err := r.Store.ChangedOrganizations(ctx, batch)
		if err != nil || len(changed) == 0 {
			return err
		}
		var failed []error
		for _, id := range changed {
			if err := keep(ctx); err != nil {
				return errors.Join(append(failed, err)...)
			}
			if err := r.report(ctx, id); err != nil {
				failed = append(failed, fmt.Errorf("report the members of %s: %w", id, err))
			}
		}
		if len(failed) > 0 || len(changed) < batch {
			return errors.Join(failed...)
		}
	}
}

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
