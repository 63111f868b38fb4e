package billing

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/job"
)

const (
	// foldInterval is how often closed holds are folded into daily sums, segments and entries.
	foldInterval = 10 * time.Second
	// pruneInterval is how often what is older than its retention is deleted.
	pruneInterval = 6 * time.Hour
)

// compact folds and prunes until ctx ends. Of several replicas, one does each at a time. Each replica counts the open holds again.
func (s *Service) compact(ctx context.Context) {
	ticker := time.NewTicker(foldInterval)
	defer ticker.Stop()
	for {
		if err := s.rows.Recount(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "the open holds could not be counted; retrying", slog.Any("error", err))
		}
		s.runJob(ctx, "fold", job.Options{Renew: true}, func(ctx context.Context, h *job.Holder) error {
			_, err := s.ledger.Fold(ctx, h.Keep)
			return err
		})
		s.runJob(ctx, "prune", job.Options{Renew: true, Interval: pruneInterval}, func(ctx context.Context, h *job.Holder) error {
			return errors.Join(s.ledger.Prune(ctx, s.config.CallRetention, h.Keep), s.pruneNotices(ctx, h.Keep))
		})
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// noticesPage is how many notices are deleted at a time.
const noticesPage = 1000

// pruneNotices deletes the notices that are older than their retention, and those of limits whose windows ended long ago.
func (s *Service) pruneNotices(ctx context.Context, keep func(context.Context) error) error {
	for now, before := s.now(), s.now().Add(-s.config.NoticeRetention); ; {
		if err := keep(ctx); err != nil {
			return err
		}
		n, err := s.rows.PruneNotices(ctx, before, now, noticesPage)
		if err != nil || n < noticesPage {
			return err
		}
	}
}

// runJob runs a job, unless another replica does. A job with a short lease that Run renews loses it when the process freezes, which needs no word: the
// next run repeats what is harmless. The others lose theirs when a step lasts too long.
func (s *Service) runJob(ctx context.Context, name string, options job.Options, fn func(context.Context, *job.Holder) error) {
	options.Alone, options.Now = s.db.Dialect() == database.SQLite, s.now
	err := job.Run(ctx, s.db, name, options, fn)
	switch {
	case err == nil, errors.Is(err, job.ErrBusy), errors.Is(err, job.ErrNotDue), options.Renew && errors.Is(err, job.ErrLost), ctx.Err() != nil:
	default:
		s.log.ErrorContext(ctx, "a job of the ledger failed; retrying", slog.String("job", name), slog.Any("error", err))
	}
}
