package billing_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	usagev1 "github.com/trivet-dev/trivet/gen/go/trivet/usage/v1"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/health"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/billing"
)

func reserve(id, account, user string) *billingv1.ReserveRequest {
	return &billingv1.ReserveRequest{
		RequestId: id, AccountId: account, UserId: user, Model: "gpt-4o-mini", InputTokens: 1000, MinOutputTokens: 1, MaxOutputTokens: 1000,
	}
}

// call reserves and settles 800 input and 500 output tokens: 0.15 * 800/1e6 + 0.60 * 500/1e6 dollars.
func (h *fixture) call(id, account, user string) *billingv1.SettleResponse {
	h.t.Helper()
	hold, err := h.from("ai").Reserve(h.t.Context(), reserve(id, account, user))
	require.NoError(h.t, err)
	end, err := h.from("ai").Settle(h.t.Context(), &billingv1.SettleRequest{
		HoldId: hold.GetHoldId(), Usage: &usagev1.CallUsage{InputTokens: 800, OutputTokens: 500}, Outcome: billingv1.Outcome_OUTCOME_COMPLETED,
	})
	require.NoError(h.t, err)
	return end
}

const callCost = 420_000

func TestACallFromHoldToAccount(t *testing.T) {
	each(t, nil, func(t *testing.T, h *fixture) {
		ai := h.from("ai")
		hold, err := ai.Reserve(t.Context(), reserve("r1", "user_alice", "user_alice"))
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(hold.GetHoldId(), "hold_"))
		require.EqualValues(t, 750_000, hold.GetHeldNanoUsd())
		require.EqualValues(t, 1000, hold.GetOutputTokens())
		require.Equal(t, h.Now().Add(5*time.Minute), hold.GetExpireTime().AsTime())

		account := func() *billingv1.Account {
			got, err := h.from("gateway").GetAccount(h.as(alice), &billingv1.GetAccountRequest{})
			require.NoError(t, err)
			return got.GetAccount()
		}
		want := &billingv1.Account{
			Id: "user_alice", PlanId: "free", BalanceNanoUsd: 5_000_000_000, HeldNanoUsd: 750_000, AvailableNanoUsd: 4_999_250_000,
			PeriodStartTime: timestamppb.New(time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)),
			PeriodEndTime:   timestamppb.New(time.Date(2026, 12, 23, 0, 0, 0, 0, time.UTC)),
			PeriodUsage:     &billingv1.UsageSummary{Usage: &usagev1.UsageTotal{}},
			Limits:          &billingv1.Limits{RequestsPerMinute: 600, TokensPerMinute: 1_000_000, ConcurrentRequests: 64},
		}
		want.Plan = "free" //nolint:staticcheck // both fields are filled until 1.0
		require.Empty(t, cmp.Diff(want, account(), protocmp.Transform()))

		h.Add(time.Minute)
		checkpoint, err := ai.Checkpoint(t.Context(), &billingv1.CheckpointRequest{HoldId: hold.GetHoldId(), Usage: &usagev1.CallUsage{InputTokens: 1000, OutputTokens: 10}})
		require.NoError(t, err)
		require.Equal(t, h.Now().Add(5*time.Minute), checkpoint.GetExpireTime().AsTime())

		usage := &usagev1.CallUsage{InputTokens: 900, CachedInputTokens: 100, OutputTokens: 500, ReasoningTokens: 20}
		end, err := ai.Settle(t.Context(), &billingv1.SettleRequest{HoldId: hold.GetHoldId(), Usage: usage, Outcome: billingv1.Outcome_OUTCOME_COMPLETED})
		require.NoError(t, err)
		const cost = 800*150 + 100*75 + 500*600
		require.EqualValues(t, cost, end.GetCostNanoUsd())
		require.EqualValues(t, 5_000_000_000-cost, end.GetBalanceNanoUsd())
		want.BalanceNanoUsd, want.HeldNanoUsd, want.AvailableNanoUsd = end.GetBalanceNanoUsd(), 0, end.GetBalanceNanoUsd()
		want.PeriodUsage = &billingv1.UsageSummary{
			Requests:    1,
			Usage:       &usagev1.UsageTotal{InputTokens: 900, CachedInputTokens: 100, OutputTokens: 500, ReasoningTokens: 20},
			CostNanoUsd: cost,
		}
		require.Empty(t, cmp.Diff(want, account(), protocmp.Transform()))
	})
}

