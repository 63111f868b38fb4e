package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// refusal is the record of a call that was refused so long after base.
func refusal(id, user string, after time.Duration) ledger.UsageRecord {
	return ledger.UsageRecord{
		RequestID: id, AccountID: "acc", UserID: user, APIKeyID: "k", Model: "m", Outcome: ledger.OutcomeRefused, SettleTime: base.Add(after),
		CallLog: ledger.CallLog{ErrorCode: "RATE_LIMIT_EXCEEDED", HTTPRequestID: "http_" + id, Latency: time.Millisecond},
	}
}

func refuse(t *testing.T, s Store, segment string, records ...ledger.UsageRecord) {
	t.Helper()
	require.NoError(t, s.InsertRefused(t.Context(), records[0].AccountID, segment, records))
}

// manyCalls are more than any test makes.
const manyCalls = 1000

func callsDown(t *testing.T, s Store, from, to string, before time.Time, limit int) (ids []string) {
	t.Helper()
	segments, err := s.Calls(t.Context(), "acc", from, to, before, limit, manyCalls)
	require.NoError(t, err)
	for _, segment := range segments {
		ids = append(ids, segment.ID)
	}
	return ids
}

func callsInSegments(t *testing.T, s Store) {
	for i, id := range []string{"usage_1", "usage_2", "usage_3", "usage_4"} {
		refuse(t, s, id, refusal("a"+id, "u", time.Duration(i)*time.Second), refusal("b"+id, "u", time.Duration(i)*time.Second+time.Millisecond))
	}
	other := refusal("x", "u", 0)
	other.AccountID = "bee"
	refuse(t, s, "usage_2", other)

	all, end := []string{"usage_4", "usage_3", "usage_2", "usage_1"}, base.Add(time.Hour)
	require.Equal(t, all, callsDown(t, s, "v", "", end, 10))
	require.Equal(t, all[:2], callsDown(t, s, "v", "", end, 2))
	require.Equal(t, all[1:3], callsDown(t, s, "usage_3", "usage_2", end, 10), "both ends are included")
	require.Equal(t, all[2:], callsDown(t, s, "v", "", base.Add(2*time.Second), 10), "those that begin at the end of the range are left out")
	require.Equal(t, all[1:], callsDown(t, s, "v", "", base.Add(2*time.Second+time.Microsecond), 10))
	require.Equal(t, all[2:3], callsDown(t, s, "v", "", base.Add(2*time.Second), 1), "those that are left out do not count")

	for calls, want := range map[int]int{1: 2, 2: 2, 3: 3, 4: 3, 5: 4, 6: 4, 7: 4} {
		segments, err := s.Calls(t.Context(), "acc", "v", "", end, 10, calls)
		require.NoError(t, err)
		require.Len(t, segments, want, "segments with %d calls, and one more", calls)
	}
	segments, err := s.Calls(t.Context(), "acc", "v", "", end, 2, 7)
	require.NoError(t, err)
	require.Len(t, segments, 2)
}

// searches: a call is found in the segment that has it, and a search tells how far it came.
func searches(t *testing.T, s Store) {
	for i, id := range []string{"usage_1", "usage_2", "usage_3", "usage_4"} {
		refuse(t, s, id, refusal("a"+id, "u", time.Duration(i)*time.Second), refusal("b"+id, "u", time.Duration(i)*time.Second+time.Millisecond))
	}
	find := func(account, request, from string, limit int) (*ledger.UsageRecord, ledger.Looked) {
		t.Helper()
		found, looked, err := s.FindCall(t.Context(), account, request, from, "v", ledger.Never, limit)
		require.NoError(t, err)
		return found, looked
	}
	found, looked := find("acc", "busage_3", "usage_2", 2)
	want := refusal("busage_3", "u", 2*time.Second+time.Millisecond)
	want.ID = "usage_3.1"
	require.Equal(t, &want, found)
	require.Equal(t, "usage_3", looked.Last)
	for _, none := range []string{"usage_3", "http_busage_3", "busage_1", "busage_4", "x"} {
		found, looked = find("acc", none, "usage_2", 2)
		require.Nil(t, found, none)
		require.Equal(t, ledger.Looked{Last: "usage_3", Segments: 2, Bytes: looked.Bytes}, looked)
		require.Positive(t, looked.Bytes)
	}
	found, looked = find("bee", "busage_3", "usage_2", 2)
	require.Nil(t, found, "it is another account's")
	require.Zero(t, looked)

	for _, c := range []struct {
		to     string
		before time.Duration
		last   string
		read   int
	}{
		{"usage_3", time.Hour, "usage_3", 3},
		{"usage_2~", time.Hour, "usage_2", 2},
		{"v", 2 * time.Second, "usage_2", 2}, // those that begin at the end of the time are left out
		{"v", 2*time.Second + time.Microsecond, "usage_3", 3},
	} {
		found, looked, err := s.FindCall(t.Context(), "acc", "busage_4", "usage_1", c.to, base.Add(c.before), 10)
		require.NoError(t, err)
		require.Nil(t, found)
		require.Equal(t, ledger.Looked{Last: c.last, Segments: c.read, Bytes: looked.Bytes}, looked)
	}
}

