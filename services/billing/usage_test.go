package billing_test

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/testing/protocmp"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	usagev1 "github.com/trivet-dev/trivet/gen/go/trivet/usage/v1"
	"github.com/trivet-dev/trivet/platform/passport"
)

const (
	byModel  = billingv1.UsageGrouping_USAGE_GROUPING_MODEL
	byUser   = billingv1.UsageGrouping_USAGE_GROUPING_USER
	byAPIKey = billingv1.UsageGrouping_USAGE_GROUPING_API_KEY
)

// keyCall is a call with an API key.
func (h *fixture) keyCall(id, account, user, key string) {
	h.t.Helper()
	r := reserve(id, account, user)
	r.ApiKeyId = key
	hold, err := h.from("ai").Reserve(h.t.Context(), r)
	require.NoError(h.t, err)
	_, err = h.from("ai").Settle(h.t.Context(), &billingv1.SettleRequest{
		HoldId: hold.GetHoldId(), Usage: &usagev1.CallUsage{InputTokens: 800, OutputTokens: 500}, Outcome: billingv1.Outcome_OUTCOME_COMPLETED,
	})
	require.NoError(h.t, err)
}

func usageRow(day, model, user, key string, calls int64) *billingv1.UsageRow {
	return &billingv1.UsageRow{
		Day: day, Model: model, UserId: user, ApiKeyId: key, Requests: calls,
		Usage: &usagev1.UsageTotal{InputTokens: calls * 800, OutputTokens: calls * 500}, CostNanoUsd: calls * callCost,
	}
}

func TestUsageByMemberAndKey(t *testing.T) {
	each(t, nil, func(t *testing.T, h *fixture) {
		h.call("r1", "org_1", "user_member")
		h.keyCall("r2", "org_1", "user_admin", "key_1")
		h.folds() // the other calls wait
		h.keyCall("r3", "org_1", "user_admin", "key_2")
		h.Add(24 * time.Hour)
		h.keyCall("r4", "org_1", "user_admin", "key_1")
		const day, next, mini = "2026-11-23", "2026-11-24", "gpt-4o-mini"
		client := h.from("gateway")
		cases := []struct {
			name string
			as   passport.Claims
			ask  *billingv1.GetUsageRequest
			want []*billingv1.UsageRow
		}{
			{"member", admin, &billingv1.GetUsageRequest{GroupBy: []billingv1.UsageGrouping{byUser}}, []*billingv1.UsageRow{
				usageRow(day, "", "user_admin", "", 2), usageRow(day, "", "user_member", "", 1), usageRow(next, "", "user_admin", "", 1),
			}},
			{"key", admin, &billingv1.GetUsageRequest{GroupBy: []billingv1.UsageGrouping{byAPIKey}}, []*billingv1.UsageRow{
				usageRow(day, "", "", "", 1), usageRow(day, "", "", "key_1", 1), usageRow(day, "", "", "key_2", 1), usageRow(next, "", "", "key_1", 1),
			}},
			{"all", admin, &billingv1.GetUsageRequest{EndDay: day, GroupBy: []billingv1.UsageGrouping{byAPIKey, byModel, byUser}}, []*billingv1.UsageRow{
				usageRow(day, mini, "user_admin", "key_1", 1), usageRow(day, mini, "user_admin", "key_2", 1), usageRow(day, mini, "user_member", "", 1),
			}},
			{"of one key", admin, &billingv1.GetUsageRequest{ApiKeyId: "key_1"}, []*billingv1.UsageRow{
				usageRow(day, mini, "", "", 1), usageRow(next, mini, "", "", 1),
			}},
			{"a member's own", member, &billingv1.GetUsageRequest{GroupBy: []billingv1.UsageGrouping{byUser, byAPIKey}}, []*billingv1.UsageRow{
				usageRow(day, "", "user_member", "", 1),
			}},
			{"a member and a foreign key", member, &billingv1.GetUsageRequest{ApiKeyId: "key_1"}, nil},
			{"elsewhere", elsewhere, &billingv1.GetUsageRequest{GroupBy: []billingv1.UsageGrouping{byUser}}, nil},
		}
		for round, between := range []func(){func() {}, h.folds, func() {}} { // while calls wait, while they are folded, and afterwards
			for _, c := range cases {
				whole, err := client.GetUsage(h.as(c.as), c.ask)
				require.NoError(t, err, c.name)
				require.Empty(t, cmp.Diff(c.want, whole.GetRows(), protocmp.Transform()), "%s %d", c.name, round)
				require.Empty(t, cmp.Diff(c.want, h.inPages(c.as, c.ask, whole.GetTotal(), between), protocmp.Transform()), "%s %d", c.name, round)
				require.Empty(t, cmp.Diff(c.want, h.exported(c.as, c.ask), protocmp.Transform()), "%s %d", c.name, round)
			}
		}
		for name, by := range map[string][]billingv1.UsageGrouping{"twice": {byUser, byUser}, "unset": {0}, "unknown": {99}} {
			_, err := client.GetUsage(h.as(admin), &billingv1.GetUsageRequest{GroupBy: by})
			require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err).Reason, name)
		}
		page, err := client.GetUsage(h.as(admin), &billingv1.GetUsageRequest{PageSize: 1})
		require.NoError(t, err)
		_, err = client.GetUsage(h.as(admin), &billingv1.GetUsageRequest{PageSize: 1, PageToken: page.GetNextPageToken(), GroupBy: []billingv1.UsageGrouping{byUser}})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err)

		stream, err := client.ExportUsage(h.as(member), &billingv1.ExportUsageRequest{UserId: "user_admin"})
		require.NoError(t, err)
		_, err = stream.Recv()
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, err)
	})
}

