package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
)

// planMigration is what `trivet plans migrate` is asked for.
type planMigration struct {
	from, to       string
	atRenewal, yes bool
}

func (p program) migratePlans() *cobra.Command {
	var m planMigration
	cmd := &cobra.Command{
		Use: "migrate FROM TO", Short: "Move the subscribers of a version of a plan to another version",
		Long: "Print what differs between two versions of a plan and how many subscribers the first has, ask, and move them. Nothing is charged for\n" +
			"the rest of a period: the next invoice has the new price. Without --at-renewal, subscribers who paid for more\n" +
			"than the new version includes are skipped. A subscriber's own scheduled change, a change that waits for its payment and the end of a\n" +
			"canceled subscription are kept: the command skips those subscribers and prints them. Run an interrupted command again to complete it.",
		Example: "  trivet plans migrate pro@3 pro@4\n  trivet plans migrate pro@3 pro@4 --at-renewal --yes", Args: exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			m.from, m.to = args[0], args[1]
			return p.runMigrate(cmd.Context(), m)
		},
	}
	cmd.Flags().BoolVar(&m.atRenewal, "at-renewal", false, "change each subscription with its next period instead of at once")
	cmd.Flags().BoolVar(&m.yes, "yes", false, "do not ask")
	return cmd
}

func (p program) runMigrate(ctx context.Context, m planMigration) error {
	o, err := p.operator(ctx)
	if err != nil {
		return err
	}
	planned, err := o.migrate(ctx, m, true, "")
	if err != nil {
		return err
	}
	for _, c := range planned.GetChanges() {
		if _, err := fmt.Fprintln(p.stdout, changeLine(c)); err != nil {
			return err
		}
	}
	when := "at once"
	if m.atRenewal {
		when = "with their next period"
	}
	if _, err := fmt.Fprintf(p.stdout, "%d subscriptions change from %s to %s %s\n", planned.GetSubscriptionCount(), m.from, m.to, when); err != nil {
		return err
	}
	if planned.GetSubscriptionCount() == 0 {
		return nil
	}
	if !m.yes {
		if err := p.confirm("Change these subscriptions? [y/N] "); err != nil {
			return err
		}
	}
	return p.migrateAll(ctx, o, m)
}

// migrateAll moves page by page, and prints the subscriptions that were not moved.
func (p program) migrateAll(ctx context.Context, o *operator, m planMigration) error {
	counts := map[billingv1.PlanMigrationResult]int{}
	for token := ""; ; {
		page, err := o.migrate(ctx, m, false, token)
		if err != nil {
			return fmt.Errorf("%w\nRun the command again: it continues with the subscriptions that are left", err)
		}
		for _, one := range page.GetMigrations() {
			counts[one.GetResult()]++
			if one.GetReason() == "" {
				continue
			}
			if _, err := fmt.Fprintf(p.stdout, "%s %s: %s\n", one.GetAccountId(), one.GetSubscriptionId(), one.GetReason()); err != nil {
				return err
			}
		}
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	_, err := fmt.Fprintf(p.stdout, "%d moved, %d scheduled, %d unchanged, %d skipped\n",
		counts[billingv1.PlanMigrationResult_PLAN_MIGRATION_RESULT_MOVED], counts[billingv1.PlanMigrationResult_PLAN_MIGRATION_RESULT_SCHEDULED],
		counts[billingv1.PlanMigrationResult_PLAN_MIGRATION_RESULT_UNCHANGED], counts[billingv1.PlanMigrationResult_PLAN_MIGRATION_RESULT_SKIPPED])
	return err
}

func (o *operator) migrate(ctx context.Context, m planMigration, dry bool, token string) (*billingv1.MigratePlanResponse, error) {
	raw, err := o.ask(ctx, http.MethodPost, plansPath+":migrate", map[string]any{
		"from": m.from, "to": m.to, "atRenewal": m.atRenewal, "dryRun": dry, "pageToken": token,
	})
	if err != nil {
		return nil, err
	}
	var answer billingv1.MigratePlanResponse
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(raw, &answer); err != nil {
		return nil, o.notTrivet(err)
	}
	return &answer, nil
}
