package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
)

// noticesPath is the path of the notices at the edge.
const noticesPath = "/api/v1/billing/notices"

// noticeKind begins the names of kinds.
const noticeKind = "NOTICE_KIND_"

func (p program) notices() *cobra.Command {
	var kind string
	var raw bool
	cmd := &cobra.Command{
		Use: "notices ACCOUNT", Short: "Show the notices about an account's plan and payments, newest first",
		Example: "  trivet billing notices org_2abc --kind payment_failed", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{"accountId": {args[0]}, "pageSize": {"500"}}
			if kind != "" {
				name := noticeKind + strings.ToUpper(kind)
				if billingv1.NoticeKind_value[name] == 0 {
					return usagef("--kind is %q, which is not a kind of notice; see docs/ledger.md", kind)
				}
				query.Set("kind", name)
			}
			o, err := p.operator(cmd.Context())
			if err != nil {
				return err
			}
			return o.notices(cmd.Context(), p.stdout, query, raw)
		},
	}
	cmd.Flags().StringVar(&kind, "kind", "", "only this kind, such as payment_failed")
	cmd.Flags().BoolVar(&raw, "json", false, "print each notice as JSON, one per line")
	return cmd
}

func (o *operator) notices(ctx context.Context, w io.Writer, query url.Values, raw bool) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if !raw {
		_, _ = fmt.Fprintln(table, "WRITTEN\tKIND\tABOUT\tID")
	}
	for more := true; more; more = query.Get("pageToken") != "" {
		answer, err := o.ask(ctx, http.MethodGet, noticesPath+"?"+query.Encode(), nil)
		if err != nil {
			return err
		}
		var page struct {
			Notices       []json.RawMessage
			NextPageToken string
		}
		if err := json.Unmarshal(answer, &page); err != nil {
			return o.notTrivet(err)
		}
		for _, text := range page.Notices {
			var n billingv1.Notice
			if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, &n); err != nil {
				return o.notTrivet(err)
			}
			if raw {
				_, _ = fmt.Fprintf(w, "%s\n", text)
				continue
			}
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", stamp(n.GetCreateTime().AsTime()), strings.ToLower(strings.TrimPrefix(n.GetKind().String(), noticeKind)), about(&n), n.GetId())
		}
		query.Set("pageToken", page.NextPageToken)
	}
	return table.Flush()
}

// about names the objects, the amount and the time of a notice.
func about(n *billingv1.Notice) string {
	parts := []string{n.GetPlanId(), n.GetSubscriptionId(), n.GetInvoiceId(), n.GetObjectId()}
	switch {
	case n.GetThresholdPercent() != 0:
		parts = append(parts, n.GetUserId()+n.GetApiKeyId(), fmt.Sprintf("%d%% of %s", n.GetThresholdPercent(), dollars(n.GetAmountNanoUsd())))
	case n.GetAmountNanoUsd() != 0:
		parts = append(parts, dollars(n.GetAmountNanoUsd()))
	}
	if n.GetMembers() != 0 {
		parts = append(parts, fmt.Sprintf("%d members, %d seats", n.GetMembers(), n.GetSeats()))
	}
	parts = append(parts, n.GetProblem())
	if n.GetTime() != nil {
		parts = append(parts, "at "+n.GetTime().AsTime().Format(time.RFC3339))
	}
	return strings.Join(slices.DeleteFunc(parts, func(text string) bool { return text == "" }), " ")
}
