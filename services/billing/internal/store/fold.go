package store

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

// What is left to fold of a call.
const (
	foldAll   = 1 // its charge and its usage
	folded    = 2 // nothing; of a hold: nothing but its row of unfolded_call, if there is one
	foldUsage = 3 // its usage: the charge has an entry of its own
)

// AccountsToFold lists at most limit accounts after one that have closed holds to fold.
func (s *Store) AccountsToFold(ctx context.Context, after string, limit int) ([]string, error) {
	ids, err := s.read.ListAccountsToFold(ctx, db.ListAccountsToFoldParams{After: after, Most: int64(limit)})
	return ids, translate(err)
}

// Fold moves closed calls of the accounts into daily sums, and for each account into one segment and one entry; see ledger.Store. On
// SQLite it is one transaction, because the calls of many accounts share pages and a commit. On PostgreSQL each account has its own:
// transactions that lock many accounts would wait for each other.
func (s *Store) Fold(ctx context.Context, accountIDs []string, limit int, f ledger.Folding) (moved int, err error) {
	together := len(accountIDs)
	if s.db.Dialect() == database.Postgres {
		together = 1
	}
	for ids := range slices.Chunk(accountIDs, max(together, 1)) {
		n := 0
		err = s.Write(ctx, ids[0], func(ctx context.Context, tx ledger.Tx) error {
			n, err = tx.(*unit).foldAll(ctx, ids, limit-moved, f) //nolint:forcetypeassert // this store's own
			return err
		})
		if err != nil {
			return moved, err
		}
		if moved += n; moved >= limit {
			break
		}
	}
	return moved, nil
}

func (u *unit) foldAll(ctx context.Context, ids []string, limit int, f ledger.Folding) (moved int, err error) {
	if err := u.flush(ctx); err != nil {
		return 0, err
	}
	for _, id := range ids {
		n, err := u.fold(ctx, id, limit-moved, f)
		if err != nil {
			return 0, err
		}
		if moved += n; moved >= limit {
			break
		}
	}
	return moved, nil
}

func (u *unit) fold(ctx context.Context, accountID string, limit int, f ledger.Folding) (int, error) {
	rows, err := u.q.ListClosedHolds(ctx, db.ListClosedHoldsParams{AccountID: accountID, Most: int64(limit)})
	if err != nil {
		return 0, err
	}
	calls, err := u.q.ListUnfoldedCalls(ctx, db.ListUnfoldedCallsParams{AccountID: accountID, Most: int64(limit - len(rows))})
	if err != nil || len(rows)+len(calls) == 0 {
		return 0, err
	}
	slices.SortFunc(rows, func(a, b db.Hold) int {
		if a.SettleTime != b.SettleTime {
			return int(min(max(a.SettleTime-b.SettleTime, -1), 1))
		}
		return strings.Compare(a.ID, b.ID)
	})
	users := make([]string, 0, len(calls))
	for _, call := range calls {
		users = append(users, call.UserID)
	}
	if err := u.loadErased(ctx, users); err != nil {
		return 0, err
	}
	p := newFoldPage(u)
	p.records = make([]ledger.UsageRecord, 0, len(rows)+len(calls))
	for _, row := range rows {
		if err := p.add(ctx, row); err != nil {
			return 0, err
		}
	}
	for _, call := range calls {
		if err := p.addCall(accountID, call); err != nil {
			return 0, err
		}
	}
	if err := p.writeDays(ctx); err != nil {
		return 0, err
	}
	if err := p.writeSegment(ctx, accountID, f); err != nil {
		return 0, err
	}
	if err := p.markFolded(ctx, rows, p.segment); err != nil {
		return 0, err
	}
	return len(rows) + len(calls), p.forgetCalls(ctx, accountID, calls)
}

// foldPage is what a fold writes.
type foldPage struct {
	u       *unit
	days    map[dayKey]ledger.UsageTotal
	records []ledger.UsageRecord
	charged int64
	overage int64
	// first and last are when the first of the records ended, and when the last of all calls was closed.
	first, last int64
	segment     string
}

func newFoldPage(u *unit) *foldPage {
	return &foldPage{u: u, days: map[dayKey]ledger.UsageTotal{}}
}

// dayKey is a row of the daily sums.
type dayKey struct {
	account             string
	day                 int64
	model, user, apiKey string
}

