package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/notices"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

// knownNotices bounds the sources that a decision reads; the newest count.
const knownNotices = 500

// Deliver has a function queue what is done with each new notice, in the transaction that writes it. Call it before the first write.
func (s *Store) Deliver(queue func(ctx context.Context, t database.Tx, n notices.Notice) error) {
	s.deliver = queue
}

func (u *unit) InsertNotice(ctx context.Context, n notices.Notice) (bool, error) {
	if err := u.loadErased(ctx, []string{n.AccountID, n.UserID}); err != nil || u.erased[n.AccountID] {
		return false, err
	}
	data, err := json.Marshal(n.Data)
	if err != nil {
		return false, fmt.Errorf("notice: %w", err)
	}
	p := db.InsertNoticeParams{
		ID: n.ID, AccountID: n.AccountID, Source: n.Source, Kind: string(n.Kind), UserID: u.nameable(n.UserID), Data: data, CreateTime: n.CreateTime.UnixMicro(),
	}
	if n.Threshold != "" {
		p.Threshold, p.Amount = n.Threshold, n.Data.Amount
	}
	if !n.ExpireTime.IsZero() {
		p.ExpireTime = n.ExpireTime.UnixMicro()
	}
	inserted, err := u.q.InsertNotice(ctx, p)
	if err != nil || inserted == 0 || u.deliver == nil {
		return inserted > 0, err
	}
	return true, u.deliver(ctx, u.t, n)
}

func (u *unit) Thresholds(ctx context.Context, accountID string, names [3]string) ([3]int64, error) {
	row, err := u.q.GetThresholds(ctx, db.GetThresholdsParams{AccountID: accountID, First: names[0], Second: names[1], Third: names[2]})
	return [3]int64{row.First, row.Second, row.Third}, err
}

func (u *unit) NoticeSources(ctx context.Context, accountID string) (map[string]bool, error) {
	rows, err := u.q.ListNoticeSources(ctx, db.ListNoticeSourcesParams{AccountID: accountID, Most: knownNotices})
	told := make(map[string]bool, len(rows))
	for _, source := range rows {
		told[source] = true
	}
	return told, err
}

// Notices lists at most limit notices of an account with ids below one, newest first; "" begins with the newest. An empty kind means all.
func (s *Store) Notices(ctx context.Context, accountID string, kind notices.Kind, before string, limit int) (all []notices.Notice, err error) {
	if before == "" {
		before = lastID
	}
	var rows []db.Notice
	if kind == "" {
		rows, err = s.read.ListNotices(ctx, db.ListNoticesParams{AccountID: accountID, Before: before, Most: int64(limit)})
	} else {
		rows, err = s.read.ListNoticesOfKind(ctx, db.ListNoticesOfKindParams{AccountID: accountID, Kind: string(kind), Before: before, Most: int64(limit)})
	}
	if err != nil {
		return nil, translate(err)
	}
	for _, row := range rows {
		n, err := toNotice(row)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}

// Notice reads a notice, or ledger.ErrNotFound.
func (s *Store) Notice(ctx context.Context, id string) (notices.Notice, error) {
	row, err := s.read.GetNotice(ctx, id)
	if err != nil {
		return notices.Notice{}, translate(err)
	}
	return toNotice(row)
}

func toNotice(r db.Notice) (notices.Notice, error) {
	n := notices.Notice{
		ID: r.ID, AccountID: r.AccountID, Source: r.Source, Threshold: r.Threshold, Kind: notices.Kind(r.Kind), UserID: r.UserID, CreateTime: toTime(r.CreateTime),
	}
	if err := json.Unmarshal(r.Data, &n.Data); err != nil {
		return n, fmt.Errorf("notice %s: %w", r.ID, err)
	}
	return n, nil
}

// PruneNotices deletes at most limit notices that were written before a time and need not be kept longer, and as many of limits that expired before now. It
// returns the larger number.
func (s *Store) PruneNotices(ctx context.Context, before, now time.Time, limit int) (deleted int64, err error) {
	err = s.write(ctx, "notices", func(ctx context.Context, q *db.Queries) error {
		expired, err := q.PruneExpiredNotices(ctx, db.PruneExpiredNoticesParams{Before: now.UnixMicro(), Most: int64(limit)})
		if err != nil {
			return err
		}
		deleted, err = q.PruneNotices(ctx, db.PruneNoticesParams{Before: before.UnixMicro(), Now: now.UnixMicro(), Most: int64(limit)})
		deleted = max(deleted, expired)
		return err
	})
	return deleted, translate(err)
}

// eraseNotices deletes the notices of a person's account, and takes the person out of those of others.
func (s *Store) eraseNotices(ctx context.Context, userID string) error {
	return s.write(ctx, userID, func(ctx context.Context, q *db.Queries) error {
		if err := q.EraseNotices(ctx, userID); err != nil {
			return err
		}
		return q.EraseNoticesUser(ctx, userID)
	})
}
