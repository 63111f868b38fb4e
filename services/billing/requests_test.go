package billing_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	usagev1 "github.com/trivet-dev/trivet/gen/go/trivet/usage/v1"
	"github.com/trivet-dev/trivet/platform/callid"
	"github.com/trivet-dev/trivet/platform/passport"
)

// logged makes a call and returns what the log must have of it.
func (h *fixture) logged(account, user, key string, change func(*billingv1.SettleRequest)) *billingv1.RequestRecord {
	h.t.Helper()
	h.Add(time.Second)
	id := callid.New(account, h.Now())
	ask := reserve(id, account, user)
	ask.ApiKeyId = key
	hold, err := h.from("ai").Reserve(h.t.Context(), ask)
	require.NoError(h.t, err)
	settle := &billingv1.SettleRequest{
		HoldId: hold.GetHoldId(), Usage: &usagev1.CallUsage{InputTokens: 800, CachedInputTokens: 10, OutputTokens: 500, ReasoningTokens: 20},
		Outcome: billingv1.Outcome_OUTCOME_COMPLETED, HttpRequestId: "req_" + id,
	}
	if change != nil {
		change(settle)
	}
	end, err := h.from("ai").Settle(h.t.Context(), settle)
	require.NoError(h.t, err)
	return &billingv1.RequestRecord{
		Id: id, RequestId: settle.GetHttpRequestId(), EndTime: timestamppb.New(h.Now()), UserId: user, ApiKeyId: key, Model: ask.GetModel(),
		Outcome: settle.GetOutcome(), ErrorCode: settle.GetErrorCode(), Usage: settle.GetUsage(), CostNanoUsd: end.GetCostNanoUsd(),
		Estimated: settle.GetEstimated(), Target: settle.GetTarget(), ServedModel: settle.GetServedModel(), ProviderRequestId: settle.GetProviderRequestId(),
	}
}

// refused logs a refused call.
func (h *fixture) refused(account, user string) *billingv1.RequestRecord {
	h.t.Helper()
	h.Add(time.Second)
	r := &billingv1.RefusedRequest{
		Id: callid.New(account, h.Now()), AccountId: account, UserId: user, Model: "gpt-5-mini", HttpRequestId: "req_refused", ErrorCode: "RATE_LIMIT_EXCEEDED",
		EndTime: timestamppb.New(h.Now()), LatencyMicros: 1,
	}
	for range 2 { // ai sends it again when it has no answer
		_, err := h.from("ai").RecordRequests(h.t.Context(), &billingv1.RecordRequestsRequest{BatchId: "batch of " + r.GetId(), Requests: []*billingv1.RefusedRequest{r}})
		require.NoError(h.t, err)
	}
	return &billingv1.RequestRecord{
		Id: r.GetId(), RequestId: "req_refused", EndTime: r.GetEndTime(), UserId: user, Model: "gpt-5-mini", Outcome: billingv1.Outcome_OUTCOME_REFUSED,
		ErrorCode: "RATE_LIMIT_EXCEEDED", Usage: &usagev1.CallUsage{}, LatencyMillis: 1,
	}
}

func (h *fixture) list(as passport.Claims, ask *billingv1.ListRequestsRequest) []*billingv1.RequestRecord {
	h.t.Helper()
	var all []*billingv1.RequestRecord
	for {
		page, err := h.from("gateway").ListRequests(h.as(as), ask)
		require.NoError(h.t, err)
		all = append(all, page.GetRequests()...)
		if ask.PageToken = page.GetNextPageToken(); ask.GetPageToken() == "" {
			return all
		}
	}
}

