package ledger

import "time"

// Periods of spend limits. Windows begin in UTC.
const (
	// PeriodBilling is the account's billing period.
	PeriodBilling time.Duration = 0
	// PeriodHour and PeriodDay begin at full hours and at midnight.
	PeriodHour = time.Hour
	PeriodDay  = 24 * time.Hour
	// PeriodWeek begins on Monday, and PeriodMonth on the first of a calendar month. Their numbers stand for them in the database.
	PeriodWeek  = -1 * time.Microsecond
	PeriodMonth = -2 * time.Microsecond
)

// Window is one window of a limit.
type Window struct {
	// Period is the limit's; 0 means that the window is the account's billing period.
	Period time.Duration
	// Start and End bound the window: from the start, up to and without the end.
	Start, End time.Time
}

// LimitedWindow is a window with the limit that applies to it.
type LimitedWindow struct {
	Subject Subject
	Window
	// Limit and Spent are in nano-dollars.
	Limit, Spent int64
}

// windowAt returns the window around now, which is within the account's billing period.
func windowAt(period time.Duration, account Account, now time.Time) Window {
	const week = 7
	switch period { //nolint:exhaustive // the others are lengths
	case PeriodBilling:
		return Window{Start: account.PeriodStart, End: account.PeriodEnd}
	case PeriodWeek:
		start := midnight(now)
		start = start.AddDate(0, 0, -(int(start.Weekday())+week-int(time.Monday))%week)
		return Window{Period: period, Start: start, End: start.AddDate(0, 0, week)}
	case PeriodMonth:
		start := midnight(now)
		start = start.AddDate(0, 0, 1-start.Day())
		return Window{Period: period, Start: start, End: start.AddDate(0, 1, 0)}
	}
	micros, length := now.UnixMicro(), period.Microseconds()
	start := time.UnixMicro(micros - micros%length).UTC()
	return Window{Period: period, Start: start, End: start.Add(period)}
}
