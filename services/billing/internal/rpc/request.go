package rpc

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	usagev1 "github.com/trivet-dev/trivet/gen/go/trivet/usage/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/saturate"
	"github.com/trivet-dev/trivet/platform/timefield"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// ListRequests pages through the log of the account's calls, newest first.
func (s *Server) ListRequests(ctx context.Context, r *billingv1.ListRequestsRequest) (*billingv1.ListRequestsResponse, error) {
	claims, err := passport.Caller(ctx)
	if err != nil {
		return nil, err
	}
	if claims, err = actingFor(claims, r.GetAccountId()); err != nil {
		return nil, err
	}
	query, err := callQuery(claims, r)
	if err != nil {
		return nil, err
	}
	list := paging.List{Name: "requests", Filters: []string{
		query.AccountID, query.UserID, query.APIKeyID, query.Model, string(query.Outcome), query.HTTPRequestID, timeText(query.From), timeText(query.To),
	}}
	after, err := list.Cursor(r.GetPageToken())
	if err != nil {
		return nil, err
	}
	records, next, more, err := s.ledger.Calls(ctx, query,
		ledger.CallCursor{Time: after.Time, Segment: after.ID, RequestID: after.Second}, paging.Size(r.GetPageSize()))
	if err != nil {
		return nil, Public(err)
	}
	out := &billingv1.ListRequestsResponse{}
	if more {
		out.NextPageToken = list.Token(paging.Cursor{Time: next.Time, ID: next.Segment, Second: next.RequestID})
	}
	for _, record := range records {
		out.Requests = append(out.Requests, toRequest(record))
	}
	return out, nil
}

// actingFor are the claims of a caller who asks for an account. Operators see those of others as their admins do.
func actingFor(claims *passport.Claims, accountID string) (*passport.Claims, error) {
	if accountID == "" || accountID == claims.AccountID {
		return claims, nil
	}
	if !claims.Operator || claims.APIKeyID != "" {
		return nil, errs.New(errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED,
			"Only an operator may see another account. Leave accountId empty to see your own.").Field("accountId", "names another account")
	}
	other := *claims
	other.AccountID, other.OrganizationID, other.Admin = accountID, accountID, true
	return &other, nil
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}

// callQuery checks a request for the log.
func callQuery(claims *passport.Claims, r *billingv1.ListRequestsRequest) (q ledger.CallQuery, err error) {
	q = ledger.CallQuery{AccountID: claims.AccountID, APIKeyID: r.GetApiKeyId(), Model: r.GetModel(), HTTPRequestID: r.GetRequestId()}
	if q.UserID, err = visibleUser(claims, r.GetUserId()); err != nil {
		return q, err
	}
	if q.From, err = timefield.Of("startTime", r.GetStartTime()); err != nil {
		return q, err
	}
	if q.To, err = timefield.Of("endTime", r.GetEndTime()); err != nil {
		return q, err
	}
	if !q.To.IsZero() && !q.From.Before(q.To) {
		return q, invalid("endTime", "must be after startTime")
	}
	q.Outcome, err = wantedOutcome(r.GetOutcome())
	return q, err
}

func wantedOutcome(o billingv1.Outcome) (ledger.Outcome, error) {
	if o == billingv1.Outcome_OUTCOME_UNSPECIFIED {
		return "", nil
	}
	for outcome, message := range outcomes {
		if message == o {
			return outcome, nil
		}
	}
	return "", invalid("outcome", "is not an outcome of logged requests")
}

