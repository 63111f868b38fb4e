package stripe

import (
	"context"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/sandbox/internal/webpage"
)

//go:embed pages/*.html
var pageFiles embed.FS

func newPages() (*template.Template, error) { return template.ParseFS(pageFiles, "pages/*.html") }

// browserRoutes serves the pages, which need no key, and passes everything else to the API.
func (f *Fake) browserRoutes(api http.Handler) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /pay/{id}", f.showCheckout)
	mux.HandleFunc("POST /pay/{id}", f.submitCheckout)
	mux.HandleFunc("GET /portal/{id}", f.showPortal)
	mux.HandleFunc("POST /portal/{id}", f.submitPortal)
	mux.HandleFunc("GET /invoice/{id}", f.showInvoice)
	mux.HandleFunc("POST /invoice/{id}", f.submitInvoice)
	mux.Handle("/", api)
	return mux
}

// page is what all pages have.
type page struct {
	Title, Error string
}

func (f *Fake) render(w http.ResponseWriter, name string, status int, data any) {
	webpage.Render(w, f.pages, name, status, data)
}

// locked runs a part of a page on the state of the account.
func locked[T any](f *Fake, run func() T) T {
	f.mu.Lock()
	defer f.mu.Unlock()
	return run()
}

type pageLine struct{ What, Every, Amount string }

type checkoutPage struct {
	page
	Session CheckoutSession
	Lines   []pageLine
	Total   string
	Email   string
	// Heading and Button say what the payer does.
	Heading, Button string
	// Saves tells whether a card is saved and nothing is charged.
	Saves bool
	// Trial, Discount and Tax are empty without one.
	Trial, Discount, Tax string
	// Codes tells whether the payer may enter a promotion code.
	Codes bool
}

func (f *Fake) checkoutPage(id, problem string) (checkoutPage, bool) {
	co, bad := f.checkout(id)
	if bad != nil {
		return checkoutPage{}, false
	}
	s := co.Session
	p := checkoutPage{page: page{"Checkout", problem}, Session: s, Total: money(s.AmountTotal, s.Currency), Heading: "Pay"}
	p.Button = "Pay " + p.Total
	switch {
	case s.Mode == "setup":
		p.Saves, p.Heading, p.Button = true, "Save a card", "Save this card"
	case s.Mode == "subscription" && s.AmountTotal == 0:
		p.Heading, p.Button = "Subscribe", "Subscribe"
	case s.Mode == "subscription":
		p.Heading = "Subscribe"
	}
	if end := max(co.TrialEnd, s.Created+co.TrialDays*day); end > s.Created {
		p.Trial = "Free until " + date(end) + ". The first payment is due then."
	}
	if s.TotalDetails.AmountDiscount != 0 {
		p.Discount = money(-s.TotalDetails.AmountDiscount, s.Currency)
	}
	if s.TotalDetails.AmountTax != 0 {
		p.Tax = money(s.TotalDetails.AmountTax, s.Currency)
	}
	for _, l := range co.Lines {
		line := pageLine{What: fmt.Sprintf("%s × %d", l.Description, l.Quantity), Amount: money(l.AmountTotal, l.Currency)}
		if r := l.Price.Recurring; r != nil {
			line.Every = every(*r)
		}
		p.Lines = append(p.Lines, line)
	}
	cus, _ := f.customers.Get(orEmpty(co.Session.Customer))
	p.Codes = co.Session.AllowPromotionCodes != nil && *co.Session.AllowPromotionCodes
	p.Email = orDefault(orEmpty(co.Session.CustomerEmail), orEmpty(cus.Email))
	return p, true
}

func every(r Recurring) string {
	if r.IntervalCount == 1 {
		return r.Interval
	}
	return fmt.Sprintf("%d %ss", r.IntervalCount, r.Interval)
}

// money writes cents for people.
func money(amount int64, currency string) string {
	sign := ""
	if amount < 0 {
		sign, amount = "-", -amount
	}
	return fmt.Sprintf("%s%d.%02d %s", sign, amount/100, amount%100, strings.ToUpper(currency))
}

func date(seconds int64) string { return time.Unix(seconds, 0).UTC().Format("2 January 2006") }

func (f *Fake) showCheckout(w http.ResponseWriter, r *http.Request) {
	f.answerCheckout(w, r.PathValue("id"), http.StatusOK, "")
}

func (f *Fake) answerCheckout(w http.ResponseWriter, id string, status int, problem string) {
	f.mu.Lock()
	p, ok := f.checkoutPage(id, problem)
	f.mu.Unlock()
	if !ok {
		http.Error(w, "Checkout session not found.", http.StatusNotFound)
		return
	}
	f.render(w, "checkout", status, p)
}

func (f *Fake) submitCheckout(w http.ResponseWriter, r *http.Request) {
	form, ok := webpage.Form(w, r)
	if !ok {
		return
	}
	id := r.PathValue("id")
	base := f.publicURL(r)
	type outcome struct {
		co    checkout
		event string
		bad   *apiError
	}
	out := locked(f, func() outcome {
		co, bad := f.checkout(id)
		if bad != nil || form.Get("action") == "cancel" {
			return outcome{co, "", bad}
		}
		co, bad = f.payCheckout(co, Payer{orDefault(form.Get("card"), "visa"), form.Get("email"), form.Get("country"), form.Get("tax_id"), form.Get("code")}, base)
		return outcome{co, f.lastEvent, bad}
	})
	switch {
	case out.bad != nil && out.bad.status == http.StatusNotFound:
		http.Error(w, "Checkout session not found.", http.StatusNotFound)
	case out.bad != nil:
		f.answerCheckout(w, id, out.bad.status, out.bad.Message)
	case form.Get("action") == "cancel" && out.co.Session.CancelURL == nil:
		f.answerCheckout(w, id, http.StatusOK, "This shop has no page to go back to.")
	case form.Get("action") == "cancel":
		http.Redirect(w, r, *out.co.Session.CancelURL, http.StatusSeeOther)
	default:
		f.await(r.Context(), out.event)
		http.Redirect(w, r, out.co.returnURL(), http.StatusSeeOther)
	}
}

func (f *Fake) await(ctx context.Context, event string) {
	if f.cfg.Await != nil {
		f.cfg.Await(ctx, event)
	}
}
