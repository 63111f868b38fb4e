package mailing

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/trivet-dev/trivet/services/billing/internal/money"
	"github.com/trivet-dev/trivet/services/billing/internal/notices"
)

// words are the subject and the paragraphs of a kind. filler has the meaning of their placeholders.
type words struct {
	subject string
	text    []string
}

// texts has the words of each kind that may be mailed.
func texts() map[notices.Kind]words {
	return map[notices.Kind]words{
		notices.TrialStarted:  {"Your trial of %p has started", []string{"Your trial of %p has started. It ends on %t."}},
		notices.TrialWillEnd:  {"Your trial of %p ends soon", []string{"Your trial of %p ends on %t.", "If a payment method is saved, the plan is charged to it after that, unless you cancel before then."}},
		notices.PaymentFailed: {"Your payment failed", []string{"A payment of %a for %p failed.", "Please pay the invoice or update your payment method. While it is unpaid, your account may lose the plan or its overage."}},
		notices.Recovered:     {"Your invoice is settled", []string{"The open invoice for %p is settled. Thank you.", "Your plan continues."}},
		notices.Downgraded:    {"Your account has lost the plan %p", []string{"Your plan %p was suspended on %t.", "Until it is resumed, the limits of the default plan apply. If an invoice is open, paying it resumes the plan."}},
		notices.WillEnd:       {"Your plan %p will end", []string{"Your plan %p is canceled. It ends on %t."}},
		notices.Ended:         {"Your plan %p has ended", []string{"Your plan %p ended on %t.", "The limits of the default plan apply now."}},
		notices.Changed:       {"Your plan has changed", []string{"Your plan changed on %t. It is now %p, charged every %i%x."}},
		notices.WillChange:    {"Your plan will change", []string{"Your plan changes to %p on %t."}},
		notices.Refunded:      {"A payment was refunded", []string{"A payment of %a was refunded on %t.", "The credit that it had bought is taken back in proportion."}},
		notices.Disputed:      {"A payment is disputed", []string{"A payment of %a was disputed at your bank on %t.", "The credit that it had bought is taken back until the dispute is won."}},
		notices.CheckoutFailed: {"Your purchase was not completed", []string{
			"The first payment of your subscription was not made in time, so the subscription has not started.", "You can buy it again at any time.",
		}},
		notices.CreditThreshold: {"%n% of your credit is used", []string{
			"Your account has reached %n% of its credit of %a in %w. %u is used.", "Without credit, calls are refused unless your plan allows overage.",
		}},
		notices.LimitThreshold: {"%n% of a spend limit is used", []string{
			"%o has reached %n% of the spend limit of %a in %w. %u is used.", "Calls that would exceed the limit are refused.",
		}},
		notices.OverageThreshold: {"%n% of your overage is used", []string{
			"Your account has reached %n% of the overage of %a that your plan allows in %w. %u is used.", "Calls that would exceed it are refused.",
		}},
		notices.TopUpSucceeded: {"Your automatic top-up was paid", []string{"Your automatic top-up bought credit for %a, without tax, on %t."}},
		notices.TopUpFailed: {"Your automatic top-up failed", []string{
			"An automatic top-up for %a failed on %t. No credit was bought.", "If your payment method was declined, please update it.",
		}},
		notices.TopUpAuthentication: {"Your bank asks you to confirm a payment", []string{
			"Your bank asks you to authenticate a payment of %a for an automatic top-up. The payment was canceled on %t. No credit was bought.",
			"Please buy the credit yourself, and then set up the automatic top-up again.",
		}},
		notices.TopUpDisabled: {"Your automatic top-up is off", []string{"Your automatic top-up was turned off on %t because %r.", "It buys no more credit until you set it up again."}},
		notices.SeatsExceeded: {"Your organization has more members than seats", []string{
			"Your organization has %m members. %p has at most %s seats.", "Please change to a plan with more seats, or remove members.",
		}},
	}
}

const (
	dayFormat    = "2 January 2006"
	minuteFormat = "2 January 2006, 15:04 UTC"
)

// filler fills in a notice: %p is the plan, %a the amount, %t the day, %n the percentage of a threshold, %u what is used, %w the window, %o the owner of a
// limit, %r the reason, %s the seats, %x the seats if there are several, %i the interval of charges and %m the members. Members are named by their id only, because the mail may go to somebody else.
func (l Letters) filler(n notices.Notice) *strings.Replacer {
	d := n.Data
	plan := "your subscription"
	if d.PlanID != "" {
		plan = cmp.Or(l.PlanName(d.PlanID), d.PlanID)
	}
	return strings.NewReplacer("%p", plan, "%a", money.Format(d.Amount), "%t", d.Time.UTC().Format(dayFormat),
		"%n", strconv.FormatInt(d.Percent, 10), "%u", money.Format(d.Used), "%w", windowOf(n), "%o", ownerOf(n), "%r", reasonOf(d.Problem),
		"%s", strconv.FormatInt(d.Seats, 10), "%x", withSeats(d.Seats), "%i", cmp.Or(d.Interval, "month"), "%m", strconv.FormatInt(d.Members, 10))
}

func withSeats(seats int64) string {
	if seats <= 1 {
		return ""
	}
	return ", with " + strconv.FormatInt(seats, 10) + " seats"
}

// windowOf names the window of a threshold.
func windowOf(n notices.Notice) string {
	name := cmp.Or(strings.ReplaceAll(n.Data.Window, "_", " "), "window")
	if n.Kind != notices.LimitThreshold {
		name = "billing period"
	}
	return "the " + name + " that began on " + n.Data.WindowStart.UTC().Format(minuteFormat)
}

// ownerOf names the owner of a limit.
func ownerOf(n notices.Notice) string {
	switch {
	case n.Data.APIKeyID != "":
		return "The API key " + n.Data.APIKeyID
	case n.UserID != "":
		return "The member " + n.UserID
	}
	return "A member" // who was erased
}

// reasonOf says why an automatic top-up is off.
func reasonOf(problem string) string {
	switch problem {
	case "declined":
		return "several payments failed"
	case "authentication":
		return "your bank asks you to authenticate the payment"
	case "no_card":
		return "your account has no payment method"
	case "disputed":
		return "a payment is disputed"
	case "refunded":
		return "a top-up was refunded"
	}
	return "a payment failed"
}