func (p *foldPage) add(ctx context.Context, row db.Hold) error {
	r, err := p.u.recordOf(ctx, row)
	if err != nil {
		return err
	}
	if err := p.u.loadErased(ctx, []string{r.UserID}); err != nil { // the record of an older version may name an erased person that the hold does not
		return err
	}
	r.UserID = p.u.nameable(r.UserID)
	if row.Fold == foldAll && row.UsageID == "" {
		p.charged += row.Cost
	}
	p.last = max(p.last, row.SettleTime)
	p.addUsage(r, usageTime(row, r), row.UsageID == "")
	return nil
}

// addUsage adds a call to the sum of its day, and to the segment's records unless an older version has recorded it. A hold that another one
// replaced is not recorded.
func (p *foldPage) addUsage(r ledger.UsageRecord, at time.Time, logged bool) {
	if logged && r.Outcome != ledger.OutcomeReplaced {
		p.addRecord(r)
	}
	total := r.Total()
	if total == (ledger.UsageTotal{}) {
		p.name(r)
		return
	}
	k := dayKey{account: r.AccountID, day: dayOf(at), model: r.Model, user: r.UserID, apiKey: r.APIKeyID}
	sum := p.days[k]
	sum.Add(total)
	p.days[k] = sum
}

func (p *foldPage) addRecord(r ledger.UsageRecord) {
	at := r.SettleTime.UnixMicro()
	if len(p.records) == 0 || at < p.first {
		p.first = at
	}
	p.last = max(p.last, at)
	p.records = append(p.records, r)
}

// name adds an empty daily sum of a person whose call used nothing: an erasure looks for the person's accounts in the sums.
func (p *foldPage) name(r ledger.UsageRecord) {
	if r.UserID == "" {
		return
	}
	k := dayKey{account: r.AccountID, day: dayOf(r.SettleTime), user: r.UserID}
	if _, known := p.days[k]; !known {
		p.days[k] = ledger.UsageTotal{}
	}
}

func (p *foldPage) writeDays(ctx context.Context) error {
	for k, total := range p.days {
		if err := p.u.addDay(ctx, k, total); err != nil {
			return err
		}
	}
	return nil
}

func (p *foldPage) writeSegment(ctx context.Context, accountID string, f ledger.Folding) error {
	p.segment = f.SegmentID(toTime(p.last))
	if len(p.records) > 0 || p.charged > 0 {
		if err := p.u.q.InsertSegment(ctx, db.InsertSegmentParams{
			AccountID: accountID, ID: p.segment, FirstTime: p.first, LastTime: p.last, Calls: int64(len(p.records)), Charged: p.charged, Records: encodeSegment(p.records),
		}); err != nil {
			return err
		}
	}
	if p.charged == 0 {
		return nil
	}
	entry := ledger.Entry{
		ID: f.EntryID(toTime(p.last)), AccountID: accountID, Kind: ledger.KindUsage, Debit: ledger.SideCustomer(accountID), Credit: ledger.SideUsage,
		Amount: p.charged, Reference: p.segment, CreateTime: toTime(p.last),
	}
	if err := p.u.InsertEntry(ctx, entry); err != nil || p.overage == 0 {
		return err
	}
	entry.ID, entry.Kind, entry.Amount = f.EntryID(toTime(p.last)), ledger.KindOverage, p.overage
	entry.Debit, entry.Credit = ledger.SideReceivable, ledger.SideCustomer(accountID)
	return p.u.InsertEntry(ctx, entry)
}

func (p *foldPage) markFolded(ctx context.Context, rows []db.Hold, segment string) error {
	var values []any
	for _, row := range rows {
		values = append(values, row.ID, segment)
		if known := p.u.holds[row.ID]; known != nil {
			known.fold, known.segment = folded, segment
		}
	}
	_, err := p.u.sql.foldHolds.exec(ctx, p.u.t, values)
	return err
}

// recordOf is the usage record of a closed hold.
func (u *unit) recordOf(ctx context.Context, row db.Hold) (ledger.UsageRecord, error) {
	if row.UsageID != "" { // an older version closed it
		stored, err := u.q.GetUsage(ctx, db.GetUsageParams{AccountID: row.AccountID, ID: row.UsageID})
		if _, err := one(err); err != nil {
			return ledger.UsageRecord{}, err
		}
		return toUsage(stored), nil
	}
	return toRecord(row), nil
}

