package rpc

import (
	"context"
	"encoding/json"
	"time"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// Exporter reads the data that billing stores about a person.
type Exporter interface {
	// UsageOfUser returns the records of calls that name a person, after the given one.
	UsageOfUser(ctx context.Context, userID, afterAccountID, afterID string, limit int) ([]ledger.UsageRecord, error)
}

// exportPage is the number of usage records in one page.
const exportPage = 1000

// exportedUsage is a usage record in an export. 64-bit numbers are strings, as everywhere in the API's JSON.
type exportedUsage struct {
	ID                string    `json:"id"`
	RequestID         string    `json:"requestId,omitempty"`
	AccountID         string    `json:"accountId"`
	APIKeyID          string    `json:"apiKeyId,omitempty"`
	Model             string    `json:"model"`
	InputTokens       int64     `json:"inputTokens,string"`
	CachedInputTokens int64     `json:"cachedInputTokens,string"`
	OutputTokens      int64     `json:"outputTokens,string"`
	ReasoningTokens   int64     `json:"reasoningTokens,string"`
	CostNanoUSD       int64     `json:"costNanoUsd,string"`
	Outcome           string    `json:"outcome"`
	ProviderRequestID string    `json:"providerRequestId,omitempty"`
	Target            string    `json:"target,omitempty"`
	ServedModel       string    `json:"servedModel,omitempty"`
	LatencyMicros     int64     `json:"latencyMicros,string,omitempty"`
	FirstByteMicros   int64     `json:"firstByteMicros,string,omitempty"`
	ErrorCode         string    `json:"errorCode,omitempty"`
	HTTPRequestID     string    `json:"httpRequestId,omitempty"`
	SettleTime        time.Time `json:"settleTime"`
}

// ExportUser returns a page of the usage records that name a person.
func (s *Server) ExportUser(ctx context.Context, r *billingv1.ExportUserRequest) (*billingv1.ExportUserResponse, error) {
	list := paging.List{Name: "usage of a user", Filters: []string{r.GetUserId()}}
	after, err := list.Cursor(r.GetPageToken())
	if err != nil {
		return nil, err
	}
	records, err := s.exporter.UsageOfUser(ctx, r.GetUserId(), after.ID, after.Second, exportPage+1)
	if err != nil {
		return nil, err
	}
	records, next := paging.Cut(list, records, exportPage, func(u ledger.UsageRecord) paging.Cursor {
		return paging.Cursor{ID: u.AccountID, Second: u.ID}
	})
	page := make([]exportedUsage, 0, len(records))
	for _, u := range records {
		page = append(page, exportedUsage{
			ID: u.ID, RequestID: u.RequestID, AccountID: u.AccountID, APIKeyID: u.APIKeyID, Model: u.Model,
			InputTokens: u.Usage.Input, CachedInputTokens: u.Usage.CachedInput, OutputTokens: u.Usage.Output, ReasoningTokens: u.Usage.Reasoning,
			CostNanoUSD: u.Cost, Outcome: string(u.Outcome), ProviderRequestID: u.ProviderRequestID, SettleTime: u.SettleTime.UTC(),
			Target: u.Target, ServedModel: u.ServedModel, LatencyMicros: u.Latency.Microseconds(), FirstByteMicros: u.FirstByte.Microseconds(), ErrorCode: u.ErrorCode, HTTPRequestID: u.HTTPRequestID,
		})
	}
	raw, err := json.Marshal(page)
	return &billingv1.ExportUserResponse{UsageRecordsJson: string(raw), NextPageToken: next}, err
}