func recordsOfHolds(t *testing.T, s Store) {
	openAccount(t, s, "acc", 1000)
	openGrant(t, s, "g1", 1000)
	_, err := s.Record(t.Context(), "h1")
	require.ErrorIs(t, err, ledger.ErrNotFound)
	h := openHold(t, s, "h1", 10)
	_, err = s.Record(t.Context(), "h1")
	require.ErrorIs(t, err, ledger.ErrNotFound, "the call still runs")

	log := ledger.CallLog{Target: "t", ServedModel: "m-1", Latency: 2 * time.Second, FirstByte: time.Second, ErrorCode: "CANCELLED", HTTPRequestID: "http_1"}
	h.Used = used
	end := newClosing(0)
	end.CallLog = log
	write(t, s, func(ctx context.Context, tx ledger.Tx) { require.NoError(t, closeHold(ctx, tx, h, end)) })
	want := ledger.UsageRecord{
		HoldID: "h1", RequestID: "request of h1", AccountID: "acc", UserID: "u", APIKeyID: "k", Model: "m", Usage: used, Outcome: ledger.OutcomeCompleted,
		Estimated: true, ProviderRequestID: "req_1", SettleTime: base.Add(time.Second), CallLog: log,
	}
	got, err := s.Record(t.Context(), "h1")
	require.NoError(t, err)
	require.Equal(t, want, got)

	// A hold that another one replaced, and a call that used nothing.
	for id, outcome := range map[string]ledger.Outcome{"h2": ledger.OutcomeReplaced, "h3": ledger.OutcomeUpstreamFailed} {
		h := openHold(t, s, id, 0)
		h.Used = ledger.Usage{}
		write(t, s, func(ctx context.Context, tx ledger.Tx) {
			require.NoError(t, closeHold(ctx, tx, h, ledger.Closing{Outcome: outcome, UsageTime: base.Add(time.Minute), SettleTime: base.Add(time.Minute)}))
		})
	}
	require.Equal(t, 3, fold(t, s, "1"))
	got, err = s.Record(t.Context(), "h1")
	require.NoError(t, err)
	require.Equal(t, want, got, "also when it is folded")
	segments, err := s.Calls(t.Context(), "acc", "v", "", base.Add(time.Hour), 10, manyCalls)
	require.NoError(t, err)
	require.Len(t, segments, 1)
	require.Len(t, segments[0].Records, 2, "the replaced hold is not in the log")
	want.ID = segments[0].ID + ".0"
	require.Equal(t, want, segments[0].Records[0])
	require.Equal(t, ledger.OutcomeUpstreamFailed, segments[0].Records[1].Outcome)
	require.Equal(t, "h3", segments[0].Records[1].HoldID)
	require.Equal(t, []string{"usage_1"}, callsDown(t, s, "v", "", base.Add(time.Second+time.Microsecond), 10), "it begins with its first call")
	require.Empty(t, callsDown(t, s, "v", "", base.Add(time.Second), 10))
}

func refusedCalls(t *testing.T, s Store) {
	first, second := refusal("a", "u", 0), refusal("b", "u", time.Second)
	refuse(t, s, "usage_1", first, second)
	refuse(t, s, "usage_1", first, second) // the batch comes again
	segments, err := s.Calls(t.Context(), "acc", "v", "", ledger.Never, 10, manyCalls)
	require.NoError(t, err)
	require.Len(t, segments, 1)
	first.ID, second.ID = "usage_1.0", "usage_1.1"
	require.Equal(t, []ledger.UsageRecord{first, second}, segments[0].Records)

	rows, err := s.Usage(t.Context(), ledger.UsageQuery{AccountID: "acc", From: base, To: base.Add(time.Hour)})
	require.NoError(t, err)
	require.Empty(t, rows, "a refused call uses nothing")
	exported, err := s.UsageOfUser(t.Context(), "u", "", "", 10)
	require.NoError(t, err)
	require.Len(t, exported, 2)
	found, err := s.Violations(t.Context(), 10)
	require.NoError(t, err)
	require.Empty(t, found)

	n, err := s.PruneRecords(t.Context(), ledger.Retention{Records: base.Add(time.Second)}, 10)
	require.NoError(t, err)
	require.Zero(t, n)
	n, err = s.PruneRecords(t.Context(), ledger.Retention{Records: base.Add(time.Second + time.Microsecond)}, 10)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Empty(t, callsDown(t, s, "v", "", ledger.Never, 10))
}

// erasureOfRefusedCalls: a person who was only ever refused has no usage, and is erased all the same.
func erasureOfRefusedCalls(t *testing.T, s Store) {
	openAccount(t, s, "acc", 1000)
	refuse(t, s, "usage_1", refusal("a", erasedUser, 0), refusal("b", "u", 0))
	failed := erasedHold("h1")
	failed.AccountID, failed.Amount = "bee", 0
	openAccount(t, s, "bee", 0)
	write(t, s, func(ctx context.Context, tx ledger.Tx) {
		_, err := tx.InsertHold(ctx, failed)
		require.NoError(t, err)
		failed.Used = ledger.Usage{}
		require.NoError(t, closeHold(ctx, tx, failed, ledger.Closing{Outcome: ledger.OutcomeUpstreamFailed, UsageTime: base, SettleTime: base}))
	})
	require.Equal(t, 1, fold(t, s, "failed"))
	named := func() int {
		t.Helper()
		records, err := s.UsageOfUser(t.Context(), erasedUser, "", "", 10)
		require.NoError(t, err)
		return len(records)
	}
	require.Equal(t, 2, named())
	require.NoError(t, s.EraseUser(t.Context(), erasedUser))
	require.Zero(t, named())
	refuse(t, s, "usage_2", refusal("c", erasedUser, 0), refusal("d", "u", 0))
	require.Zero(t, named(), "a late batch does not bring the person back")
	require.Equal(t, []string{"usage_2", "usage_1"}, callsDown(t, s, "v", "", ledger.Never, 10))

	own := refusal("e", erasedUser, 0)
	own.AccountID = erasedUser
	refuse(t, s, "usage_3", own)
	segments, err := s.Calls(t.Context(), erasedUser, "v", "", ledger.Never, 10, manyCalls)
	require.NoError(t, err)
	require.Empty(t, segments, "nothing is written for the account of an erased person")
}
