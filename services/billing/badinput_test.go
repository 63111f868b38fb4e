package billing_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/database"
)

// ledgerTables are the tables of money, of what was bought and of what is sold. The others are leases, jobs, caches, logs, and copies of
// Stripe's objects with the time of their last read.
var ledgerTables = []string{
	"account", "credit_grant", "entry", "hold", "usage_segment", "usage_day", "key_day", "key_window", "member_window", "member_day", "member_count", "spend_limit",
	"reversal", "top_up", "top_up_charge", "overage_period", "overage_billing", "overage_charge", "unfolded_call", "person_share", "notice", "offer", "catalog",
	"stripe_customer", "subscription", "purchase", "replaced_schedule",
}

// dump has the rows of these tables as text, in order.
func (h *fixture) dump() (all []string) {
	h.t.Helper()
	t := h.t
	db, err := database.Open(t.Context(), h.database)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close(context.Background())) }()
	for _, table := range ledgerTables {
		rows, err := db.Read().QueryContext(t.Context(), "SELECT * FROM "+table)
		require.NoError(t, err, table)
		columns, err := rows.Columns()
		require.NoError(t, err)
		for rows.Next() {
			values, into := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			require.NoError(t, rows.Scan(into...))
			all = append(all, fmt.Sprint(table, values))
		}
		require.NoError(t, errors.Join(rows.Err(), rows.Close()))
	}
	slices.Sort(all)
	return all
}

// Bad input gets an error that names the field, the line or the setting. Nothing changes at Stripe or in the ledger.
func TestBadInputChangesNothing(t *testing.T) {
	const (
		invalid  = errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT
		missing  = errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND
		conflict = errorsv1.ErrorReason_ERROR_REASON_CONFLICT
	)
	open := func(plan string, change func(*billingv1.CreateCheckoutSessionRequest)) func(*fixture) error {
		return func(h *fixture) error {
			r := purchase(plan, "")
			if change != nil {
				change(r)
			}
			_, err := h.from("gateway").CreateCheckoutSession(h.as(admin), r)
			return err
		}
	}
	apply := func(old, replacement string) func(*fixture) error {
		return func(h *fixture) error {
			require.Contains(h.t, planFile, old)
			_, err := h.from("gateway").ApplyPlans(h.as(operator), &billingv1.ApplyPlansRequest{PlanFile: []byte(strings.ReplaceAll(planFile, old, replacement))})
			return err
		}
	}
	pro := `  - {id: pro, name: Pro, price: "20.00", yearly_price: "200.00", included_credit: "25.00", features: [chat, api_keys]}` + "\n"
	cases := map[string]struct {
		do     func(*fixture) error
		reason errorsv1.ErrorReason
		// names is the field; says is in the message.
		names, says string
	}{
		"an unknown plan": {open("gold", nil), missing, "planId", "gold"},
		"an unknown version": {func(h *fixture) error {
			_, err := h.migrate(&billingv1.MigratePlanRequest{From: "pro@1", To: "pro@9"})
			return err
		}, invalid, "to", "version 9"},
		"a price in another currency": {apply(`price: "20.00"`, `price: "20.00 EUR"`), invalid, "planFile", "line 4"},
		"a currency":                  {apply(`price: "20.00", yearly`, `price: "20.00", currency: eur, yearly`), invalid, "planFile", "line 4"},
		"a fraction of a cent":        {apply(`yearly_price: "200.00"`, `yearly_price: "200.005"`), invalid, "planFile", "line 4"},
		"a plan that is held already": {open("pro", nil), conflict, "planId", ""},
		"an expired preview": {func(h *fixture) error {
			p, err := h.preview("team", 2, month)
			require.NoError(h.t, err)
			now := h.Now()
			h.Set(p.GetExpireTime().AsTime())
			defer h.Set(now)
			_, err = h.change(p)
			return err
		}, conflict, "previewId", "preview"},
		"a portal without a customer": {func(h *fixture) error {
			_, err := h.from("gateway").CreatePortalSession(h.as(elsewhere), &billingv1.CreatePortalSessionRequest{ReturnUrl: "https://app.example.com/"})
			return err
		}, conflict, "", "bought nothing yet"},
		"a foreign redirect": {open("pro", func(r *billingv1.CreateCheckoutSessionRequest) { r.CancelUrl = "https://evil.example.com/" }), invalid, "cancelUrl", "CORS_ALLOWED_ORIGINS"},
		"more seats than allowed": {func(h *fixture) error {
			_, err := h.preview("team", 6, month)
			return err
		}, invalid, "seats", ""},
		"a plan file with a typo":             {apply("trial:", "trail:"), invalid, "planFile", "line 5"},
		"a removed plan that has subscribers": {apply(pro, ""), invalid, "planFile", "pro"},
		"a key of the other mode": {func(h *fixture) error {
			live := map[string]string{"STRIPE_SECRET_KEY": "sk_live_secret", "CORS_ALLOWED_ORIGINS": "https://app.example.com"}
			_, err := h.later(live).from("gateway").ApplyPlans(h.as(operator), &billingv1.ApplyPlansRequest{PlanFile: []byte(planFile)})
			return err
		}, errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR, "", "STRIPE_SECRET_KEY is a live key"},
	}
	each(t, selling, func(t *testing.T, h *fixture) {
		h.apply(planFile)
		h.subscribe(admin, "pro", month)
		_, err := h.from("gateway").GetAccount(h.as(elsewhere), &billingv1.GetAccountRequest{})
		require.NoError(t, err)
		h.Set(h.Now().Add(time.Hour))
		var writes atomic.Int64
		count := func(r *http.Request) {
			if r.Method != http.MethodGet {
				writes.Add(1)
			}
		}
		h.before.Store(&count)
		before := h.dump()
		require.Greater(t, len(before), 10)
		for name, c := range cases {
			e := requireReason(t, c.reason, c.do(h))
			if c.names != "" {
				require.NotEmpty(t, e.Fields, "%s: %s", name, e.Message)
				require.Equal(t, c.names, e.Fields[0].Name, name)
			}
			require.Contains(t, e.Message, c.says, name)
			require.Equal(t, before, h.dump(), "%s: the ledger", name)
			require.Zero(t, writes.Load(), "%s: requests to Stripe that change something", name)
		}
	})
}

// later is a later process on the same database and Stripe, with other settings.
func (h *fixture) later(env map[string]string) *fixture {
	h.t.Helper()
	return resume(h.t, env, h.database, h.Now(), "", h.stripe)
}