// GetRequest reads one record of the log.
func (s *Server) GetRequest(ctx context.Context, r *billingv1.GetRequestRequest) (*billingv1.GetRequestResponse, error) {
	claims, err := passport.Caller(ctx)
	if err != nil {
		return nil, err
	}
	if claims, err = actingFor(claims, r.GetAccountId()); err != nil {
		return nil, err
	}
	record, err := s.ledger.Call(ctx, claims.AccountID, r.GetId())
	if err == nil && !claims.IsAdmin() && record.UserID != claims.UserID {
		err = ledger.ErrNotFound
	}
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, errs.New(errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND,
			"There is no request %q in the log. A request is logged when it has ended, and kept for BILLING_CALL_RETENTION.", r.GetId()).Field("id", "is unknown")
	}
	if err != nil {
		return nil, Public(err)
	}
	return &billingv1.GetRequestResponse{Request: toRequest(record)}, nil
}

// outcomes are those that the log shows.
var outcomes = map[ledger.Outcome]billingv1.Outcome{
	ledger.OutcomeCompleted: billingv1.Outcome_OUTCOME_COMPLETED, ledger.OutcomeCallerLeft: billingv1.Outcome_OUTCOME_CALLER_LEFT,
	ledger.OutcomeUpstreamFailed: billingv1.Outcome_OUTCOME_UPSTREAM_FAILED, ledger.OutcomeAbandoned: billingv1.Outcome_OUTCOME_ABANDONED,
	ledger.OutcomeRefused: billingv1.Outcome_OUTCOME_REFUSED,
}

func toRequest(r ledger.UsageRecord) *billingv1.RequestRecord {
	u := r.Usage
	return &billingv1.RequestRecord{
		Id: r.RequestID, RequestId: r.HTTPRequestID, EndTime: timestamppb.New(r.SettleTime), UserId: r.UserID, ApiKeyId: r.APIKeyID, Model: r.Model,
		Outcome: outcomes[r.Outcome], ErrorCode: r.ErrorCode,
		Usage: &usagev1.CallUsage{
			InputTokens: saturate.Int32(u.Input), CachedInputTokens: saturate.Int32(u.CachedInput),
			OutputTokens: saturate.Int32(u.Output), ReasoningTokens: saturate.Int32(u.Reasoning),
		},
		CostNanoUsd: r.Cost, Estimated: r.Estimated, Target: r.Target, ServedModel: r.ServedModel, ProviderRequestId: r.ProviderRequestID,
		LatencyMillis: millis(r.Latency), FirstByteMillis: millis(r.FirstByte), Details: readDetails(r.Details),
	}
}

// millis rounds up: a time that is known is not shown as one that is not.
func millis(d time.Duration) int32 {
	return saturate.Int32((d + time.Millisecond - 1).Milliseconds())
}

// refusedWriters is how many accounts' refused calls are written at once: they share commits.
const refusedWriters = 32

// RecordRequests logs calls that were refused, a segment for each account.
func (s *Server) RecordRequests(ctx context.Context, r *billingv1.RecordRequestsRequest) (*billingv1.RecordRequestsResponse, error) {
	accounts := map[string][]ledger.UsageRecord{}
	for _, one := range r.GetRequests() {
		if err := one.GetEndTime().CheckValid(); err != nil {
			return nil, invalid("requests.endTime", "must be a time")
		}
		accounts[one.GetAccountId()] = append(accounts[one.GetAccountId()], ledger.UsageRecord{
			RequestID: one.GetId(), UserID: one.GetUserId(), APIKeyID: one.GetApiKeyId(), Model: one.GetModel(), SettleTime: one.GetEndTime().AsTime(),
			CallLog: ledger.CallLog{ErrorCode: one.GetErrorCode(), HTTPRequestID: one.GetHttpRequestId(), Latency: micros(one.GetLatencyMicros())},
		})
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(refusedWriters)
	for account, records := range accounts {
		slices.SortStableFunc(records, func(a, b ledger.UsageRecord) int { return a.SettleTime.Compare(b.SettleTime) })
		group.Go(func() error { return s.ledger.RecordRefused(ctx, account, r.GetBatchId(), records) })
	}
	if err := group.Wait(); err != nil {
		return nil, Public(err)
	}
	return &billingv1.RecordRequestsResponse{}, nil
}
