package rest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/trivet-dev/trivet/gateway/internal/call"
	"github.com/trivet-dev/trivet/gateway/internal/rest"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	usagev1 "github.com/trivet-dev/trivet/gen/go/trivet/usage/v1"
)

// books is a billing service that exports these parts.
type books struct {
	billingv1.BillingServiceClient
	parts []*billingv1.ExportUsageResponse
	end   error
	asked *billingv1.ExportUsageRequest
}

func (b *books) ExportUsage(_ context.Context, r *billingv1.ExportUsageRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[billingv1.ExportUsageResponse], error) {
	b.asked = r
	return &export{books: b}, nil
}

type export struct {
	grpc.ClientStream
	books *books
	sent  int
}

func (e *export) Recv() (*billingv1.ExportUsageResponse, error) {
	if e.sent == len(e.books.parts) {
		return nil, e.books.end
	}
	e.sent++
	return e.books.parts[e.sent-1], nil
}

func download(t *testing.T, b *books, query string) (*httptest.ResponseRecorder, *call.State) {
	t.Helper()
	w, state := httptest.NewRecorder(), &call.State{}
	r := httptest.NewRequestWithContext(call.With(t.Context(), state), http.MethodGet, "/api/v1/billing/usage:export?"+query, http.NoBody)
	(&rest.UsageFile{Billing: b}).ServeHTTP(w, r)
	return w, state
}

func TestUsageFile(t *testing.T) {
	row := &billingv1.UsageRow{
		Day: "2026-11-01", Model: "=gpt,5", UserId: "user_1", ApiKeyId: "key_1", Requests: 7, CostNanoUsd: 12_000_016_950,
		Usage: &usagev1.UsageTotal{InputTokens: 1, CachedInputTokens: 2, OutputTokens: 3, ReasoningTokens: 4},
	}
	begin := &billingv1.ExportUsageResponse{StartDay: "2026-11-01", EndDay: "2026-11-30"}
	const head = "day,model,user_id,api_key_id,requests,input_tokens,cached_input_tokens,output_tokens,reasoning_tokens,cost_usd,cost_nano_usd\r\n"
	const line = "2026-11-01,\"'=gpt,5\",user_1,key_1,7,1,2,3,4,12.000016950,12000016950\r\n"

	b := &books{parts: []*billingv1.ExportUsageResponse{begin, {Rows: []*billingv1.UsageRow{row, row}}, {Rows: []*billingv1.UsageRow{row}}}, end: io.EOF}
	w, state := download(t, b, "startDay=2026-11-01&groupBy=USAGE_GROUPING_USER&groupBy=USAGE_GROUPING_API_KEY&userId=u&model=m&apiKeyId=k&endDay=2026-11-30")
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, "text/csv; charset=utf-8; header=present", w.Header().Get("Content-Type"))
	require.Equal(t, `attachment; filename="usage-2026-11-01-2026-11-30.csv"`, w.Header().Get("Content-Disposition"))
	require.Equal(t, head+line+line+line, w.Body.String())
	require.False(t, state.Broken)
	require.Equal(t, []billingv1.UsageGrouping{billingv1.UsageGrouping_USAGE_GROUPING_USER, billingv1.UsageGrouping_USAGE_GROUPING_API_KEY}, b.asked.GetGroupBy())
	require.Equal(t, "2026-11-01 2026-11-30 u m k", b.asked.GetStartDay()+" "+b.asked.GetEndDay()+" "+b.asked.GetUserId()+" "+b.asked.GetModel()+" "+b.asked.GetApiKeyId())

	empty, state := download(t, &books{parts: []*billingv1.ExportUsageResponse{begin}, end: io.EOF}, "")
	require.Equal(t, head, empty.Body.String())
	require.False(t, state.Broken)

	refused, state := download(t, &books{end: status.Error(codes.Unavailable, "down")}, "")
	require.Equal(t, http.StatusServiceUnavailable, refused.Code)
	require.NotContains(t, refused.Header().Get("Content-Type"), "csv")
	require.False(t, state.Broken)

	_, state = download(t, &books{parts: []*billingv1.ExportUsageResponse{begin, {Rows: []*billingv1.UsageRow{row}}}, end: errors.New("torn")}, "")
	require.True(t, state.Broken, "a part of a file must not look like the whole")
	require.NotNil(t, state.Failure)

	bad, _ := download(t, &books{}, "groupBy=COLOR")
	require.Equal(t, http.StatusBadRequest, bad.Code)
	require.Contains(t, bad.Body.String(), "groupBy")
}
