package mailing

import (
	"bytes"
	"fmt"
	"html/template"
	"net/url"
	"slices"
	"strings"

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
	fill := l.filler(n)
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