func TestEntitlementsAndPlans(t *testing.T) {
	each(t, nil, func(t *testing.T, h *fixture) {
		got, err := h.from("ai").GetEntitlements(t.Context(), &billingv1.GetEntitlementsRequest{AccountId: "org_1"})
		require.NoError(t, err)
		require.Equal(t, "free", got.GetPlanId())
		require.EqualValues(t, 600, got.GetLimits().GetRequestsPerMinute())
		require.Empty(t, got.GetModels())
		require.Contains(t, got.GetFeatures(), "chat")

		list, err := h.from("gateway").ListPlans(t.Context(), &billingv1.ListPlansRequest{})
		require.NoError(t, err)
		var ids []string
		for _, p := range list.GetPlans() {
			ids = append(ids, p.GetId())
		}
		require.Equal(t, []string{"free", "pro", "team", "usage-based"}, ids, "unlimited is not on sale")
		firstPlans, err := h.from("gateway").ListPlans(t.Context(), &billingv1.ListPlansRequest{PageSize: 2})
		require.NoError(t, err)
		lastPlans, err := h.from("gateway").ListPlans(t.Context(), &billingv1.ListPlansRequest{PageSize: 2, PageToken: firstPlans.GetNextPageToken()})
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(list.GetPlans(), append(firstPlans.GetPlans(), lastPlans.GetPlans()...), protocmp.Transform()))
		require.Empty(t, lastPlans.GetNextPageToken())
		require.EqualValues(t, 5_000_000_000, list.GetPlans()[0].GetIncludedCreditPerPeriodNanoUsd())

		answer, err := h.from("gateway").GetStatus(t.Context(), &billingv1.GetStatusRequest{})
		require.NoError(t, err)
		require.Equal(t, health.Operational, answer.GetService().GetStatus())
		require.Equal(t, health.Down, answer.GetProvider().GetStatus(), "without a key no payment can be made")
	})
}

func TestTheUnlimitedPlan(t *testing.T) {
	each(t, map[string]string{"DEFAULT_PLAN": "unlimited"}, func(t *testing.T, h *fixture) {
		got, err := h.from("ai").GetEntitlements(t.Context(), &billingv1.GetEntitlementsRequest{AccountId: "org_1"})
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(&billingv1.Limits{}, got.GetLimits(), protocmp.Transform()))
		end := h.call("r1", "org_1", "user_1")
		require.EqualValues(t, 1_000_000_000_000_000-callCost, end.GetBalanceNanoUsd())
		h.Add(40 * 24 * time.Hour)
		require.EqualValues(t, 1_000_000_000_000_000-callCost, h.call("r2", "org_1", "user_1").GetBalanceNanoUsd())
	})
}

