package rpc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	usagev1 "github.com/trivet-dev/trivet/gen/go/trivet/usage/v1"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/rpc"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

var now = time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)

// newServer is a server with a ledger on a database.
func newServer(t *testing.T) (*rpc.Server, *ledger.Ledger) {
	t.Helper()
	list, err := models.Default()
	require.NoError(t, err)
	catalog, err := plans.Load("", "free", nil)
	require.NoError(t, err)
	rows := store.New(databasetest.SQLite(t, store.Migrations()))
	clock := func() time.Time { return now }
	book := ledger.New(ledger.Options{Store: rows, Prices: list, Plans: catalog, Now: clock, Logger: slog.New(slog.DiscardHandler)})
	return rpc.New(rpc.Options{Ledger: book, Plans: catalog, Exporter: book, Eraser: rows, Now: clock}), book
}

// exported is a usage record as the export shows it.
type exported struct {
	ID, RequestID, AccountID, APIKeyID, Model, Outcome, ProviderRequestID      string
	Target, ServedModel, LatencyMicros, FirstByteMicros, ErrorCode             string
	InputTokens, CachedInputTokens, OutputTokens, ReasoningTokens, CostNanoUSD string
	SettleTime                                                                 time.Time
}

// TestASettlementKeepsWhatItSays: every field of the request is in the record, and in the export but for how it was counted.
func TestASettlementKeepsWhatItSays(t *testing.T) {
	for wire, outcome := range map[billingv1.Outcome]ledger.Outcome{
		billingv1.Outcome_OUTCOME_COMPLETED:       ledger.OutcomeCompleted,
		billingv1.Outcome_OUTCOME_CALLER_LEFT:     ledger.OutcomeCallerLeft,
		billingv1.Outcome_OUTCOME_UPSTREAM_FAILED: ledger.OutcomeUpstreamFailed,
		billingv1.Outcome_OUTCOME_ABANDONED:       ledger.OutcomeAbandoned,
	} {
		for _, estimated := range []bool{false, true} {
			server, book := newServer(t)
			hold, err := server.Reserve(t.Context(), &billingv1.ReserveRequest{
				RequestId: "r1", AccountId: "org_1", UserId: "user_1", ApiKeyId: "key_1", Model: "gpt-4o-mini", InputTokens: 1000, MaxOutputTokens: 1000,
			})
			require.NoError(t, err)
			_, err = server.Settle(t.Context(), &billingv1.SettleRequest{
				HoldId: hold.GetHoldId(), Outcome: wire, Estimated: estimated, ProviderRequestId: "chatcmpl-1",
				Target: "openai", ServedModel: "gpt-4o-mini-2024-07-18", LatencyMicros: 1_250_000, FirstByteMicros: 310_000, ErrorCode: "UPSTREAM_ERROR",
				Usage: &usagev1.CallUsage{InputTokens: 900, CachedInputTokens: 100, OutputTokens: 500, ReasoningTokens: 20},
			})
			require.NoError(t, err)
			const cost = 800*150 + 100*75 + 500*600
			records, err := book.UsageOfUser(t.Context(), "user_1", "", "", 10)
			require.NoError(t, err)
			require.Len(t, records, 1)
			require.Equal(t, ledger.UsageRecord{
				ID: records[0].ID, HoldID: hold.GetHoldId(), RequestID: "r1", AccountID: "org_1", UserID: "user_1", APIKeyID: "key_1", Model: "gpt-4o-mini",
				Usage: ledger.Usage{Input: 900, CachedInput: 100, Output: 500, Reasoning: 20}, Cost: cost,
				Outcome: outcome, Estimated: estimated, ProviderRequestID: "chatcmpl-1", SettleTime: now,
				CallLog: ledger.CallLog{
					Target: "openai", ServedModel: "gpt-4o-mini-2024-07-18", Latency: 1250 * time.Millisecond, FirstByte: 310 * time.Millisecond, ErrorCode: "UPSTREAM_ERROR",
				},
			}, records[0])

			got, err := server.ExportUser(t.Context(), &billingv1.ExportUserRequest{UserId: "user_1"})
			require.NoError(t, err)
			require.Empty(t, got.GetNextPageToken())
			var list []exported
			require.NoError(t, json.Unmarshal([]byte(got.GetUsageRecordsJson()), &list))
			require.Equal(t, []exported{{
				ID: records[0].ID, RequestID: "r1", AccountID: "org_1", APIKeyID: "key_1", Model: "gpt-4o-mini",
				Target: "openai", ServedModel: "gpt-4o-mini-2024-07-18", LatencyMicros: "1250000", FirstByteMicros: "310000", ErrorCode: "UPSTREAM_ERROR", Outcome: string(outcome), ProviderRequestID: "chatcmpl-1",
				InputTokens: "900", CachedInputTokens: "100", OutputTokens: "500", ReasoningTokens: "20", CostNanoUSD: fmt.Sprint(cost), SettleTime: now,
			}}, list)
		}
	}
}

