package ledger_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivet-dev/trivet/platform/callid"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

// callLog is what the property test believes of the log of some accounts.
type callLog struct {
	t     *rapid.T
	b     *fixture
	names []string
	calls []ledger.UsageRecord
	open  []ledger.Hold
	used  map[string]string // accounts by request id
	count uint64
	// kept is before which records may be gone, and erased the people who are.
	kept   time.Time
	erased map[string]bool
}

// What was called is what the log lists: in order, once, of one account alone, whenever calls are folded, corrected, pruned, or their
// people erased.
func TestTheLogHasEachCallOnce(t *testing.T) {
	checks(t, 20)
	databasetest.Each(t, store.Migrations(), func(t *testing.T, db *database.DB) {
		run, clock := 0, newClock()
		rapid.Check(t, func(rt *rapid.T) {
			run++
			m := &callLog{t: rt, b: newFixture(t, db, "empty"), used: map[string]string{}, erased: map[string]bool{}}
			m.b.clock = clock
			m.b.Ledger = m.b.again()
			for i := range 2 {
				m.names = append(m.names, fmt.Sprintf("org_%d_%d", run, i))
				_, err := m.b.Grant(t.Context(), ledger.NewGrant{AccountID: m.names[i], Create: true, Source: "gift", Amount: 1_000_000})
				require.NoError(rt, err)
			}
			rt.Repeat(map[string]func(*rapid.T){
				"reserve": m.reserve, "settle": m.settle, "refuse": m.refuse, "fold": m.fold, "prune": m.prune, "erase": m.erase, "sweep": m.sweep,
				"wait": func(t *rapid.T) {
					clock.Add(rapid.SampledFrom([]time.Duration{0, time.Microsecond, time.Second, lease, time.Hour}).Draw(t, "wait"))
				},
				"wait for days": func(t *rapid.T) {
					clock.Add(lease)
					m.sweep(t) // no call stays open for days
					clock.Add(50 * time.Hour)
				},
				"": m.check,
			})
			clock.Add(time.Hour)
			_, err := m.b.Sweep(t.Context()) // the holds of this run are nothing to the next
			require.NoError(rt, err)
		})
	})
}

func (m *callLog) newID(account string) string {
	m.count++
	id := callid.Make(account, m.b.clock.Now(), m.count)
	m.used[id] = account
	return id
}

func (m *callLog) user(t *rapid.T) string {
	return rapid.SampledFrom([]string{"ann", "bob"}).Draw(t, "user") + strings.TrimPrefix(m.names[0], "org")
}

// known is the user's id as it is stored.
func (m *callLog) known(user string) string {
	if m.erased[user] {
		return ""
	}
	return user
}

func (m *callLog) reserve(t *rapid.T) {
	account := rapid.SampledFrom(m.names).Draw(t, "account")
	h, err := m.b.Reserve(t.Context(), ledger.Reservation{
		RequestID: m.newID(account), AccountID: account, UserID: m.user(t), APIKeyID: rapid.SampledFrom([]string{"", "key"}).Draw(t, "key"),
		Model: rapid.SampledFrom([]string{"plain", "embed"}).Draw(t, "model"), InputTokens: 10,
	})
	require.NoError(t, err)
	m.open = append(m.open, h)
}

func (m *callLog) settle(t *rapid.T) {
	if len(m.open) == 0 {
		return // no hold is open
	}
	i := rapid.IntRange(0, len(m.open)-1).Draw(t, "hold")
	h := m.open[i]
	m.open = slices.Delete(m.open, i, i+1)
	outcome := rapid.SampledFrom([]ledger.Outcome{
		ledger.OutcomeCompleted, ledger.OutcomeCallerLeft, ledger.OutcomeUpstreamFailed, ledger.OutcomeReplaced,
	}).Draw(t, "outcome")
	input := int64(0)
	if outcome != ledger.OutcomeReplaced {
		input = rapid.Int64Range(0, 10).Draw(t, "input")
	}
	log := ledger.CallLog{HTTPRequestID: rapid.SampledFrom([]string{"", "req_1", "req_2"}).Draw(t, "http")}
	end, err := m.b.Settle(t.Context(), ledger.Settlement{HoldID: h.ID, Usage: ledger.Usage{Input: input}, Outcome: outcome, CallLog: log})
	require.NoError(t, err)
	if outcome == ledger.OutcomeReplaced {
		return
	}
	m.calls = append(m.calls, ledger.UsageRecord{
		HoldID: h.ID, RequestID: h.RequestID, AccountID: h.AccountID, UserID: m.known(h.UserID), APIKeyID: h.APIKeyID, Model: h.Model,
		Usage: ledger.Usage{Input: input}, Cost: end.Cost, Outcome: outcome, CallLog: log, SettleTime: m.b.clock.Now(),
	})
}

