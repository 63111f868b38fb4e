package ledger

import (
	"context"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/trivet-dev/trivet/services/billing/internal/notices"
)

const (
	// allUsed is the threshold in percent at which nothing is left.
	allUsed = 100
	// nearlyUsed is the part in percent from which on a refused call means that nothing of use is left.
	nearlyUsed = 99
	// toldMeasures bounds the measures whose notices this process remembers, of some 250 bytes each.
	toldMeasures = 16_384
	// limitNoticesKept is how long notices of a limit are kept after the end of their window, because they keep its thresholds from being told again: a call
	// may be settled, and then corrected, a month after it was made.
	limitNoticesKept = 62 * 24 * time.Hour
	// longWindow is what no month and no year exceeds, but a trial may, for two years: its thresholds outlast the retention of notices, and are kept
	// for longNoticesKept after the end, which may still move by as much.
	longWindow, longNoticesKept = 366 * 24 * time.Hour, 400 * 24 * time.Hour
)

// thresholds are the parts of a measure, in percent, that make a notice each.
var thresholds = [...]int64{50, 80, allUsed} //nolint:gochecknoglobals // never changes

// measure is an amount of which parts are used in a window: the credit of a period, a limit, or the overage cap.
type measure struct {
	accountID string
	kind      notices.Kind
	// subject is the member or the API key of a limit.
	subject Subject
	Window
	amount int64
}

// told remembers up to which threshold the notices of a measure are written, so that calls do not look for them in the database. Without an entry, the
// notices decide.
type told struct{ reached *lru.Cache[measure, int64] }

func newTold() told {
	reached, err := lru.New[measure, int64](toldMeasures)
	if err != nil {
		panic(err) // the size is a constant above 0
	}
	return told{reached}
}

// telling collects what a decision has told. It is remembered after the commit.
type telling struct {
	l       *Ledger
	reached map[measure]int64
}

// committed remembers what was told.
func (t *telling) committed() {
	for m, percent := range t.reached {
		t.l.told.reached.Add(m, percent)
	}
}

// percentOf is a part of an amount, rounded up; the amount is not below 0.
func percentOf(amount, percent int64) int64 {
	const whole = 100
	return amount/whole*percent + (amount%whole*percent+whole-1)/whole
}

// thresholdOf is the highest threshold that is reached; 0 for none.
func thresholdOf(used, amount int64) (reached int64) {
	for _, percent := range thresholds {
		if amount > 0 && used >= percentOf(amount, percent) {
			reached = percent
		}
	}
	return reached
}

// charged writes the notices of thresholds that a charge has reached.
func (t *telling) charged(ctx context.Context, tx Tx, account Account, h Hold) error {
	if err := t.ofAccount(ctx, tx, account, false); err != nil {
		return err
	}
	windows, err := tx.LimitedWindows(ctx, h)
	if err != nil {
		return err
	}
	for _, w := range windows {
		if err := t.tell(ctx, tx, limitMeasure(account.ID, w), w.Spent, false); err != nil {
			return err
		}
	}
	return nil
}

// refused writes the notices that nothing is left, when a call was refused although nearly all of the measure is used. The smallest call may cost more
// than what is left, so that 100 % is never reached otherwise.
func (t *telling) refused(ctx context.Context, tx Tx, account Account, by *LimitBudget) error {
	if by == nil {
		return t.ofAccount(ctx, tx, account, true)
	}
	w := LimitedWindow{Subject: by.subject, Window: by.Window, Limit: by.Amount, Spent: by.spent}
	return t.tell(ctx, tx, limitMeasure(account.ID, w), w.Spent, true)
}

func limitMeasure(accountID string, w LimitedWindow) measure {
	return measure{accountID: accountID, kind: notices.LimitThreshold, subject: w.Subject, Window: w.Window, amount: w.Limit}
}

// ofAccount tells of the credit of the period and of the overage. The credit is what the period has used and what is left: a charge does not change it.
func (t *telling) ofAccount(ctx context.Context, tx Tx, account Account, refused bool) error {
	period := Window{Start: account.PeriodStart, End: account.PeriodEnd}
	overage, err := account.periodOverage(ctx, tx)
	if err != nil {
		return err
	}
	used := max(account.Period.Cost-overage, 0)
	credit := measure{accountID: account.ID, kind: notices.CreditThreshold, Window: period, amount: max(account.Balance, -maxSum) + used}
	if account.Balance > 0 {
		credit.amount = plus(account.Balance, used)
	}
	if err := t.tell(ctx, tx, credit, used, refused); err != nil || account.Overage.Cap == 0 || account.Overage.Used == 0 {
		return err
	}
	period.Start = account.Overage.StartTime // periods that share the cap share its notices
	limit := measure{accountID: account.ID, kind: notices.OverageThreshold, Window: period, amount: account.Overage.Cap}
	return t.tell(ctx, tx, limit, account.Overage.Used, refused)
}

