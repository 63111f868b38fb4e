package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"

	"github.com/trivet-dev/trivet/gateway/internal/call"
	"github.com/trivet-dev/trivet/gateway/internal/csv"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
)

// UsageFile serves BillingService.ExportUsage as a CSV file. It is written while it is read, so that its size does not matter.
type UsageFile struct {
	Billing billingv1.BillingServiceClient
}

// usageColumns are the columns of the file. Costs are given twice: in dollars for people, and in integers, which a
// spreadsheet adds exactly.
var usageColumns = []string{
	"day", "model", "user_id", "api_key_id", "requests", "input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens",
	"cost_usd", "cost_nano_usd",
}

// ServeHTTP implements http.Handler.
func (h *UsageFile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	state := call.From(r.Context())
	request := &billingv1.ExportUsageRequest{}
	if err := runtime.PopulateQueryParameters(request, r.URL.Query(), utilities.NewDoubleArray(nil)); err != nil {
		state.Fail(r.Context(), w, wrongValue(err.Error(), err))
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	stream, err := h.Billing.ExportUsage(ctx, request)
	if err != nil {
		state.Fail(r.Context(), w, err)
		return
	}
	first, err := stream.Recv()
	if err != nil {
		state.Fail(r.Context(), w, err)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/csv; charset=utf-8; header=present")
	header.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="usage-%s-%s.csv"`, first.GetStartDay(), first.GetEndDay()))
	if err := writeUsage(csv.NewWriter(w), first, stream.Recv); err != nil {
		// Without a broken connection, the client would take the part for the whole.
		state.Broken = true
		_ = state.Note(r.Context(), err)
	}
}

func writeUsage(out *csv.Writer, part *billingv1.ExportUsageResponse, next func() (*billingv1.ExportUsageResponse, error)) (err error) {
	if err := out.Row(usageColumns...); err != nil {
		return err
	}
	for ; err == nil; part, err = next() {
		for _, row := range part.GetRows() {
			if err := out.Row(usageCells(row)...); err != nil {
				return err
			}
		}
	}
	if errors.Is(err, io.EOF) {
		return out.Flush()
	}
	return err
}

func usageCells(row *billingv1.UsageRow) []string {
	decimal := func(n int64) string { return strconv.FormatInt(n, 10) }
	u := row.GetUsage()
	return []string{
		row.GetDay(), row.GetModel(), row.GetUserId(), row.GetApiKeyId(), decimal(row.GetRequests()),
		decimal(u.GetInputTokens()), decimal(u.GetCachedInputTokens()), decimal(u.GetOutputTokens()), decimal(u.GetReasoningTokens()),
		dollars(row.GetCostNanoUsd()), decimal(row.GetCostNanoUsd()),
	}
}

// dollars writes an amount exactly. Costs are not negative.
func dollars(nano int64) string {
	const billion = 1_000_000_000
	return fmt.Sprintf("%d.%09d", nano/billion, nano%billion)
}
