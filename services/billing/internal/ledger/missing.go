package ledger

import (
	"context"
	"errors"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"
)

const (
	// missingPlans bounds the plans of which is remembered that they are missing.
	missingPlans = 1024
	// missingLife is for how long a plan counts as missing before the applied plans are read again.
	missingLife = time.Second
	// readTimeout bounds reading the applied plans, which nobody may wait for any more.
	readTimeout = 5 * time.Second
)

// missing keeps the calls of accounts whose plan is missing from reading the applied plans each.
type missing struct {
	flight singleflight.Group
	// since has when the applied plans were read without finding a plan, by its reference.
	since *lru.Cache[string, time.Time]
}

func newMissing() missing {
	since, err := lru.New[string, time.Time](missingPlans)
	if err != nil {
		panic(err) // the size is a constant above 0
	}
	return missing{since: since}
}

// readMissing reads the applied plans again if err says that a plan is missing: another replica may have applied it a moment ago. It returns nil when the plan
// is known now, err when it is still missing, and another error when the plans could not be read. Calls that miss the same plan share a read, and one that
// was missing a moment ago is not looked for. Each plan has its own reads: one that began for another plan may have begun before this one was applied.
func (l *Ledger) readMissing(ctx context.Context, err error) error {
	absent, ok := errors.AsType[*PlanMissingError](err)
	if !ok || l.reload == nil {
		return err
	}
	read := l.missing.flight.DoChan(absent.PlanID, func() (any, error) { return nil, l.readFor(context.WithoutCancel(ctx), absent.PlanID) })
	select {
	case <-ctx.Done():
		return ctx.Err()
	case done := <-read:
		if done.Err != nil {
			return done.Err
		}
	}
	if _, known := l.plans.Get(absent.PlanID); !known {
		return err
	}
	return nil
}

func (l *Ledger) readFor(ctx context.Context, planID string) error {
	now := l.now()
	if at, ok := l.missing.since.Get(planID); ok && now.Sub(at).Abs() < missingLife {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if err := l.reload(ctx); err != nil {
		return err
	}
	if _, known := l.plans.Get(planID); !known {
		l.missing.since.Add(planID, now)
	}
	return nil
}