// sweep has the holds whose leases have ended settled as abandoned, and settles some of them late.
func (m *callLog) sweep(t *rapid.T) {
	now := m.b.clock.Now()
	_, err := m.b.Sweep(t.Context())
	require.NoError(t, err)
	var left []ledger.Hold
	for _, h := range m.open {
		if h.LeaseTime.After(now) {
			left = append(left, h)
			continue
		}
		r := ledger.UsageRecord{
			HoldID: h.ID, RequestID: h.RequestID, AccountID: h.AccountID, UserID: m.known(h.UserID), APIKeyID: h.APIKeyID, Model: h.Model,
			Usage: h.Used, Cost: h.Used.Input, Outcome: ledger.OutcomeAbandoned, Estimated: true, SettleTime: now,
		}
		if rapid.Bool().Draw(t, "late") {
			if rapid.Bool().Draw(t, "folded") {
				m.fold(t)
			}
			m.b.clock.Add(time.Second)
			_, err := m.b.Settle(t.Context(), ledger.Settlement{HoldID: h.ID, Usage: ledger.Usage{Input: 3}, Outcome: ledger.OutcomeCompleted})
			require.NoError(t, err)
			r.Usage, r.Cost, r.Outcome, r.Estimated = ledger.Usage{Input: 3}, 3, ledger.OutcomeCompleted, false
		}
		m.calls = append(m.calls, r)
	}
	m.open = left
}

func (m *callLog) refuse(t *rapid.T) {
	account := rapid.SampledFrom(m.names).Draw(t, "account")
	batch := fmt.Sprintf("batch_%d", m.count)
	var records []ledger.UsageRecord
	for range rapid.IntRange(1, 5).Draw(t, "refused") {
		user := m.user(t)
		r := ledger.UsageRecord{
			RequestID: m.newID(account), AccountID: account, UserID: user, Model: rapid.SampledFrom([]string{"", "plain"}).Draw(t, "model"), SettleTime: m.b.clock.Now(),
			CallLog: ledger.CallLog{ErrorCode: "RATE_LIMIT_EXCEEDED", HTTPRequestID: rapid.SampledFrom([]string{"", "req_1"}).Draw(t, "http")},
		}
		records = append(records, r)
		r.UserID, r.Outcome = m.known(user), ledger.OutcomeRefused
		m.calls = append(m.calls, r)
	}
	m.b.clock.Add(rapid.SampledFrom([]time.Duration{0, time.Second, time.Minute}).Draw(t, "later"))
	for range rapid.IntRange(1, 2).Draw(t, "times") {
		require.NoError(t, m.b.RecordRefused(t.Context(), account, batch, slices.Clone(records)))
	}
}

func (m *callLog) fold(t *rapid.T) {
	_, err := m.b.Fold(t.Context(), always)
	require.NoError(t, err)
}

func (m *callLog) prune(t *rapid.T) {
	const kept = 40 * time.Hour
	m.fold(t) // what was called long ago and never folded is not old
	require.NoError(t, m.b.Prune(t.Context(), kept, always))
	m.kept = m.b.clock.Now().Add(-kept)
}

func (m *callLog) erase(t *rapid.T) {
	user := m.user(t)
	require.NoError(t, m.b.store.EraseUser(t.Context(), user))
	m.erased[user] = true
	for i := range m.calls {
		m.calls[i].UserID = m.known(m.calls[i].UserID)
	}
}

