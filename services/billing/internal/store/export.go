package store

import (
	"context"
	"strconv"
	"strings"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

// segmentPage is how many segments are read at once.
const segmentPage = 100

// UsageOfUser returns the records of calls that name a person, after the given one: first those of older versions in the order of account
// and id, then those in segments, whose ids are the segment's with a number.
func (s *Store) UsageOfUser(ctx context.Context, userID, afterAccountID, afterID string, limit int) ([]ledger.UsageRecord, error) {
	segment, number, inSegments := strings.Cut(afterID, ".")
	var records []ledger.UsageRecord
	if !inSegments {
		rows, err := s.read.ListUsageOfUser(ctx, db.ListUsageOfUserParams{
			UserID: userID, AfterAccountID: afterAccountID, AfterID: afterID, PageSize: int32(limit),
		})
		if err != nil {
			return nil, translate(err)
		}
		for _, row := range rows {
			records = append(records, toUsage(row))
		}
		if len(records) >= limit {
			return records, nil
		}
		afterAccountID, segment = "", ""
	}
	w := &segmentWalk{s: s, user: userID, limit: limit, records: records}
	if inSegments {
		n, err := strconv.Atoi(number)
		if err != nil {
			return nil, err
		}
		if err := w.rest(ctx, afterAccountID, segment, n); err != nil {
			return nil, err
		}
	}
	return w.records, w.walk(ctx, afterAccountID, segment)
}

// segmentWalk collects a person's records from segments.
type segmentWalk struct {
	s       *Store
	user    string
	limit   int
	records []ledger.UsageRecord
}

// rest takes what a segment has behind a number.
func (w *segmentWalk) rest(ctx context.Context, accountID, id string, number int) error {
	segment, err := w.s.read.GetSegment(ctx, db.GetSegmentParams{AccountID: accountID, ID: id})
	if found, err := one(err); err != nil || !found {
		return translate(err)
	}
	return w.take(segment, number+1)
}

func (w *segmentWalk) take(segment db.UsageSegment, from int) error {
	records, err := decodeSegment(segment.AccountID, segment.ID, segment.Records)
	if err != nil {
		return err
	}
	for _, r := range records[min(from, len(records)):] {
		if r.UserID == w.user && len(w.records) < w.limit {
			w.records = append(w.records, r)
		}
	}
	return nil
}

func (w *segmentWalk) walk(ctx context.Context, accountID, id string) error {
	for len(w.records) < w.limit {
		page, err := w.s.read.ListSegments(ctx, db.ListSegmentsParams{AfterAccountID: accountID, AfterID: id, PageSize: segmentPage})
		if err != nil {
			return translate(err)
		}
		for _, segment := range page {
			if err := w.take(segment, 0); err != nil {
				return err
			}
			accountID, id = segment.AccountID, segment.ID
		}
		if len(page) < segmentPage {
			return nil
		}
	}
	return nil
}
