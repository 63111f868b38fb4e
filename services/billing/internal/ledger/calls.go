package ledger

import (
	"cmp"
	"container/heap"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/platform/callid"
)

// Segment is the records of calls that were written together. None ended after the time in its id.
type Segment struct {
	ID      string
	Records []UsageRecord
}

// CallQuery selects calls of an account. What is empty selects all.
type CallQuery struct {
	AccountID, UserID, APIKeyID, Model string
	Outcome                            Outcome
	HTTPRequestID                      string
	// From and To bound when the calls ended: from From, before To.
	From, To time.Time
}

// matches tells whether a call is selected; the times are checked before.
func (q CallQuery) matches(r UsageRecord) bool {
	return (q.UserID == "" || r.UserID == q.UserID) && (q.APIKeyID == "" || r.APIKeyID == q.APIKeyID) && (q.Model == "" || r.Model == q.Model) &&
		(q.Outcome == "" || r.Outcome == q.Outcome) && (q.HTTPRequestID == "" || r.HTTPRequestID == q.HTTPRequestID)
}

// CallCursor is a place in the log of calls.
type CallCursor struct {
	// Time and RequestID are those of the last call that was read.
	Time      time.Time
	RequestID string
	// Segment is the newest segment with calls that are still to be read; empty at the beginning.
	Segment string
}

const (
	// callsScanned is how many calls are checked for one page.
	callsScanned = 10_000
	// fewSegments and manySegments bound how many segments are read at once; callsRead is how many calls they shall have.
	fewSegments, manySegments = 4, 256
	callsRead                 = 1_000
	// clockSkew is how far the clock of who made a call's id may be ahead.
	clockSkew = time.Minute
	// longestCall is longer than any call takes until it is settled or swept. Most calls end after minutes. A response in the background may run for
	// TRIVET_BACKGROUND_MAX_AGE, which is at most 48 hours, and ai gives it up at most 24 hours later.
	longestCall = 4 * 24 * time.Hour
	// segmentsSearched and bytesSearched bound the search for one call, and searchedAtOnce how many segments of it are read at once. A busy account has
	// a segment every ten seconds.
	segmentsSearched, bytesSearched, searchedAtOnce = 40_000, 256 << 20, 32
)

// Looked is where a search for a call has looked.
type Looked struct {
	// Last is the id of the last segment.
	Last string
	// Segments and Bytes are how many it read.
	Segments, Bytes int
}

// Calls reads at most limit calls after a place, newest first, and returns where the next page begins; more is false at the end. It checks a
// bounded number of calls, so it may find none although there are more. Error: ErrUnavailable.
func (l *Ledger) Calls(ctx context.Context, q CallQuery, after CallCursor, limit int) (found []UsageRecord, next CallCursor, more bool, err error) {
	if after.Segment == "" {
		// What is not folded yet is folded first, so that no call is missing.
		if err := l.foldAccount(ctx, q.AccountID); err != nil {
			return nil, next, false, err
		}
	}
	if q.To.IsZero() {
		q.To = Never
	}
	if end := after.Time.Add(time.Microsecond); !after.Time.IsZero() && end.Before(q.To) {
		q.To = end
	}
	s := &callScan{store: l.store, CallQuery: q, after: after, at: cmp.Or(after.Segment, prefixUsage+topID), chunk: fewSegments}
	for scanned := 0; scanned < callsScanned && len(found) < limit; scanned++ {
		c, ok, err := s.next(ctx)
		if err != nil {
			return nil, next, false, err
		}
		if !ok {
			return found, CallCursor{}, false, nil
		}
		after.Time, after.RequestID = c.SettleTime, c.RequestID
		if q.matches(c.UsageRecord) {
			found = append(found, c.UsageRecord)
		}
	}
	// One more tells whether there is a next page.
	c, ok, err := s.next(ctx)
	if err != nil || !ok {
		return found, CallCursor{}, false, err
	}
	after.Segment = s.newest(c)
	return found, after, true, nil
}

// callScan goes through the calls of an account, newest first. A segment has the calls of some seconds, and a late one older calls too, so
// calls of several segments wait in a heap until no segment that is left can have a newer one.
type callScan struct {
	CallQuery
	store Store
	after CallCursor
	// at is the id from which segments are read next, chunk of them, and read those that were; done is true when there are no more.
	at    string
	chunk int
	read  []Segment
	done  bool
	wait  callHeap
}

type scannedCall struct {
	UsageRecord
	segment string
}

func (s *callScan) next(ctx context.Context) (scannedCall, bool, error) {
	for {
		if len(s.read) == 0 && !s.done {
			if err := s.readMore(ctx); err != nil {
				return scannedCall{}, false, err
			}
		}
		if len(s.wait) > 0 && (len(s.read) == 0 || s.wait[0].SettleTime.After(latest(s.read[0].ID))) {
			c, _ := heap.Pop(&s.wait).(scannedCall)
			return c, true, nil
		}
		if len(s.read) == 0 {
			return scannedCall{}, false, nil
		}
		s.push(s.read[0])
		s.read = s.read[1:]
	}
}

// readMore reads segments down to those that can only have calls before From.
func (s *callScan) readMore(ctx context.Context) error {
	lowest := prefixUsage
	if !s.From.IsZero() {
		lowest = prefixUsage + bound(s.From)
	}
	read, err := s.store.Calls(ctx, s.AccountID, s.at, lowest, s.To, s.chunk+1, callsRead)
	if err != nil {
		return err
	}
	last := max(len(read)-1, 0) // is read again, as the first of the next ones
	if last < s.chunk && countCalls(read[:last]) < callsRead {
		s.read, s.done = read, true
		return nil
	}
	s.read, s.at = read[:last], read[last].ID
	s.adapt()
	return nil
}

