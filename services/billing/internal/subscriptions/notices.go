package subscriptions

import (
	"fmt"
	"slices"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/notices"
)

const (
	// trialWarningTime is how long before its end a trial is announced to end.
	trialWarningTime = 3 * day
	// NoticeAge is for how long an event is told. What a new installation reads of earlier times is history.
	NoticeAge = 7 * day
)

// trialWarning is when the end of a trial is announced; zero for no trial.
func trialWarning(end time.Time) time.Time {
	if end.IsZero() {
		return end
	}
	return end.Add(-trialWarningTime)
}

// telling collects notices.
type telling struct {
	in         Input
	st, before State
	told       map[string]bool
	due        []notices.Notice
}

// Notices lists the notices that are due: those of the present state that were not written yet, and those of changes since before, the state
// of the last call. told has the sources of the account's notices.
func Notices(in Input, st, before State, told map[string]bool) []notices.Notice {
	t := &telling{in: in, st: st, before: before, told: told}
	t.ofObjects()
	switch st.Access {
	case None:
	case Ended:
		if before.isLive() || before.Access == Suspended {
			t.add(notices.Ended, t.about("ended", ""), st.CancelTime, t.data(notices.Data{Time: st.CancelTime}))
		}
		t.ofOverage()
	default:
		t.ofTrial()
		t.ofChanges()
		t.ofPayments()
	}
	return t.due
}

// isLive tells whether the state gives its plan.
func (st State) isLive() bool { return st.Access == Active || st.Access == Trial || st.Access == Grace }

// about is the source of a notice about the subscription.
func (t *telling) about(what, detail string) string {
	return SourceOf(t.st.SubscriptionID) + what + detail
}

// data adds the plan.
func (t *telling) data(d notices.Data) notices.Data {
	d.SubscriptionID, d.PlanID, d.PlanVersion, d.Interval, d.Seats = t.st.SubscriptionID, t.st.Plan.ID, t.st.Plan.Version, string(t.st.Interval), t.st.Seats
	return d
}

// add adds a notice that was not told, unless it is history.
func (t *telling) add(kind notices.Kind, source string, happened time.Time, d notices.Data) {
	if t.told[source] || t.in.Now.Sub(happened) > NoticeAge {
		return
	}
	t.due = append(t.due, notices.Notice{Source: source, Kind: kind, Data: d})
}

// ofObjects tells what does not depend on the plan.
func (t *telling) ofObjects() {
	for _, s := range t.in.Subscriptions {
		if s.Status == neverBegun {
			at := s.EndedAt.time()
			if at.IsZero() {
				at = s.Created.time()
			}
			t.add(notices.CheckoutFailed, SourceOf(s.ID)+"checkout_failed", at, notices.Data{Time: at, SubscriptionID: s.ID})
		}
	}
	for _, id := range t.st.Unmapped {
		t.add(notices.Unmapped, SourceOf(id)+"unmapped", t.in.Now, notices.Data{SubscriptionID: id})
	}
	for _, id := range t.st.Duplicates {
		t.add(notices.DuplicateSubscription, SourceOf(id)+"duplicate", t.in.Now, notices.Data{SubscriptionID: id})
	}
}

func (t *telling) ofTrial() {
	if t.st.Access != Trial {
		return
	}
	t.add(notices.TrialStarted, t.about("trial_started", ""), t.st.PeriodStart, t.data(notices.Data{Time: t.st.TrialEnd}))
	if !t.in.Now.Before(trialWarning(t.st.TrialEnd)) {
		end := fmt.Sprintf(":%d", t.st.TrialEnd.Unix())
		t.add(notices.TrialWillEnd, t.about("trial_will_end", end), t.in.Now, t.data(notices.Data{Time: t.st.TrialEnd}))
	}
}

