package ledger

import "time"

// period returns the month around now, counted from the day the account was opened: a period begins on that day of the month,
// or on the month's last day when it has no such day. Both ends are midnights in UTC.
func period(opened, now time.Time) (start, end time.Time) {
	anchor := midnight(opened)
	now = now.UTC()
	months := max(0, (now.Year()-anchor.Year())*12+int(now.Month())-int(anchor.Month()))
	if start = addMonths(anchor, months); start.After(now) && months > 0 {
		months--
	}
	return addMonths(anchor, months), addMonths(anchor, months+1)
}

// addMonths never spills into the month after, as time.AddDate does.
func addMonths(anchor time.Time, months int) time.Time {
	first := time.Date(anchor.Year(), anchor.Month()+time.Month(months), 1, 0, 0, 0, 0, time.UTC)
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(anchor.Day(), last)-1)
}

func midnight(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
}