// TestTheWindowOfAKeysLimitIsBounded from one minute to 366 days, both included, in whole seconds.
func TestTheWindowOfAKeysLimitIsBounded(t *testing.T) {
	server, _ := newServer(t)
	for period, good := range map[time.Duration]bool{
		time.Minute - 1: false, time.Minute: true, 366 * 24 * time.Hour: true, 366*24*time.Hour + 1: false, 0: false, -time.Hour: false,
		time.Hour + time.Second: true, time.Hour + time.Millisecond: false, time.Hour + 1: false,
	} {
		_, err := server.Reserve(t.Context(), &billingv1.ReserveRequest{
			RequestId: period.String(), AccountId: "org_1", ApiKeyId: "key_1", Model: "gpt-4o-mini", InputTokens: 1,
			ApiKeySpendLimitNanoUsd: 1_000_000, ApiKeySpendPeriod: durationpb.New(period),
		})
		if good {
			require.NoError(t, err, period)
			continue
		}
		e := errs.From(err)
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, e.Reason, period)
		require.Equal(t, "apiKeySpendPeriod", e.Fields[0].Name)
	}
}

// manyRecords has so many records of a person, in two accounts.
type manyRecords []ledger.UsageRecord

func (m manyRecords) UsageOfUser(_ context.Context, userID, afterAccountID, afterID string, limit int) ([]ledger.UsageRecord, error) {
	for i, r := range m {
		if userID == "user_1" && (r.AccountID > afterAccountID || r.AccountID == afterAccountID && r.ID > afterID) {
			return m[i:min(len(m), i+limit)], nil
		}
	}
	return nil, nil
}

// TestExportPages returns each record once, and no empty page at the end.
func TestExportPages(t *testing.T) {
	for records, pages := range map[int]int{0: 1, 1: 1, 999: 1, 1000: 1, 1001: 2, 2000: 2, 2001: 3} {
		var all manyRecords
		for i := range records {
			all = append(all, ledger.UsageRecord{ID: fmt.Sprintf("usage_%06d", i), AccountID: fmt.Sprintf("org_%d", 2*i/max(records, 1))})
		}
		server := rpc.New(rpc.Options{Exporter: all})
		var seen []string
		token, got := "", 0
		for {
			page, err := server.ExportUser(t.Context(), &billingv1.ExportUserRequest{UserId: "user_1", PageToken: token})
			require.NoError(t, err)
			got++
			var list []exported
			require.NoError(t, json.Unmarshal([]byte(page.GetUsageRecordsJson()), &list))
			for _, r := range list {
				seen = append(seen, r.ID)
			}
			if token = page.GetNextPageToken(); token == "" {
				break
			}
			require.Less(t, got, 10)
			_, err = server.ExportUser(t.Context(), &billingv1.ExportUserRequest{UserId: "user_2", PageToken: token})
			require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, errs.ReasonOf(err), "a token of another person's list")
		}
		require.Equal(t, pages, got, records)
		require.Len(t, seen, records)
		for i, id := range seen {
			require.Equal(t, all[i].ID, id)
		}
	}
}