func TestTheLogOfRequests(t *testing.T) {
	each(t, nil, func(t *testing.T, h *fixture) {
		a := h.logged("org_1", "user_member", "", nil)
		b := h.logged("org_1", "user_admin", "key_1", func(r *billingv1.SettleRequest) {
			r.Outcome, r.ErrorCode, r.Usage = billingv1.Outcome_OUTCOME_UPSTREAM_FAILED, "UPSTREAM_ERROR", &usagev1.CallUsage{}
			r.Target, r.ServedModel, r.ProviderRequestId, r.HttpRequestId = "backup", "gpt-4o-mini-2024", "chatcmpl-1", a.GetRequestId()
		})
		c := h.refused("org_1", "user_member")
		d := h.logged("org_1", "user_admin", "", func(r *billingv1.SettleRequest) {
			r.Outcome, r.Estimated, r.LatencyMicros, r.FirstByteMicros = billingv1.Outcome_OUTCOME_CALLER_LEFT, true, 1_000_001, 999
		})
		d.LatencyMillis, d.FirstByteMillis = 1001, 1
		h.logged("org_1", "user_admin", "", func(r *billingv1.SettleRequest) {
			r.Outcome, r.Usage = billingv1.Outcome_OUTCOME_REPLACED, &usagev1.CallUsage{}
		})
		foreign := h.logged("org_2", "user_admin", "", nil)

		type asked = billingv1.ListRequestsRequest
		for _, c := range []struct {
			name string
			as   passport.Claims
			ask  *asked
			want []*billingv1.RequestRecord
		}{
			{"an admin sees all", admin, &asked{}, []*billingv1.RequestRecord{d, c, b, a}},
			{"in pages", admin, &asked{PageSize: 1}, []*billingv1.RequestRecord{d, c, b, a}},
			{"a member sees their own", member, &asked{}, []*billingv1.RequestRecord{c, a}},
			{"a member names themselves", member, &asked{UserId: "user_member"}, []*billingv1.RequestRecord{c, a}},
			{"another account", elsewhere, &asked{}, []*billingv1.RequestRecord{foreign}},
			{"an account without calls", alice, &asked{}, nil},
			{"an operator names the account", operator, &asked{AccountId: "org_1"}, []*billingv1.RequestRecord{d, c, b, a}},
			{"an operator names nobody's", operator, &asked{}, nil},
			{"one's own account by its name", member, &asked{AccountId: "org_1"}, []*billingv1.RequestRecord{c, a}},
			{"by user", admin, &asked{UserId: "user_admin"}, []*billingv1.RequestRecord{d, b}},
			{"by key", admin, &asked{ApiKeyId: "key_1"}, []*billingv1.RequestRecord{b}},
			{"by model", admin, &asked{Model: "gpt-5-mini"}, []*billingv1.RequestRecord{c}},
			{"completed", admin, &asked{Outcome: billingv1.Outcome_OUTCOME_COMPLETED}, []*billingv1.RequestRecord{a}},
			{"refused", admin, &asked{Outcome: billingv1.Outcome_OUTCOME_REFUSED}, []*billingv1.RequestRecord{c}},
			{"failed", admin, &asked{Outcome: billingv1.Outcome_OUTCOME_UPSTREAM_FAILED}, []*billingv1.RequestRecord{b}},
			{"left", admin, &asked{Outcome: billingv1.Outcome_OUTCOME_CALLER_LEFT}, []*billingv1.RequestRecord{d}},
			{"abandoned", admin, &asked{Outcome: billingv1.Outcome_OUTCOME_ABANDONED}, nil},
			{"by the id of the HTTP request", admin, &asked{RequestId: a.GetRequestId()}, []*billingv1.RequestRecord{b, a}},
			{"from its start", admin, &asked{StartTime: c.GetEndTime()}, []*billingv1.RequestRecord{d, c}},
			{"until its end", admin, &asked{EndTime: c.GetEndTime()}, []*billingv1.RequestRecord{b, a}},
			{"between", admin, &asked{StartTime: b.GetEndTime(), EndTime: d.GetEndTime(), PageSize: 1}, []*billingv1.RequestRecord{c, b}},
		} {
			require.Empty(t, cmp.Diff(c.want, h.list(c.as, c.ask), protocmp.Transform()), c.name)
		}

		get := func(as passport.Claims, account, id string) (*billingv1.RequestRecord, error) {
			res, err := h.from("gateway").GetRequest(h.as(as), &billingv1.GetRequestRequest{Id: id, AccountId: account})
			return res.GetRequest(), err
		}
		for _, want := range []*billingv1.RequestRecord{a, b, c, d} {
			for name, as := range map[string]passport.Claims{"": admin, "org_1": operator} {
				got, err := get(as, name, want.GetId())
				require.NoError(t, err)
				require.Empty(t, cmp.Diff(want, got, protocmp.Transform()))
			}
		}
		got, err := get(member, "", a.GetId())
		require.NoError(t, err)
		require.Equal(t, a.GetId(), got.GetId())
		for name, c := range map[string]struct {
			as      passport.Claims
			account string
			id      string
		}{
			"of another member": {as: member, id: b.GetId()}, "of another account": {as: elsewhere, id: a.GetId()}, "unknown": {as: admin, id: "call_1"},
			"of another time": {as: admin, id: callid.New("org_1", h.Now())}, "an operator in their own account": {as: operator, id: a.GetId()},
			"an operator in a wrong account": {as: operator, account: "org_2", id: a.GetId()},
		} {
			_, err := get(c.as, c.account, c.id)
			e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, err)
			require.Contains(t, e.Message, "BILLING_CALL_RETENTION", name)
		}
		_, err = get(admin, "org_2", foreign.GetId())
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, err)
	})
}

