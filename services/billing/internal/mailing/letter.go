package mailing

import (
	"bytes"
	"cmp"
	"fmt"
	"html/template"
	"net/url"
	"slices"
	"strings"

	"github.com/trivet-dev/trivet/services/billing/internal/money"
	"github.com/trivet-dev/trivet/services/billing/internal/notices"
)

// Letters writes the texts of mails.
type Letters struct {
	// Product is how the mail names the product: the name of the sender.
	Product string
	// ManageURL is the page where plans and payments are managed; "" for none.
	ManageURL string
	// PayOrigins are the origins that a link to pay may have.
	PayOrigins []string
	// PlanName returns the display name of a plan; "" for an unknown one.
	PlanName func(id string) string
}

// Letter is a mail's text.
type Letter struct{ Subject, Text, HTML string }

// link is an address in a letter.
type link struct{ Label, URL string }

// words are the subject and the paragraphs of a kind. %p stands for the plan, %a for the amount and %t for the time.
type words struct {
	subject string
	text    []string
}

// texts has the words of each kind that may be mailed.
func texts() map[notices.Kind]words {
	return map[notices.Kind]words{
		notices.TrialStarted:  {"Your trial of %p has started", []string{"Your trial of %p has started. It ends on %t."}},
		notices.TrialWillEnd:  {"Your trial of %p ends soon", []string{"Your trial of %p ends on %t.", "Then the plan is charged to your payment method, unless you cancel it before."}},
		notices.PaymentFailed: {"Your payment failed", []string{"A payment of %a for %p failed.", "Please pay the invoice or update your payment method. Otherwise your account loses the plan."}},
		notices.Recovered:     {"Your payment was received", []string{"The open invoice for %p is settled. Thank you.", "Your plan continues."}},
		notices.Downgraded:    {"Your account has lost the plan %p", []string{"Your plan %p is suspended since %t.", "It continues when your open invoices are paid. Until then, the limits of the default plan apply."}},
		notices.WillEnd:       {"Your plan %p will end", []string{"Your plan %p is canceled. It ends on %t."}},
		notices.Ended:         {"Your plan %p has ended", []string{"Your plan %p ended on %t.", "The limits of the default plan apply now."}},
		notices.Changed:       {"Your plan has changed", []string{"Your plan is %p since %t."}},
		notices.WillChange:    {"Your plan will change", []string{"Your plan changes to %p on %t."}},
		notices.Refunded:      {"A payment was refunded", []string{"A payment of %a was refunded on %t.", "The credit that it had bought is taken back in proportion."}},
		notices.Disputed:      {"A payment is disputed", []string{"A payment of %a was disputed at your bank on %t.", "The credit that it had bought is taken back until the dispute is won."}},
		notices.CheckoutFailed: {"Your purchase was not completed", []string{
			"The first payment of your subscription was not made in time, so the subscription has not started.", "You can buy it again at any time.",
		}},
	}
}

// Mailable lists the kinds that may be mailed. The others are for operators.
func Mailable() (kinds []notices.Kind) {
	for kind := range texts() {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	return kinds
}

// Write writes the letter of a notice. payURL is left out if its origin is not allowed.
func (l Letters) Write(n notices.Notice, payURL string) (Letter, error) {
	w, ok := texts()[n.Kind]
	if !ok {
		return Letter{}, fmt.Errorf("notices of kind %s are not mailed", n.Kind)
	}
	plan := "your subscription"
	if n.Data.PlanID != "" {
		plan = cmp.Or(l.PlanName(n.Data.PlanID), n.Data.PlanID)
	}
	const day = "2 January 2006"
	fill := strings.NewReplacer("%p", plan, "%a", money.Format(n.Data.Amount), "%t", n.Data.Time.UTC().Format(day))
	var content struct {
		Paragraphs []string
		Links      []link
		Product    string
	}
	content.Product = l.Product
	for _, p := range w.text {
		content.Paragraphs = append(content.Paragraphs, fill.Replace(p))
	}
	if n.Kind == notices.PaymentFailed && l.mayPay(payURL) {
		content.Links = append(content.Links, link{"Pay the invoice", payURL})
	}
	if l.ManageURL != "" {
		content.Links = append(content.Links, link{"Manage your plan and payments", l.ManageURL})
	}
	text := strings.Join(content.Paragraphs, "\n\n")
	for _, at := range content.Links {
		text += "\n\n" + at.Label + ":\n" + at.URL
	}
	var page bytes.Buffer
	if err := html().Execute(&page, content); err != nil {
		return Letter{}, fmt.Errorf("letter: %w", err)
	}
	return Letter{Subject: fill.Replace(w.subject), Text: text + "\n\n" + l.Product + "\n", HTML: page.String()}, nil
}

// mayPay reports whether a link leads to an allowed origin.
func (l Letters) mayPay(address string) bool {
	at, err := url.Parse(address)
	return err == nil && at.User == nil && slices.Contains(l.PayOrigins, at.Scheme+"://"+at.Host)
}

func html() *template.Template {
	return template.Must(template.New("mail").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"></head><body style="font:16px/1.5 sans-serif">
{{range .Paragraphs}}<p>{{.}}</p>
{{end}}{{range .Links}}<p><a href="{{.URL}}">{{.Label}}</a></p>
{{end}}<p>{{.Product}}</p>
</body></html>
`))
}