// want is what the log must list for a query.
func (m *callLog) want(q ledger.CallQuery) (want []ledger.UsageRecord) {
	for _, r := range m.calls {
		if r.AccountID == q.AccountID && !r.SettleTime.Before(q.From) && (q.To.IsZero() || r.SettleTime.Before(q.To)) &&
			(q.UserID == "" || q.UserID == r.UserID) && (q.APIKeyID == "" || q.APIKeyID == r.APIKeyID) && (q.Model == "" || q.Model == r.Model) &&
			(q.Outcome == "" || q.Outcome == r.Outcome) && (q.HTTPRequestID == "" || q.HTTPRequestID == r.HTTPRequestID) {
			want = append(want, r)
		}
	}
	slices.SortFunc(want, func(a, b ledger.UsageRecord) int {
		return cmp.Or(b.SettleTime.Compare(a.SettleTime), cmp.Compare(b.RequestID, a.RequestID))
	})
	return want
}

func (m *callLog) query(t *rapid.T) ledger.CallQuery {
	q := ledger.CallQuery{AccountID: rapid.SampledFrom(m.names).Draw(t, "account")}
	some := func(name string, field *string, values ...string) {
		if rapid.IntRange(0, 3).Draw(t, name) == 0 {
			*field = rapid.SampledFrom(values).Draw(t, name)
		}
	}
	some("user", &q.UserID, m.user(t))
	some("key", &q.APIKeyID, "key")
	some("model", &q.Model, "plain", "embed", "none")
	some("http", &q.HTTPRequestID, "req_1", "req_2")
	some("outcome", (*string)(&q.Outcome), "completed", "refused", "abandoned")
	if len(m.calls) > 0 {
		at := func(name string) time.Time { return rapid.SampledFrom(m.calls).Draw(t, name).SettleTime }
		if rapid.IntRange(0, 3).Draw(t, "from") == 0 {
			q.From = at("from")
		}
		if rapid.IntRange(0, 3).Draw(t, "to") == 0 {
			q.To = at("to")
		}
	}
	return q
}

// list walks through all pages.
func (m *callLog) list(t *rapid.T, q ledger.CallQuery) (got []ledger.UsageRecord) {
	size := rapid.IntRange(1, 4).Draw(t, "size")
	var after ledger.CallCursor
	for more := true; more; {
		page, next, again, err := m.b.Calls(t.Context(), q, after, size)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page), size)
		require.True(t, again || next == ledger.CallCursor{})
		got, after, more = append(got, page...), next, again
	}
	for i := range got {
		got[i].ID = ""
	}
	return got
}

func (m *callLog) check(t *rapid.T) {
	q := m.query(t)
	want, got := m.want(q), m.list(t, q)
	// What is older than the retention may be gone, as whole segments.
	var young, old []ledger.UsageRecord
	for _, r := range want {
		if r.SettleTime.Before(m.kept) {
			old = append(old, r)
		} else {
			young = append(young, r)
		}
	}
	require.GreaterOrEqual(t, len(got), len(young))
	require.Equal(t, young, append([]ledger.UsageRecord(nil), got[:len(young)]...))
	rest := got[len(young):]
	for _, r := range old {
		if len(rest) > 0 && rest[0].RequestID == r.RequestID {
			require.Equal(t, r, rest[0])
			rest = rest[1:]
		}
	}
	require.Empty(t, rest)
	m.checkOne(t)
}

// checkOne looks up a call by its id.
func (m *callLog) checkOne(t *rapid.T) {
	for _, h := range m.open {
		_, err := m.b.Call(t.Context(), h.AccountID, h.RequestID)
		if m.b.clock.Now().Before(h.LeaseTime) {
			require.ErrorIs(t, err, ledger.ErrNotFound, "it still runs")
		}
	}
	if len(m.calls) == 0 {
		return
	}
	want := rapid.SampledFrom(m.calls).Draw(t, "one")
	for _, account := range m.names {
		got, err := m.b.Call(t.Context(), account, want.RequestID)
		if account != want.AccountID {
			require.ErrorIs(t, err, ledger.ErrNotFound, "it is another account's")
			continue
		}
		if want.SettleTime.Before(m.kept) && err != nil {
			require.ErrorIs(t, err, ledger.ErrNotFound)
			continue
		}
		require.NoError(t, err)
		got.ID = ""
		require.Equal(t, want, got)
	}
}

