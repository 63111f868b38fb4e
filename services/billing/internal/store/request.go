package store

import (
	"bytes"
	"context"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

// Calls reads segments of an account's calls, newest first; see ledger.Store.
func (s *Store) Calls(ctx context.Context, accountID, from, to string, before time.Time, limit, calls int) ([]ledger.Segment, error) {
	rows, err := s.read.ListSegmentsDown(ctx, db.ListSegmentsDownParams{
		AccountID: accountID, FromID: from, ToID: to, Before: before.UnixMicro(), Most: int64(limit), MostCalls: int64(calls),
	})
	if err != nil {
		return nil, translate(err)
	}
	segments := make([]ledger.Segment, 0, len(rows))
	for _, row := range rows {
		if segments, err = appendSegment(segments, row.AccountID, row.ID, row.Records); err != nil {
			return nil, err
		}
	}
	return segments, nil
}

// FindCall looks for a call in segments; see ledger.Store. A request id stands in the bytes of its segment as it is, so that only segments that
// have it are decoded.
func (s *Store) FindCall(
	ctx context.Context, accountID, requestID, from, to string, before time.Time, limit int,
) (found *ledger.UsageRecord, looked ledger.Looked, err error) {
	rows, err := s.read.ListSegmentsUp(ctx, db.ListSegmentsUpParams{
		AccountID: accountID, FromID: from, ToID: to, Before: before.UnixMicro(), Most: int64(limit),
	})
	if err != nil {
		return nil, looked, translate(err)
	}
	for _, row := range rows {
		looked.Last, looked.Segments, looked.Bytes = row.ID, looked.Segments+1, looked.Bytes+len(row.Records)
		if !bytes.Contains(row.Records, []byte(requestID)) {
			continue
		}
		records, err := decodeSegment(row.AccountID, row.ID, row.Records)
		if err != nil {
			return nil, looked, err
		}
		for i := range records {
			if records[i].RequestID == requestID {
				return &records[i], looked, nil
			}
		}
	}
	return nil, looked, nil
}

func appendSegment(segments []ledger.Segment, accountID, id string, raw []byte) ([]ledger.Segment, error) {
	records, err := decodeSegment(accountID, id, raw)
	return append(segments, ledger.Segment{ID: id, Records: records}), err
}

// Record reads the record of a closed hold; see ledger.Store.
func (s *Store) Record(ctx context.Context, holdID string) (ledger.UsageRecord, error) {
	row, err := s.read.GetHold(ctx, holdID)
	if err != nil {
		return ledger.UsageRecord{}, translate(err)
	}
	if ledger.State(row.State) == ledger.StateOpen {
		return ledger.UsageRecord{}, ledger.ErrNotFound
	}
	if row.UsageID == "" {
		return toRecord(row), nil
	}
	stored, err := s.read.GetUsage(ctx, db.GetUsageParams{AccountID: row.AccountID, ID: row.UsageID})
	return toUsage(stored), translate(err)
}

// InsertRefused writes refused calls; see ledger.Store. It takes its turn with the account's decisions, as a fold does, so that an erasure
// waits for it.
func (s *Store) InsertRefused(ctx context.Context, accountID, segmentID string, records []ledger.UsageRecord) error {
	return s.Write(ctx, accountID, func(ctx context.Context, tx ledger.Tx) error {
		return tx.(*unit).insertRefused(ctx, accountID, segmentID, records) //nolint:forcetypeassert // this store's own
	})
}

func (u *unit) insertRefused(ctx context.Context, accountID, segmentID string, records []ledger.UsageRecord) error {
	if err := u.flush(ctx); err != nil {
		return err
	}
	users := []string{accountID}
	for _, r := range records {
		users = append(users, r.UserID)
	}
	if err := u.loadErased(ctx, users); err != nil {
		return err
	}
	if u.nameable(accountID) == "" {
		return nil // the account's person was erased
	}
	p := newFoldPage(u)
	for _, r := range records {
		r.UserID = u.nameable(r.UserID)
		p.addRecord(r)
		p.name(r)
	}
	if err := p.writeDays(ctx); err != nil {
		return err
	}
	return u.q.InsertRefusals(ctx, db.InsertRefusalsParams{
		AccountID: accountID, ID: segmentID, FirstTime: p.first, LastTime: p.last, Calls: int64(len(p.records)), Records: encodeSegment(p.records),
	})
}
