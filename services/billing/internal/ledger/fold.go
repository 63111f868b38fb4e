package ledger

import (
	"context"
	"slices"
	"time"
)

const (
	// foldLimit bounds the calls that are folded in one transaction.
	foldLimit = 1000
	// foldPage bounds the accounts that are listed at once, and foldTogether those that are folded together.
	foldPage     = 200
	foldTogether = 50
	// holdKept is how long a settled hold answers repetitions.
	holdKept = 48 * time.Hour
	// sweptKept is how long a swept hold waits for its late settlement.
	sweptKept = 30 * 24 * time.Hour
	// keyDaysKept is how long the sums of API keys' days are kept: the longest window of a limit, and some days.
	keyDaysKept = 400 * 24 * time.Hour
	// prunePage bounds the rows that one step of Prune reads or deletes.
	prunePage = 1000
)

// Folding names what a fold writes.
type Folding struct {
	// SegmentID makes the id of a segment whose last call ended at that time. An id is never earlier than its calls: by this the log of
	// calls knows what a segment cannot have.
	SegmentID func(at time.Time) string
	// EntryID makes the id of an entry of that time, so that it stands among the others at the time of its last call.
	EntryID func(at time.Time) string
}

// Retention is how long closed holds and the records of single calls are kept, as times before which they are deleted.
type Retention struct{ Holds, Swept, Records, KeyDays time.Time }

// Fold moves all closed calls into daily sums, segments and entries, and returns how many it moved. Any number of replicas may fold at
// once: accounts are locked. Each step is one transaction, so that a fold may end anywhere. It calls keep before each step, and ends with its
// error. Error: ErrUnavailable.
func (l *Ledger) Fold(ctx context.Context, keep func(context.Context) error) (moved int, err error) {
	for after := ""; ; {
		ids, err := l.store.AccountsToFold(ctx, after, foldPage)
		if err != nil || len(ids) == 0 {
			return moved, err
		}
		for some := range slices.Chunk(ids, foldTogether) {
			if err := keep(ctx); err != nil {
				return moved, err
			}
			n, err := l.foldSome(ctx, some)
			if moved += n; err != nil {
				return moved, err
			}
		}
		after = ids[len(ids)-1]
	}
}

func (l *Ledger) foldAccount(ctx context.Context, accountID string) error {
	_, err := l.foldSome(ctx, []string{accountID})
	return err
}

// foldSome folds until fewer calls wait than one transaction takes: on a busy account there is always more.
func (l *Ledger) foldSome(ctx context.Context, accountIDs []string) (moved int, err error) {
	for {
		n, err := l.store.Fold(ctx, accountIDs, foldLimit, Folding{
			SegmentID: func(at time.Time) string { return l.ids.make(prefixUsage, later(l.now(), at)) },
			EntryID:   func(at time.Time) string { return l.ids.make(prefixEntry, at) },
		})
		if moved += n; err != nil || n < foldLimit {
			return moved, err
		}
	}
}

// Prune deletes what is older than its retention: folded holds, and after records the records of single calls; 0 keeps these. The sums
// stay. It walks all holds once. It calls keep before each step, and ends with its error. Error: ErrUnavailable.
func (l *Ledger) Prune(ctx context.Context, records time.Duration, keep func(context.Context) error) error {
	now := l.now()
	r := Retention{Holds: now.Add(-holdKept), Swept: now.Add(-sweptKept), KeyDays: now.Add(-keyDaysKept)}
	if records > 0 {
		r.Records = now.Add(-records)
	}
	for after := ""; ; {
		if err := keep(ctx); err != nil {
			return err
		}
		next, err := l.store.PruneHolds(ctx, after, r, prunePage)
		if err != nil {
			return err
		}
		if after = next; next == "" {
			break
		}
	}
	for more := true; more; {
		if err := keep(ctx); err != nil {
			return err
		}
		n, err := l.store.PruneRecords(ctx, r, prunePage)
		if err != nil {
			return err
		}
		more = n >= prunePage
	}
	return nil
}