// refuseMany logs so many refused calls of alice, the newest first to be found, with one that has the HTTP request's id.
func refuseMany(t *testing.T, b *fixture, n, special int) {
	t.Helper()
	at := b.clock.Now().Add(-time.Duration(n) * time.Second)
	var batch []ledger.UsageRecord
	for i := range n {
		r := ledger.UsageRecord{RequestID: callid.Make(alice, at, uint64(i)), UserID: alice, SettleTime: at}
		if i == n-1-special {
			r.HTTPRequestID = "req_special"
		}
		at = at.Add(time.Second)
		if batch = append(batch, r); len(batch) == 1000 || i == n-1 {
			require.NoError(t, b.RecordRefused(t.Context(), alice, fmt.Sprint(i), batch))
			batch = nil
		}
	}
}

func TestAPageOfTheLogChecksTenThousandCalls(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		const n = 20_500
		refuseMany(t, b, n, 20_000)
		q := ledger.CallQuery{AccountID: alice, HTTPRequestID: "req_special"}
		found, next, more, err := b.Calls(t.Context(), q, ledger.CallCursor{}, 50)
		require.NoError(t, err)
		require.Empty(t, found)
		require.True(t, more, "there may be one in what is left")
		found, next, more, err = b.Calls(t.Context(), q, next, 50)
		require.NoError(t, err)
		require.Empty(t, found)
		require.True(t, more)
		found, _, more, err = b.Calls(t.Context(), q, next, 50)
		require.NoError(t, err)
		require.Len(t, found, 1)
		require.False(t, more, "nothing is left")

		q = ledger.CallQuery{AccountID: alice}
		seen, after := 0, ledger.CallCursor{}
		for more = true; more; {
			found, after, more, err = b.Calls(t.Context(), q, after, 500)
			require.NoError(t, err)
			seen += len(found)
		}
		require.Equal(t, n, seen)
	})
}

// countingStore counts the segments that are read.
type countingStore struct {
	ledger.Store
	segments []ledger.Segment
	decoded  int
	asked    int
}

func (s *countingStore) Fold(context.Context, []string, int, ledger.Folding) (int, error) {
	return 0, nil
}

func (s *countingStore) Calls(_ context.Context, _, from, to string, _ time.Time, limit, calls int) (found []ledger.Segment, err error) {
	s.asked++
	had := 0 // the calls of all but the last
	for _, segment := range s.segments {
		if segment.ID > from || segment.ID < to {
			continue
		}
		if len(found) == limit || had >= calls {
			break
		}
		if len(found) > 0 {
			had += len(found[len(found)-1].Records)
		}
		found = append(found, segment)
		s.decoded += len(segment.Records)
	}
	return found, nil
}

// A page of a busy account reads a few large segments, and one of many small ones asks the store a few times.
func TestReadingTheLogReadsLittle(t *testing.T) {
	at := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	build := func(segments, each int) *countingStore {
		s := &countingStore{}
		for i := range segments {
			end := at.Add(-time.Duration(i) * time.Minute)
			segment := ledger.Segment{ID: ledger.SegmentIDAt(end)}
			for k := range each {
				segment.Records = append(segment.Records, ledger.UsageRecord{RequestID: fmt.Sprintf("r%d.%d", i, k), SettleTime: end.Add(-time.Duration(k) * time.Millisecond)})
			}
			s.segments = append(s.segments, segment)
		}
		return s
	}
	busy := build(500, 1000)
	found, _, more, err := ledger.New(ledger.Options{Store: busy, Now: time.Now}).Calls(t.Context(), ledger.CallQuery{AccountID: alice}, ledger.CallCursor{}, 50)
	require.NoError(t, err)
	require.Len(t, found, 50)
	require.True(t, more)
	require.LessOrEqual(t, busy.decoded, 5_000)

	small := build(12_000, 1)
	_, _, more, err = ledger.New(ledger.Options{Store: small, Now: time.Now}).Calls(t.Context(), ledger.CallQuery{AccountID: alice, Model: "none"}, ledger.CallCursor{}, 50)
	require.NoError(t, err)
	require.True(t, more)
	require.LessOrEqual(t, small.asked, 50)

	// Large segments behind many small ones, as of an account whose calls were refused for a while.
	mixed := build(300, 1)
	large := build(600, 1000).segments[300:]
	mixed.segments = append(mixed.segments, large...)
	seen, after := 0, ledger.CallCursor{}
	book := ledger.New(ledger.Options{Store: mixed, Now: time.Now})
	for pages := range 3 {
		before := mixed.decoded
		found, after, more, err = book.Calls(t.Context(), ledger.CallQuery{AccountID: alice}, after, 5_000)
		require.NoError(t, err)
		require.True(t, more)
		require.LessOrEqual(t, mixed.decoded-before, 15_000, pages)
		seen += len(found)
	}
	require.Equal(t, 15_000, seen)
}