func TestUsageByDayAndModel(t *testing.T) {
	each(t, nil, func(t *testing.T, h *fixture) {
		h.call("r1", "org_1", "user_member")
		h.call("r2", "org_1", "user_admin")
		h.Add(24 * time.Hour)
		h.call("r3", "org_1", "user_admin")
		client := h.from("gateway")

		all, err := client.GetUsage(h.as(admin), &billingv1.GetUsageRequest{})
		require.NoError(t, err)
		want := &billingv1.GetUsageResponse{
			Rows: []*billingv1.UsageRow{
				{Day: "2026-11-23", Model: "gpt-4o-mini", Requests: 2, Usage: &usagev1.UsageTotal{InputTokens: 1600, OutputTokens: 1000}, CostNanoUsd: 2 * callCost},
				{Day: "2026-11-24", Model: "gpt-4o-mini", Requests: 1, Usage: &usagev1.UsageTotal{InputTokens: 800, OutputTokens: 500}, CostNanoUsd: callCost},
			},
			Total: &billingv1.UsageSummary{Requests: 3, Usage: &usagev1.UsageTotal{InputTokens: 2400, OutputTokens: 1500}, CostNanoUsd: 3 * callCost},
		}
		require.Empty(t, cmp.Diff(want, all, protocmp.Transform()))

		first, err := client.GetUsage(h.as(admin), &billingv1.GetUsageRequest{PageSize: 1})
		require.NoError(t, err)
		second, err := client.GetUsage(h.as(admin), &billingv1.GetUsageRequest{PageSize: 1, PageToken: first.GetNextPageToken()})
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(want.GetRows(), append(first.GetRows(), second.GetRows()...), protocmp.Transform()))
		require.Empty(t, second.GetNextPageToken())
		for _, page := range []*billingv1.GetUsageResponse{first, second} {
			require.Empty(t, cmp.Diff(want.GetTotal(), page.GetTotal(), protocmp.Transform()), "the total is of all pages")
		}
		_, err = client.GetUsage(h.as(member), &billingv1.GetUsageRequest{PageToken: first.GetNextPageToken()})
		e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err)
		require.Equal(t, "pageToken", e.Fields[0].Name, "a token of another caller's list")

		_, err = client.GetUsage(h.as(elsewhere), &billingv1.GetUsageRequest{PageToken: first.GetNextPageToken()})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err)

		own, err := client.GetUsage(h.as(member), &billingv1.GetUsageRequest{})
		require.NoError(t, err)
		require.EqualValues(t, 1, own.GetTotal().GetRequests(), "a member sees their own")
		_, err = client.GetUsage(h.as(member), &billingv1.GetUsageRequest{UserId: "user_admin"})
		e = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, err)
		require.Equal(t, "userId", e.Fields[0].Name)
		one, err := client.GetUsage(h.as(admin), &billingv1.GetUsageRequest{UserId: "user_member"})
		require.NoError(t, err)
		require.EqualValues(t, 1, one.GetTotal().GetRequests())
		stranger, err := client.GetUsage(h.as(alice), &billingv1.GetUsageRequest{})
		require.NoError(t, err)
		require.Zero(t, stranger.GetTotal().GetRequests())

		for _, c := range []struct {
			first, last, model string
			want               int64
		}{
			{"2026-11-23", "2026-11-23", "", 2},
			{"2026-11-24", "2026-11-24", "", 1},
			{"2026-11-24", "", "", 1},
			{"", "2026-11-23", "", 2},
			{"2026-11-25", "2026-11-30", "", 0},
			{"2025-11-24", "2026-11-25", "", 3},
			{"2026-11-23", "2026-11-24", "gpt-4o", 0},
		} {
			got, err := client.GetUsage(h.as(admin), &billingv1.GetUsageRequest{StartDay: c.first, EndDay: c.last, Model: c.model})
			require.NoError(t, err, "%+v", c)
			require.Equal(t, c.want, got.GetTotal().GetRequests(), "%+v", c)
		}
		for _, c := range []struct{ first, last, field string }{
			{"2026-11-24", "2026-11-23", "endDay"},
			{"2025-11-22", "2026-11-24", "endDay"},
			{"2026-02-30", "", "startDay"},
			{"", "2026-13-01", "endDay"},
			{"yesterday", "", "startDay"},
		} {
			_, err := client.GetUsage(h.as(admin), &billingv1.GetUsageRequest{StartDay: c.first, EndDay: c.last})
			e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err)
			require.Equal(t, c.field, e.Fields[0].Name)
		}
	})
}

func TestEntriesPage(t *testing.T) {
	each(t, nil, func(t *testing.T, h *fixture) {
		client := h.from("gateway")
		for i := range 7 {
			h.call(fmt.Sprintf("r%d", i), "org_1", "user_member")
			_, err := client.ListEntries(h.as(admin), &billingv1.ListEntriesRequest{}) // charges that nobody looked at between share an entry
			require.NoError(t, err)
		}
		var seen []string
		token := ""
		for pages := 1; ; pages++ {
			page, err := client.ListEntries(h.as(admin), &billingv1.ListEntriesRequest{PageSize: 4, PageToken: token})
			require.NoError(t, err)
			for _, e := range page.GetEntries() {
				seen = append(seen, e.GetId())
			}
			if token = page.GetNextPageToken(); token == "" {
				require.Equal(t, 2, pages, "no empty page at the end")
				break
			}
		}
		require.Len(t, seen, 8)
		all, err := client.ListEntries(h.as(admin), &billingv1.ListEntriesRequest{})
		require.NoError(t, err)
		require.Len(t, all.GetEntries(), 8)
		for i, e := range all.GetEntries() {
			require.Equal(t, seen[i], e.GetId())
		}
		require.Equal(t, billingv1.EntryKind_ENTRY_KIND_GRANT, all.GetEntries()[7].GetKind(), "newest first")
		require.Equal(t, billingv1.CreditSource_CREDIT_SOURCE_PLAN, all.GetEntries()[7].GetCreditSource())
		require.Equal(t, billingv1.CreditSource_CREDIT_SOURCE_UNSPECIFIED, all.GetEntries()[0].GetCreditSource(), "a charge is of several grants")
		require.EqualValues(t, callCost, all.GetEntries()[0].GetAmountNanoUsd())

		for _, bad := range []string{"x", "%%%", seen[0], "MTplbnRfMQ", strings.Repeat("A", 512)} {
			_, err := client.ListEntries(h.as(admin), &billingv1.ListEntriesRequest{PageToken: bad})
			e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err)
			require.Equal(t, "pageToken", e.Fields[0].Name, bad)
		}
		_, err = client.ListEntries(h.as(member), &billingv1.ListEntriesRequest{})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, err)
		other, err := client.ListEntries(h.as(alice), &billingv1.ListEntriesRequest{PageToken: all.GetNextPageToken()})
		require.NoError(t, err)
		require.Empty(t, other.GetEntries())
	})
}