func (t *telling) ofChanges() {
	st, before := t.st, t.before
	same := before.SubscriptionID == st.SubscriptionID && before.isLive()
	if same && st.Access == Suspended {
		source := t.about("downgraded", fmt.Sprintf(":%d", st.PeriodStart.Unix()))
		t.add(notices.Downgraded, source, t.in.Now, t.data(notices.Data{Time: t.in.Now}))
	}
	if same && st.isLive() && (before.Plan.Ref() != st.Plan.Ref() || before.Interval != st.Interval || before.Seats != st.Seats) {
		detail := fmt.Sprintf(":%d:%s:%s:%d", st.PeriodStart.Unix(), st.Plan.Ref(), st.Interval, st.Seats)
		t.add(notices.Changed, t.about("changed", detail), t.in.Now, t.data(notices.Data{Time: t.in.Now}))
	}
	if !st.CancelTime.IsZero() {
		t.add(notices.WillEnd, t.about("will_end", fmt.Sprintf(":%d", st.CancelTime.Unix())), t.in.Now, t.data(notices.Data{Time: st.CancelTime}))
	}
	if next := st.Scheduled; !next.Time.IsZero() {
		t.add(notices.WillChange, t.about("will_change", fmt.Sprintf(":%d:%s:%s:%d", next.Time.Unix(), next.Plan.Ref(), next.Interval, next.Seats)), t.in.Now,
			notices.Data{
				Time: next.Time, SubscriptionID: st.SubscriptionID, PlanID: next.Plan.ID, PlanVersion: next.Plan.Version, Interval: string(next.Interval), Seats: next.Seats,
			})
	}
}

// failedSource is the source of the notice that an invoice's payment failed.
func failedSource(invoiceID string) string { return "invoice:" + invoiceID + ":payment_failed" }

// failed tells that an invoice's payment failed. Some payments fail weeks after the invoice was made, such as a debit of SEPA. So the age of the invoice
// counts only when the account's plan was not in force before: a change from a state that was seen is not history.
func (t *telling) failed(inv Invoice) {
	happened := inv.Created.time()
	if t.before.Access == Active || t.before.Access == Trial {
		happened = t.in.Now
	}
	t.add(notices.PaymentFailed, failedSource(inv.ID), happened, t.invoice(inv))
}

// ofOverage tells of each invoice of overage whose payment failed: the last one comes after the subscription has ended.
func (t *telling) ofOverage() {
	for _, inv := range t.in.Invoices {
		if inv.unpaidOverage() {
			t.failed(inv)
		}
	}
}

// ofPayments tells of each invoice whose payment failed, and, when the plan is in force again, of the newest that is settled.
func (t *telling) ofPayments() {
	owing := map[string]bool{}
	for _, s := range t.in.Subscriptions {
		owing[s.ID] = s.Status == "past_due" || s.Status == "unpaid"
	}
	var settled *Invoice
	for i, inv := range t.in.Invoices {
		failed := owing[inv.Subscription] && inv.Status == "open" && inv.Attempted
		switch {
		case failed || inv.unpaidOverage():
			t.failed(inv)
		case t.told[failedSource(inv.ID)] && slices.Contains([]string{"paid", "void"}, inv.Status):
			if settled == nil || inv.Created > settled.Created || inv.Created == settled.Created && inv.ID > settled.ID {
				settled = &t.in.Invoices[i]
			}
		}
	}
	if settled != nil && t.st.Access == Active && !t.st.OverageUnpaid {
		t.add(notices.Recovered, "invoice:"+settled.ID+":recovered", t.in.Now, t.invoice(*settled))
	}
}

func (t *telling) invoice(inv Invoice) notices.Data {
	d := t.data(notices.Data{Time: inv.Created.time(), InvoiceID: inv.ID, Amount: nano(inv.Total)})
	if inv.Subscription != t.st.SubscriptionID && inv.Subscription != "" { // of a duplicate
		d = notices.Data{Time: d.Time, InvoiceID: inv.ID, Amount: d.Amount, SubscriptionID: inv.Subscription}
	}
	return d
}