func TestBadQuestionsToTheLog(t *testing.T) {
	each(t, nil, func(t *testing.T, h *fixture) {
		h.logged("org_1", "user_member", "", nil)
		h.logged("org_1", "user_member", "", nil)
		first, err := h.from("gateway").ListRequests(h.as(member), &billingv1.ListRequestsRequest{PageSize: 1})
		require.NoError(t, err)
		require.NotEmpty(t, first.GetNextPageToken())
		key := operator
		key.APIKeyID, key.Scopes = "key_1", []string{"billing.read"}
		noon := timestamppb.New(h.Now())
		const denied, invalid = errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT
		for name, c := range map[string]struct {
			as    passport.Claims
			ask   *billingv1.ListRequestsRequest
			want  errorsv1.ErrorReason
			field string
		}{
			"another member's":       {member, &billingv1.ListRequestsRequest{UserId: "user_admin"}, denied, "userId"},
			"another account's":      {admin, &billingv1.ListRequestsRequest{AccountId: "org_2"}, denied, "accountId"},
			"an operator's API key":  {key, &billingv1.ListRequestsRequest{AccountId: "org_2"}, denied, "accountId"},
			"no time, as an end":     {admin, &billingv1.ListRequestsRequest{EndTime: timestamppb.New(time.Time{})}, invalid, "endTime"},
			"an empty range":         {admin, &billingv1.ListRequestsRequest{StartTime: noon, EndTime: noon}, invalid, "endTime"},
			"no time":                {admin, &billingv1.ListRequestsRequest{StartTime: &timestamppb.Timestamp{Nanos: -1}}, invalid, "startTime"},
			"replaced holds":         {admin, &billingv1.ListRequestsRequest{Outcome: billingv1.Outcome_OUTCOME_REPLACED}, invalid, "outcome"},
			"another caller's token": {admin, &billingv1.ListRequestsRequest{PageToken: first.GetNextPageToken()}, invalid, "pageToken"},
			"another list's token":   {member, &billingv1.ListRequestsRequest{PageToken: first.GetNextPageToken(), Model: "m"}, invalid, "pageToken"},
		} {
			_, err := h.from("gateway").ListRequests(h.as(c.as), c.ask)
			e := requireReason(t, c.want, err)
			require.Len(t, e.Fields, 1, name)
			require.Equal(t, c.field, e.Fields[0].Name, name)
		}
		_, err = h.from("ai").RecordRequests(t.Context(), &billingv1.RecordRequestsRequest{BatchId: "b", Requests: []*billingv1.RefusedRequest{{
			Id: "call_1", AccountId: "org_1", EndTime: &timestamppb.Timestamp{Nanos: -1},
		}}})
		_ = requireReason(t, invalid, err)
		_, err = h.from("auth").RecordRequests(t.Context(), &billingv1.RecordRequestsRequest{BatchId: "b", Requests: []*billingv1.RefusedRequest{{
			Id: "call_1", AccountId: "org_1", EndTime: noon,
		}}})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, err) // as callers of auth see it
		require.ErrorContains(t, err, `The service "auth" may not call this.`)
		require.NotContains(t, h.log.String(), "ERROR")
	})
}