// folds has the calls of org_1 folded, as a list of entries does.
func (h *fixture) folds() {
	h.t.Helper()
	_, err := h.from("gateway").ListEntries(h.as(admin), &billingv1.ListEntriesRequest{})
	require.NoError(h.t, err)
}

// inPages reads a report row by row. Something may happen between two pages.
func (h *fixture) inPages(as passport.Claims, ask *billingv1.GetUsageRequest, total *billingv1.UsageSummary, between func()) (rows []*billingv1.UsageRow) {
	h.t.Helper()
	one := &billingv1.GetUsageRequest{StartDay: ask.GetStartDay(), EndDay: ask.GetEndDay(), ApiKeyId: ask.GetApiKeyId(), GroupBy: ask.GetGroupBy(), PageSize: 1}
	for {
		page, err := h.from("gateway").GetUsage(h.as(as), one)
		require.NoError(h.t, err)
		require.LessOrEqual(h.t, len(page.GetRows()), 1)
		require.Empty(h.t, cmp.Diff(total, page.GetTotal(), protocmp.Transform()), "the total is of all pages")
		rows = append(rows, page.GetRows()...)
		if one.PageToken = page.GetNextPageToken(); one.GetPageToken() == "" {
			return rows
		}
		between()
	}
}

func (h *fixture) exported(as passport.Claims, ask *billingv1.GetUsageRequest) (rows []*billingv1.UsageRow) {
	h.t.Helper()
	stream, err := h.from("gateway").ExportUsage(h.as(as), &billingv1.ExportUsageRequest{
		StartDay: ask.GetStartDay(), EndDay: ask.GetEndDay(), ApiKeyId: ask.GetApiKeyId(), GroupBy: ask.GetGroupBy(),
	})
	require.NoError(h.t, err)
	first, err := stream.Recv()
	require.NoError(h.t, err)
	require.Regexp(h.t, "^2026-11-2[34]$", first.GetStartDay())
	require.Empty(h.t, first.GetRows())
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return rows
		}
		require.NoError(h.t, err)
		rows = append(rows, part.GetRows()...)
	}
}