// A caller may write any time: ids, which hold unsigned milliseconds, must not make one before 1970 a late one.
func TestTheLogFromLongAgo(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		b.settle(b.hold("r1", 1), 1)
		for _, from := range []time.Time{{}, time.Date(1969, 12, 31, 0, 0, 0, 0, time.UTC), time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC)} {
			found, _, _, err := b.Calls(t.Context(), ledger.CallQuery{AccountID: alice, From: from}, ledger.CallCursor{}, 50)
			require.NoError(t, err)
			require.Len(t, found, 1, from)
			_, err = b.Fold(t.Context(), always)
			require.NoError(t, err)
		}
	})
}

// A caller can make up the id of a call from long ago. The search for it ends at the segments that cannot have it.
func TestAMadeUpIDReadsLittle(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		began := b.clock.Now()
		log := func(at time.Time, n int) string {
			t.Helper()
			r := ledger.UsageRecord{RequestID: callid.Make(alice, at, uint64(n)), UserID: alice, SettleTime: at}
			require.NoError(t, b.RecordRefused(t.Context(), alice, fmt.Sprint(at, n), []ledger.UsageRecord{r}))
			return r.RequestID
		}
		first := log(began, 1)
		for n := range 100 {
			log(began.Add(97*time.Hour), n)
		}
		searched := &searchingStore{Store: b.store}
		book := ledger.New(ledger.Options{Store: searched, Now: b.clock.Now})
		got, err := book.Call(t.Context(), alice, first)
		require.NoError(t, err)
		require.Equal(t, first, got.RequestID)
		searched.looked = ledger.Looked{}
		_, err = book.Call(t.Context(), alice, callid.Make(alice, began, 7))
		require.ErrorIs(t, err, ledger.ErrNotFound)
		require.Equal(t, 1, searched.looked.Segments)
	})
}

// A call that is settled long after its sweep is found when its hold is gone.
func TestALateCallIsFound(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		id := callid.Make(alice, b.clock.Now(), 1)
		h := b.hold(id, 10)
		b.clock.Add(lease)
		b.sweep(1)
		b.clock.Add(20 * 24 * time.Hour)
		b.settle(h, 4)
		_, err := b.Fold(t.Context(), always)
		require.NoError(t, err)
		b.clock.Add(60 * 24 * time.Hour)
		require.NoError(t, b.Prune(t.Context(), 0, always))
		require.Zero(t, b.count("SELECT COUNT(*) FROM hold"))
		got, err := b.Call(t.Context(), alice, id)
		require.NoError(t, err)
		require.EqualValues(t, 4, got.Cost)
	})
}

// A response in the background may run for days. Its record is found when its hold is gone.
func TestACallOfDaysIsFound(t *testing.T) {
	each(t, "monthly", func(t *testing.T, b *fixture) {
		id := callid.Make(alice, b.clock.Now(), 1)
		h := b.hold(id, 10)
		for range 73 { // the longest setting, and the day after which ai gives up
			b.clock.Add(time.Hour)
			b.checkpoint(h, 10)
		}
		b.settle(h, 4)
		_, err := b.Fold(t.Context(), always)
		require.NoError(t, err)
		b.clock.Add(49 * time.Hour)
		require.NoError(t, b.Prune(t.Context(), 0, always))
		require.Zero(t, b.count("SELECT COUNT(*) FROM hold"))
		got, err := b.Call(t.Context(), alice, id)
		require.NoError(t, err)
		require.EqualValues(t, 4, got.Cost)
	})
}

// searchingStore counts what searches read.
type searchingStore struct {
	ledger.Store
	looked ledger.Looked
}

func (s *searchingStore) FindCall(
	ctx context.Context, accountID, requestID, from, to string, before time.Time, limit int,
) (*ledger.UsageRecord, ledger.Looked, error) {
	found, looked, err := s.Store.FindCall(ctx, accountID, requestID, from, to, before, limit)
	s.looked.Segments += looked.Segments
	return found, looked, err
}