func TestCreateGrant(t *testing.T) {
	each(t, nil, func(t *testing.T, h *fixture) {
		client := h.from("gateway")
		ask := &billingv1.CreateGrantRequest{
			AccountId: "org_1", AmountNanoUsd: 1_500_000_000, Source: "ticket 7", ExpireTime: timestamppb.New(h.Now().Add(time.Hour)),
		}
		_, err := client.CreateGrant(h.as(operator), ask)
		e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, err)
		require.Equal(t, "accountId", e.Fields[0].Name)
		ask.Create = true
		first, err := client.CreateGrant(h.as(operator), ask)
		require.NoError(t, err)
		require.Equal(t, ask.GetExpireTime().AsTime(), first.GetGrant().GetExpireTime().AsTime())
		again, err := client.CreateGrant(h.as(operator), ask)
		require.NoError(t, err)
		require.Equal(t, first.GetGrant().GetId(), again.GetGrant().GetId())
		account, err := client.GetAccount(h.as(admin), &billingv1.GetAccountRequest{})
		require.NoError(t, err)
		require.EqualValues(t, 6_500_000_000, account.GetAccount().GetBalanceNanoUsd())

		forever, err := client.CreateGrant(h.as(operator), &billingv1.CreateGrantRequest{AccountId: "org_1", AmountNanoUsd: 1, Source: "forever"})
		require.NoError(t, err)
		require.Nil(t, forever.GetGrant().GetExpireTime())
		moved, err := client.ListEntries(h.as(admin), &billingv1.ListEntriesRequest{PageSize: 1})
		require.NoError(t, err)
		require.Equal(t, forever.GetGrant().GetId(), moved.GetEntries()[0].GetReferenceId())
		require.Equal(t, billingv1.CreditSource_CREDIT_SOURCE_OPERATOR, moved.GetEntries()[0].GetCreditSource())
		require.NotContains(t, moved.String(), "forever", "what an operator wrote is not for the account")

		ask.AmountNanoUsd = 1
		_, err = client.CreateGrant(h.as(operator), ask)
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err)
		ask.Source, ask.ExpireTime = "late", timestamppb.New(h.Now())
		_, err = client.CreateGrant(h.as(operator), ask)
		e = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err)
		require.Equal(t, "expireTime", e.Fields[0].Name)
		for _, end := range []*timestamppb.Timestamp{{Nanos: -1}, timestamppb.New(time.Time{})} {
			ask.ExpireTime = end
			_, err = client.CreateGrant(h.as(operator), ask)
			e = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err)
			require.Equal(t, "expireTime", e.Fields[0].Name)
		}
		_, err = client.CreateGrant(h.as(admin), ask)
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, err)
	})
}

func TestRefusalsOnTheWire(t *testing.T) {
	each(t, nil, func(t *testing.T, h *fixture) {
		ai := h.from("ai")
		big := reserve("r1", "org_1", "user_1")
		big.Model, big.InputTokens = "gpt-4o", 10_000_000
		_, err := ai.Reserve(t.Context(), big)
		e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, err)
		require.Equal(t, codes.FailedPrecondition, status.Code(err))
		require.Contains(t, e.Message, "Insufficient balance for this call. The balance is $5.00; the call needs at least $25.00001.")

		unknown := reserve("r2", "org_1", "user_1")
		unknown.Model = "gpt-99"
		_, err = ai.Reserve(t.Context(), unknown)
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_FOUND, err)

		for field, change := range map[string]func(*billingv1.ReserveRequest){
			"minOutputTokens":   func(r *billingv1.ReserveRequest) { r.MinOutputTokens = 2000 },
			"apiKeySpendPeriod": func(r *billingv1.ReserveRequest) { r.ApiKeySpendPeriod = durationpb.New(59 * time.Second) },
			"inputTokens":       func(r *billingv1.ReserveRequest) { r.InputTokens = -1 },
			"choices":           func(r *billingv1.ReserveRequest) { r.Choices = 129 },
		} {
			r := reserve("r3", "org_1", "user_1")
			change(r)
			_, err := ai.Reserve(t.Context(), r)
			e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err)
			require.Equal(t, field, e.Fields[0].Name)
		}
		limited := reserve("r4", "org_1", "user_1")
		limited.ApiKeyId, limited.ApiKeySpendLimitNanoUsd, limited.ApiKeySpendPeriod = "key_1", 100, durationpb.New(time.Hour)
		_, err = ai.Reserve(t.Context(), limited)
		e = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, err)
		require.Equal(t, "api_key", e.Metadata["limit"])

		_, err = ai.Settle(t.Context(), &billingv1.SettleRequest{HoldId: "hold_x", Usage: &usagev1.CallUsage{}, Outcome: billingv1.Outcome_OUTCOME_COMPLETED})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, err)
		_, err = h.from("gateway").Reserve(t.Context(), reserve("r5", "org_1", "user_1"))
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, err)
		require.ErrorContains(t, err, `The service "gateway" may not call this.`)
		_, err = h.from("gateway").GetAccount(t.Context(), &billingv1.GetAccountRequest{})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UNAUTHORIZED, err)
		_, err = h.from("gateway").ListInvoices(h.as(admin), &billingv1.ListInvoicesRequest{})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR, err)

		account, err := h.from("gateway").GetAccount(h.as(admin), &billingv1.GetAccountRequest{})
		require.NoError(t, err)
		require.Zero(t, account.GetAccount().GetHeldNanoUsd(), "what is refused holds nothing")
	})
}

