package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/smallfile"
	"github.com/trivet-dev/trivet/services/billing"
)

// plansPath is the path of the plans at the edge.
const plansPath = "/api/v1/billing/plans"

func (p program) plans() *cobra.Command {
	return group("plans", "Check the plan file, and apply it to Stripe (operators)",
		"  trivet plans validate plans.yaml\n  trivet plans apply plans.yaml\n  trivet plans versions\n  trivet plans migrate pro@3 pro@4 --at-renewal",
		p.validatePlans(), p.applyPlans(), p.planVersions(), p.migratePlans())
}

// maxPlanFile bounds a plan file, in bytes.
const maxPlanFile = 1 << 20

func (p program) validatePlans() *cobra.Command {
	return &cobra.Command{
		Use: "validate FILE", Short: "Name every mistake of a plan file with its line; exit 1 if there is one", Example: "  trivet plans validate plans.yaml",
		Args: exactly(1),
		RunE: func(_ *cobra.Command, args []string) error {
			data, err := smallfile.Read(args[0], maxPlanFile)
			if err != nil {
				return err
			}
			env, err := p.development()
			if err != nil {
				return err
			}
			prices, err := models.Load(env.Get("MODELS_FILE"))
			if err != nil {
				return err
			}
			if err := billing.CheckPlans(data, prices); err != nil {
				return fmt.Errorf("%s has mistakes:\n%w", args[0], err)
			}
			_, err = fmt.Fprintf(p.stdout, "%s: no mistakes\n", args[0])
			return err
		},
	}
}

func (p program) applyPlans() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "apply FILE", Short: "Print what a plan file changes at Stripe, ask, and change it",
		Long: "Print what a plan file changes at Stripe, ask, and change it. A version that was applied is never edited: a change makes a new\n" +
			"version, and subscribers stay on theirs. An interrupted run is completed by the next.",
		Example: "  trivet plans apply plans.yaml\n  trivet plans apply plans.yaml --yes", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error { return p.runApply(cmd.Context(), args[0], yes) },
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func (p program) runApply(ctx context.Context, file string, yes bool) error {
	data, err := smallfile.Read(file, maxPlanFile)
	if err != nil {
		return err
	}
	o, err := p.operator(ctx)
	if err != nil {
		return err
	}
	planned, err := o.applyPlans(ctx, data, true)
	if err != nil {
		return err
	}
	if len(planned) > 0 {
		for _, c := range planned {
			if _, err := fmt.Fprintln(p.stdout, changeLine(c)); err != nil {
				return err
			}
		}
		if !yes {
			if err := p.confirm("Apply these changes to Stripe? [y/N] "); err != nil {
				return err
			}
		}
	}
	// Also without changes: an interrupted run may have left old prices active.
	if _, err := o.applyPlans(ctx, data, false); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "%d changes applied\n", len(planned))
	return err
}

// confirm asks on the terminal. Its error says that the answer was not yes.
func (p program) confirm(question string) error {
	if _, err := io.WriteString(p.stdout, question); err != nil {
		return err
	}
	answer, err := bufio.NewReader(p.stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was changed; give --yes to apply without a question")
}

func (o *operator) applyPlans(ctx context.Context, data []byte, dry bool) ([]*billingv1.PlanChange, error) {
	raw, err := o.ask(ctx, http.MethodPost, plansPath+":apply", map[string]any{"planFile": data, "dryRun": dry})
	if err != nil {
		return nil, err
	}
	var answer billingv1.ApplyPlansResponse
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(raw, &answer); err != nil {
		return nil, o.notTrivet(err)
	}
	return answer.GetChanges(), nil
}

// changeLine writes a change, such as "~ plan:pro price: 20.00 → 25.00".
func changeLine(c *billingv1.PlanChange) string {
	switch c.GetKind() {
	case billingv1.PlanChangeKind_PLAN_CHANGE_KIND_CREATE:
		return "+ " + c.GetId()
	case billingv1.PlanChangeKind_PLAN_CHANGE_KIND_ARCHIVE:
		return "- " + c.GetId()
	default:
		return fmt.Sprintf("~ %s %s: %s → %s", c.GetId(), c.GetField(), orNone(c.GetBefore()), orNone(c.GetAfter()))
	}
}

func orNone(text string) string {
	if text == "" {
		return "(none)"
	}
	return text
}

func (p program) planVersions() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "versions", Short: "List all versions of plans and packs that were applied", Example: "  trivet plans versions", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := p.operator(cmd.Context())
			if err != nil {
				return err
			}
			return p.printVersions(cmd.Context(), o, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the edge's answer as JSON, page by page")
	return cmd
}

func (p program) printVersions(ctx context.Context, o *operator, asJSON bool) error {
	for token := ""; ; {
		raw, err := o.ask(ctx, http.MethodGet, "/api/v1/billing/planVersions?pageToken="+url.QueryEscape(token), nil)
		if err != nil {
			return err
		}
		if asJSON {
			if err := o.print(p.stdout, raw); err != nil {
				return err
			}
		}
		var page struct {
			PlanVersions []struct {
				ID             string
				Current        bool
				StripePriceIDs []string `json:"stripePriceIds"`
			}
			NextPageToken string
		}
		if err := json.Unmarshal(raw, &page); err != nil {
			return o.notTrivet(err)
		}
		for _, v := range page.PlanVersions {
			if asJSON {
				break
			}
			state := "past"
			if v.Current {
				state = "on sale"
			}
			if _, err := fmt.Fprintf(p.stdout, "%-32s %-8s %s\n", v.ID, state, strings.Join(v.StripePriceIDs, " ")); err != nil {
				return err
			}
		}
		if token = page.NextPageToken; token == "" {
			return nil
		}
	}
}