// tell writes the notices of the thresholds that are reached and were not told in this window, for this amount or a larger one: a raised limit makes its
// thresholds reachable again, and a lowered one repeats none. Of those that were told for a smaller amount, only the highest is told again. An account is
// locked, so that two decisions do not tell the same.
func (t *telling) tell(ctx context.Context, tx Tx, m measure, used int64, refused bool) error {
	reached := thresholdOf(used, m.amount)
	if refused && m.amount > 0 && used >= percentOf(m.amount, nearlyUsed) {
		reached = allUsed
	}
	m.Start, m.End = m.Start.UTC(), m.End.UTC()
	if reached == 0 || t.known(m) >= reached {
		return nil
	}
	told, err := m.told(ctx, tx)
	if err != nil {
		return err
	}
	for i, percent := range thresholds {
		again := told[i] > 0
		if percent > reached || told[i] >= m.amount || again && percent != reached {
			continue
		}
		if err := t.l.notice(ctx, tx, m.accountID, m.notice(percent, used, again)); err != nil {
			return err
		}
	}
	if t.reached == nil {
		t.reached = map[measure]int64{}
	}
	t.reached[m] = reached
	return nil
}

// told reads the largest amount for which each threshold was told in the window, by one statement, however often the amount was raised. A threshold implies
// those below it.
func (m measure) told(ctx context.Context, tx Tx) (told [len(thresholds)]int64, err error) {
	var names [len(thresholds)]string
	for i, percent := range thresholds {
		names[i] = m.threshold(percent)
	}
	if told, err = tx.Thresholds(ctx, m.accountID, names); err != nil {
		return told, err
	}
	for i := len(told) - 2; i >= 0; i-- {
		told[i] = max(told[i], told[i+1])
	}
	return told, nil
}

func (t *telling) known(m measure) int64 {
	if percent, ok := t.reached[m]; ok {
		return percent
	}
	percent, _ := t.l.told.reached.Get(m)
	return percent
}

// threshold identifies a threshold of a window. It has no id of a person, because it outlives an erasure.
func (m measure) threshold(percent int64) string {
	of := ""
	if m.kind == notices.LimitThreshold {
		of = SpendLimit{AccountID: m.accountID, Subject: m.subject, Period: m.Period}.id() + ":"
	}
	return fmt.Sprintf("%s:%s%d:%d", m.kind, of, m.Start.Unix(), percent)
}

// notice makes the notice of a threshold. The source of one that is told again has the amount, which is larger than those before.
func (m measure) notice(percent, used int64, again bool) notices.Notice {
	name := m.threshold(percent)
	n := notices.Notice{
		Source: name, Threshold: name, Kind: m.kind,
		Data: notices.Data{Time: m.End, WindowStart: m.Start, Percent: percent, Amount: m.amount, Used: used},
	}
	if again {
		n.Source = fmt.Sprintf("%s:of:%d", name, m.amount)
	}
	if m.End.Sub(m.Start) > longWindow {
		n.ExpireTime = m.End.Add(longNoticesKept)
	}
	if m.kind != notices.LimitThreshold {
		return n
	}
	n.Data.Window = windowName(m.Period)
	if m.Period != PeriodBilling { // the end of a billing period may still move
		n.ExpireTime = m.End.Add(limitNoticesKept)
	}
	if m.subject.Kind == SubjectKey {
		n.Data.APIKeyID = m.subject.ID
	} else {
		n.UserID = m.subject.ID
	}
	return n
}

// windowName names the windows of a limit; "" for windows of another length.
func windowName(period time.Duration) string {
	switch period { //nolint:exhaustive // API keys may have others
	case PeriodBilling:
		return "billing_period"
	case PeriodHour:
		return "hour"
	case PeriodDay:
		return "day"
	case PeriodWeek:
		return "week"
	case PeriodMonth:
		return "month"
	}
	return ""
}