// The background work settles abandoned calls and makes customers at Stripe.
func TestBackgroundWork(t *testing.T) {
	env := map[string]string{"STRIPE_SECRET_KEY": "sk_test_secret,sk_test_old", "BILLING_SWEEP_INTERVAL": "100ms"}
	each(t, env, func(t *testing.T, h *fixture) {
		_, err := h.from("ai").Reserve(t.Context(), reserve("r1", "user_alice", "user_alice"))
		require.NoError(t, err)
		h.Add(5 * time.Minute)
		stop := h.run()
		defer stop()
		client := h.from("gateway")
		require.Eventually(t, func() bool {
			got, err := client.GetAccount(h.as(alice), &billingv1.GetAccountRequest{})
			require.NoError(t, err)
			return got.GetAccount().GetHeldNanoUsd() == 0 && got.GetAccount().GetBalanceNanoUsd() == 5_000_000_000-150_000
		}, 20*time.Second, 10*time.Millisecond)
		require.Eventually(t, func() bool {
			got, err := client.GetStatus(t.Context(), &billingv1.GetStatusRequest{})
			require.NoError(t, err)
			return got.GetProvider().GetStatus() == health.Operational
		}, 20*time.Second, 10*time.Millisecond)
	})
}

func TestNewNamesWhatIsWrong(t *testing.T) {
	list, err := models.Default()
	require.NoError(t, err)
	place := database.For("billing", settings.NewSecret("sqlite://"+t.TempDir()))
	deps := billing.Deps{Logger: slog.New(slog.DiscardHandler), Meter: noop.Meter{}, Now: time.Now, Database: place, Models: list}

	for name, value := range map[string]string{"DEFAULT_PLAN": "gold", "PLANS_FILE": "/nowhere/plans.yaml"} {
		var c billing.Config
		err = settings.Load(func(n string) string { return map[string]string{name: value}[n] }, &c)
		require.ErrorContains(t, err, name)
		_, err = billing.New(t.Context(), c, deps)
		require.ErrorContains(t, err, name, "also without Load")
	}
	_, err = billing.New(t.Context(), config(t, nil), billing.Deps{})
	require.ErrorContains(t, err, "Logger, Meter, Now and Models are needed")
	deps.Database.URL = settings.NewSecret("mysql://root:hunter2@db")
	_, err = billing.New(t.Context(), config(t, nil), deps)
	require.ErrorContains(t, err, "DATABASE_URL")
	require.NotContains(t, err.Error(), "hunter2")
}

// TestBillingSaysThatItKnowsPricing: ai does not make a priced call under the hold of a billing that leaves it out.
func TestBillingSaysThatItKnowsPricing(t *testing.T) {
	each(t, nil, func(t *testing.T, h *fixture) {
		ai := h.from("ai")
		ask := reserve("r1", "user_alice", "user_alice")
		hold, err := ai.Reserve(t.Context(), ask)
		require.NoError(t, err)
		require.False(t, hold.GetPriced())
		ask.RequestId, ask.Pricing = "r2", &billingv1.CallPricing{InputNanoUsdPerMillionTokens: 1, FixedNanoUsd: 30}
		for range 2 { // a repetition says the same
			hold, err = ai.Reserve(t.Context(), ask)
			require.NoError(t, err)
			require.True(t, hold.GetPriced())
		}
	})
}
