package store

import (
	"context"
	"errors"
	"slices"

	"github.com/trivet-dev/trivet/platform/database"
)

var (
	// errAssumed says that a stored row is not as the batch assumed.
	errAssumed = errors.New("a stored row is not as the batch assumed")
	// errDecision says that a decision of the batch failed.
	errDecision = errors.New("a decision of the batch failed")
)

// maxFailures is how many failed decisions are taken out of a batch one by one. After that, each decision runs by itself.
const maxFailures = 3

// commit runs the decisions in one transaction and reports their outcomes. A decision that fails is taken out, and the others run again.
// Where a transaction fails as a whole, each decision runs by itself, so that one cannot fail the others, unless the database
// is unavailable or the outcome of the commit is unknown.
func (s *Store) commit(key string, batch []*decision) {
	assume := true
	for failures := 0; len(batch) > 0; {
		failed, err := s.try(key, batch, assume)
		switch {
		case err == nil:
			endAll(batch, nil)
			return
		case assume && (failed != nil || errors.Is(err, errAssumed)):
			assume = false // a decision may have failed only because of what it assumed
		case failed != nil:
			failed.end(err)
			batch = slices.DeleteFunc(batch, func(d *decision) bool { return d == failed })
			if failures++; failures >= maxFailures {
				s.commitEach(key, batch, assume)
				return
			}
		case len(batch) == 1 || conclusive(err):
			endAll(batch, err)
			return
		default:
			s.commitEach(key, batch, assume)
			return
		}
	}
}

func (s *Store) commitEach(key string, batch []*decision, assume bool) {
	for i, d := range batch {
		_, err := s.try(key, batch[i:i+1], assume)
		if assume && (errors.Is(err, errAssumed) || err != nil && !conclusive(err)) {
			_, err = s.try(key, batch[i:i+1], false)
		}
		d.end(err)
	}
}

// conclusive tells errors after which the decisions must not run again: the database cannot serve, or the outcome of a commit is unknown.
func conclusive(err error) bool {
	return errors.Is(err, database.ErrCommitUnknown) || errors.Is(err, database.ErrClosed) || database.IsUnavailable(err)
}

func endAll(batch []*decision, err error) {
	for _, d := range batch {
		d.end(err)
	}
}

// try runs the decisions in one transaction. The error is that of the failed decision, or that of the transaction.
func (s *Store) try(key string, batch []*decision, assume bool) (failed *decision, err error) {
	var cause error
	var done *unit
	used := s.scratches.Get().(*scratch) //nolint:forcetypeassert // the pool makes them
	defer func() {
		if used.forget(); cap(used.made) <= maxScratch {
			s.scratches.Put(used)
		}
	}()
	err = s.db.Write(context.WithoutCancel(batch[0].ctx), key, func(ctx context.Context, t database.Tx) error {
		failed, cause, done = nil, nil, nil
		used.forget()
		u := s.newUnit(t, assume)
		u.scratch = used
		if err := u.load(ctx, batch); err != nil {
			return err
		}
		for _, d := range batch {
			if cause = d.fn(d.ctx, u); cause != nil {
				failed = d
				return errors.Join(errDecision, cause)
			}
		}
		done = u
		return u.flush(ctx)
	})
	if err == nil {
		s.committed(done)
	}
	if failed != nil && errors.Is(err, errDecision) {
		// A statement that fails ends the whole transaction, and the decision's error is the statement's.
		return failed, cause
	}
	return nil, err
}

// committed takes over what a batch left. No other batch runs meanwhile on SQLite, where there is a cache.
func (s *Store) committed(u *unit) {
	s.cache.put(u.accounts, u.mark)
	if s.open.Add(u.opened) < 0 {
		s.open.Store(0) // it closed holds that others opened
	}
}