// toRecord is the record of a closed hold of this version.
func toRecord(row db.Hold) ledger.UsageRecord {
	return ledger.UsageRecord{
		HoldID: row.ID, RequestID: row.RequestID, AccountID: row.AccountID, UserID: row.UserID, APIKeyID: row.APIKeyID, Model: row.Model,
		Usage: ledger.Usage{
			Input: row.UsedInputTokens, CachedInput: row.UsedCachedInputTokens, Output: row.UsedOutputTokens, Reasoning: row.UsedReasoningTokens,
		},
		Cost: row.Cost, Outcome: ledger.Outcome(row.Outcome), Estimated: row.Estimated, ProviderRequestID: row.ProviderRequestID, CallLog: toCallLog(row),
		SettleTime: toTime(cmp.Or(row.UsageTime, row.SettleTime)),
	}
}

func (u *unit) addDay(ctx context.Context, k dayKey, t ledger.UsageTotal) error {
	return u.q.AddUsageDay(ctx, db.AddUsageDayParams{
		AccountID: k.account, Day: k.day, Model: k.model, UserID: k.user, APIKeyID: k.apiKey, Requests: t.Requests, InputTokens: t.Usage.Input,
		CachedInputTokens: t.Usage.CachedInput, OutputTokens: t.Usage.Output, ReasoningTokens: t.Usage.Reasoning, Cost: t.Cost,
	})
}

// usageTime is when the usage of a closed hold counts. A hold of an older version that used nothing has no record.
func usageTime(row db.Hold, r ledger.UsageRecord) time.Time {
	if r.HoldID == "" {
		return toTime(row.SettleTime)
	}
	return r.SettleTime
}

// Unfold takes a closed hold's usage out of what it was folded into, and returns it with its time: it is about to be corrected.
func (u *unit) Unfold(ctx context.Context, holdID string) (old ledger.UsageTotal, at time.Time, err error) {
	if err := u.flush(ctx); err != nil {
		return old, at, err
	}
	row, err := u.q.GetHold(ctx, holdID)
	if err != nil {
		return old, at, translate(err)
	}
	r, err := u.recordOf(ctx, row)
	if err != nil {
		return old, at, err
	}
	if !row.Limited && u.limits(row.AccountID) { // the account's holds were not marked when this call, its only one, had used nothing
		if err := u.q.LimitHold(ctx, holdID); err != nil {
			return old, at, err
		}
	}
	old, at = r.Total(), usageTime(row, r)
	waiting, err := u.forgetCall(ctx, row)
	if err != nil {
		return old, at, err
	}
	isFolded := row.Fold == folded && !waiting
	switch {
	case row.UsageID != "":
		err = u.q.DeleteUsage(ctx, db.DeleteUsageParams{AccountID: row.AccountID, ID: row.UsageID})
	case isFolded && row.Segment != "":
		err = u.dropFromSegment(ctx, row)
	}
	if err == nil && isFolded && old != (ledger.UsageTotal{}) {
		var nothing ledger.UsageTotal
		nothing.Remove(old)
		err = u.addDay(ctx, dayKey{account: row.AccountID, day: dayOf(at), model: r.Model, user: r.UserID, apiKey: r.APIKeyID}, nothing)
	}
	if known := u.holds[holdID]; known != nil {
		known.fold, known.segment = foldUsage, ""
	}
	return old, at, err
}

// dropFromSegment takes the record of a hold out of its segment, if that is still kept.
func (u *unit) dropFromSegment(ctx context.Context, row db.Hold) error {
	segment, err := u.q.GetSegment(ctx, db.GetSegmentParams{AccountID: row.AccountID, ID: row.Segment})
	if found, err := one(err); err != nil || !found {
		return err
	}
	records, err := decodeSegment(segment.AccountID, segment.ID, segment.Records)
	if err != nil {
		return err
	}
	records = slices.DeleteFunc(records, func(r ledger.UsageRecord) bool { return r.HoldID == row.ID })
	return u.q.RewriteSegment(ctx, db.RewriteSegmentParams{
		AccountID: segment.AccountID, ID: segment.ID, Calls: int64(len(records)), Records: encodeSegment(records),
	})
}

const day = 24 * time.Hour

// dayOf is the day of a time, in days since 1970 in UTC.
func dayOf(t time.Time) int64 { return floorDiv(t.UnixMicro(), day.Microseconds()) }

// timeOf is the midnight at which a day begins.
func timeOf(n int64) time.Time { return time.UnixMicro(n * day.Microseconds()).UTC() }

func floorDiv(a, b int64) int64 {
	n := a / b
	if a%b < 0 {
		n--
	}
	return n
}
