package ledger

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// Grouping is a set of what the usage of a day is divided by.
type Grouping uint8

// What usage can be divided by.
const (
	ByModel Grouping = 1 << iota
	ByUser
	ByAPIKey
	// ByDay divides it by nothing else.
	ByDay
)

// Has tells whether the set contains one.
func (g Grouping) Has(one Grouping) bool { return cmp.Or(g, ByModel)&one != 0 }

const (
	// usageRows bounds the rows of a report that are read at once.
	usageRows = 5_000
	// usageDayRows bounds those of one day, which cannot be read in parts.
	usageDayRows = 100_000
)

// ReportTooLargeError says that one day of a report has too many rows.
type ReportTooLargeError struct{ Day string }

// Error implements error.
func (e *ReportTooLargeError) Error() string {
	return fmt.Sprintf("the usage of %s has more than %d groups", e.Day, usageDayRows)
}

// Compare orders rows by day, model, user and API key.
func (r UsageRow) Compare(o UsageRow) int {
	return cmp.Or(cmp.Compare(r.Day, o.Day), cmp.Compare(r.Model, o.Model), cmp.Compare(r.UserID, o.UserID), cmp.Compare(r.APIKeyID, o.APIKeyID))
}

// UsageRows gives the rows of a report to yield in their order, until that returns false. It reads some days at a time, so that a large report
// needs little memory. Errors: *ReportTooLargeError, ErrUnavailable, and those of yield.
func (l *Ledger) UsageRows(ctx context.Context, q UsageQuery, yield func(UsageRow) (more bool, err error)) error {
	q.From = q.From.UTC().Truncate(oneDay)
	if end := q.To.UTC().Truncate(oneDay); end.Before(q.To) {
		q.To = end.Add(oneDay)
	}
	_, err := l.usageRows(ctx, q, yield)
	return err
}

const oneDay = 24 * time.Hour

// usageRows divides the days until they have few enough rows.
func (l *Ledger) usageRows(ctx context.Context, q UsageQuery, yield func(UsageRow) (bool, error)) (more bool, err error) {
	days := int(q.To.Sub(q.From) / oneDay)
	most := usageRows
	if days <= 1 {
		most = usageDayRows
	}
	q.Limit = most + 1
	rows, err := l.store.Usage(ctx, q)
	if err != nil {
		return false, err
	}
	if len(rows) > most {
		if days <= 1 {
			return false, &ReportTooLargeError{Day: q.From.Format(time.DateOnly)}
		}
		return l.inHalves(ctx, q, days, yield)
	}
	for _, row := range rows {
		if more, err := yield(row); err != nil || !more {
			return false, err
		}
	}
	return true, nil
}

func (l *Ledger) inHalves(ctx context.Context, q UsageQuery, days int, yield func(UsageRow) (bool, error)) (bool, error) {
	first, second := q, q
	first.To = q.From.AddDate(0, 0, days/2)
	second.From = first.To
	if more, err := l.usageRows(ctx, first, yield); err != nil || !more {
		return false, err
	}
	return l.usageRows(ctx, second, yield)
}

// UsageSum is the sum of a report. Error: ErrUnavailable.
func (l *Ledger) UsageSum(ctx context.Context, q UsageQuery) (UsageTotal, error) {
	q.By = ByDay
	_, total, err := l.Usage(ctx, q)
	return total, err
}