func countCalls(segments []Segment) (calls int) {
	for _, segment := range segments {
		calls += len(segment.Records)
	}
	return calls
}

// adapt has more segments read at once when they have few calls each, such as those of refused calls.
func (s *callScan) adapt() {
	if countCalls(s.read) < callsRead {
		s.chunk = min(2*s.chunk, manySegments)
	} else {
		s.chunk = max(s.chunk/2, fewSegments)
	}
}

// push adds the calls of a segment that are in the range and still to be read.
func (s *callScan) push(segment Segment) {
	for _, r := range segment.Records {
		if r.SettleTime.Before(s.From) || !r.SettleTime.Before(s.To) {
			continue
		}
		if !s.after.Time.IsZero() && !newer(s.after.Time, s.after.RequestID, r) {
			continue
		}
		heap.Push(&s.wait, scannedCall{r, segment.ID})
	}
}

// newest is the newest segment that has a call that is still to be read. c, which was taken out, is one of them.
func (s *callScan) newest(c scannedCall) string {
	id := c.segment
	for _, w := range s.wait {
		id = max(id, w.segment)
	}
	if len(s.read) > 0 {
		id = max(id, s.read[0].ID)
	}
	if !s.done {
		id = max(id, s.at)
	}
	return id
}

// newer tells whether a call at a time, with an id, comes before another in the log.
func newer(at time.Time, id string, than UsageRecord) bool {
	return cmp.Or(at.Compare(than.SettleTime), strings.Compare(id, than.RequestID)) > 0
}

// callHeap has the newest call first.
type callHeap []scannedCall

func (h callHeap) Len() int { return len(h) }
func (h callHeap) Less(i, j int) bool {
	return newer(h[i].SettleTime, h[i].RequestID, h[j].UsageRecord)
}
func (h callHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *callHeap) Push(x any) { *h = append(*h, x.(scannedCall)) } //nolint:forcetypeassert // this file's own

// Pop implements heap.Interface.
func (h *callHeap) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	*h = (*h)[:last]
	return c
}

// Call reads the record of one call of an account. Errors: ErrNotFound, ErrUnavailable.
func (l *Ledger) Call(ctx context.Context, accountID, requestID string) (UsageRecord, error) {
	id, former := l.holdIDs(accountID, requestID)
	record, err := l.store.Record(ctx, id)
	if errors.Is(err, ErrNotFound) && former != "" {
		record, err = l.store.Record(ctx, former)
	}
	if err == nil && record.Outcome == OutcomeReplaced {
		return UsageRecord{}, ErrNotFound
	}
	if !errors.Is(err, ErrNotFound) {
		return record, err
	}
	at, ok := callid.Parse(requestID, accountID)
	if !ok {
		return UsageRecord{}, ErrNotFound
	}
	return l.search(ctx, accountID, requestID, at)
}

// search looks for a call that began at a time in a bounded number of segments. A swept call that settles late is written to a later segment, with the time
// of its sweep. A caller can make up an id with any time, so the search reads no segments that cannot have the call.
func (l *Ledger) search(ctx context.Context, accountID, requestID string, at time.Time) (UsageRecord, error) {
	ended := at.Add(longestCall)
	from, to := prefixUsage+bound(at.Add(-clockSkew)), prefixUsage+bound(ended.Add(sweptKept))
	for segments, read := 0, 0; segments < segmentsSearched && read < bytesSearched; {
		found, looked, err := l.store.FindCall(ctx, accountID, requestID, from, to, ended, searchedAtOnce)
		switch {
		case err != nil:
			return UsageRecord{}, err
		case found != nil:
			return *found, nil
		case looked.Segments < searchedAtOnce:
			return UsageRecord{}, ErrNotFound
		}
		segments, read = segments+looked.Segments, read+looked.Bytes
		from = looked.Last + "0" // the next id
	}
	return UsageRecord{}, ErrNotFound
}

// RecordRefused writes calls that were refused, once for each batch of an account. Error: ErrUnavailable.
func (l *Ledger) RecordRefused(ctx context.Context, accountID, batchID string, records []UsageRecord) error {
	if len(records) == 0 {
		return nil
	}
	last := records[0].SettleTime
	for i := range records {
		records[i].AccountID, records[i].Outcome = accountID, OutcomeRefused
		last = later(last, records[i].SettleTime)
	}
	return l.store.InsertRefused(ctx, accountID, refusedID(accountID, batchID, last), records)
}

// refusedID is the id of a segment of refused calls: the same for the same batch.
func refusedID(accountID, batchID string, last time.Time) string {
	sum := sha256.Sum256([]byte(accountID + "\x00" + batchID))
	return sortable(prefixUsage, last, 0, binary.BigEndian.Uint64(sum[:]))
}

// topID is above the ids that encode makes.
const topID = "w"

// bound is below the ids of a time and later.
func bound(at time.Time) string { return sortable("", later(time.UnixMilli(0), at), 0, 0)[:9] }

// latest is when the last call of a segment can have ended; Never when its id does not tell.
func latest(segmentID string) time.Time {
	const chars, bits = 13, 8 // of which the first 8 bytes are made
	text := strings.TrimPrefix(segmentID, prefixUsage)
	if len(text) < chars {
		return Never
	}
	raw, err := encoding.DecodeString(text[:chars])
	if err != nil || len(raw) < bits {
		return Never
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(raw)>>16) + 1)
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
