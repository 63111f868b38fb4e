package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

func someRecords() []ledger.UsageRecord {
	at := time.UnixMicro(1_800_000_000_123_456).UTC()
	return []ledger.UsageRecord{
		{
			ID: "usage_1.0", AccountID: "acc", HoldID: "hold_1", RequestID: "req_1", UserID: "user_1", APIKeyID: "key_1", Model: "m",
			Usage: ledger.Usage{Input: 1, CachedInput: 2, Output: 3, Reasoning: 4}, Cost: 5, Outcome: ledger.OutcomeCompleted, Estimated: true,
			ProviderRequestID: "chatcmpl-1", SettleTime: at,
			CallLog: ledger.CallLog{Target: "openai", ServedModel: "m-1", Latency: 2 * time.Second, FirstByte: time.Millisecond, ErrorCode: "UPSTREAM_ERROR", HTTPRequestID: "req_http"},
		},
		{ID: "usage_1.1", AccountID: "acc", HoldID: "hold_2", Model: "m", UserID: "user_1", SettleTime: at.Add(-time.Hour)},
	}
}

func TestSegmentsKeepTheirRecords(t *testing.T) {
	for _, records := range [][]ledger.UsageRecord{nil, someRecords()} {
		got, err := decodeSegment("acc", "usage_1", encodeSegment(records))
		require.NoError(t, err)
		require.Equal(t, records, got)
	}
}

// A damaged segment is an error, whichever byte is missing or one too many.
func TestDamagedSegments(t *testing.T) {
	raw := encodeSegment(someRecords())
	for n := range raw {
		_, err := decodeSegment("acc", "usage_1", raw[:n])
		require.ErrorIs(t, err, errSegment, "%d bytes", n)
	}
	_, err := decodeSegment("acc", "usage_1", append(raw, 0))
	require.ErrorIs(t, err, errSegment)
	_, err = decodeSegment("acc", "usage_1", []byte{detailedVersion + 1})
	require.ErrorContains(t, err, "version 5")
}

// Segments of version 1 have no fields of the log of calls, and those of version 2 no ids of HTTP requests.
func TestOldSegments(t *testing.T) {
	want := ledger.UsageRecord{
		ID: "usage_1.0", AccountID: "acc", HoldID: "hold_1", Model: "m", Usage: ledger.Usage{Input: 5, Output: 2}, Cost: 7,
		SettleTime: time.UnixMicro(10).UTC(),
	}
	raw := []byte{1, 2, 0, 6, 'h', 'o', 'l', 'd', '_', '1', 0, 0, 2, 2, 0, 1, 'm', 2, 2, 10, 0, 4, 0, 14, 0, 20}
	got, err := decodeSegment("acc", "usage_1", raw)
	require.NoError(t, err)
	require.Equal(t, []ledger.UsageRecord{want}, got)

	raw = []byte{2, 2, 0, 6, 'h', 'o', 'l', 'd', '_', '1', 0, 0, 2, 2, 0, 1, 'm', 2, 2, 0, 1, 't', 0, 1, 's', 0, 1, 'E', 10, 0, 4, 0, 14, 0, 20, 2, 4}
	want.CallLog = ledger.CallLog{Target: "t", ServedModel: "s", ErrorCode: "E", Latency: time.Microsecond, FirstByte: 2 * time.Microsecond}
	got, err = decodeSegment("acc", "usage_1", raw)
	require.NoError(t, err)
	require.Equal(t, []ledger.UsageRecord{want}, got)
}

func FuzzDecodeSegment(f *testing.F) {
	f.Add(encodeSegment(someRecords()))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		records, err := decodeSegment("acc", "usage_1", raw)
		if err != nil {
			return
		}
		again, err := decodeSegment("acc", "usage_1", encodeSegment(records))
		require.NoError(t, err)
		require.Equal(t, records, again)
	})
}
