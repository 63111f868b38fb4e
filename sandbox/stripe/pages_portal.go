package stripe

import (
	"net/http"
	"slices"

	"github.com/trivet-dev/trivet/sandbox/internal/webpage"
)

type portalPage struct {
	page
	// Headline is that of the portal's configuration.
	Headline      string
	Email         string
	Card          string
	Subscriptions []portalSubscription
	Invoices      []portalInvoice
	TaxIDs        []TaxID
	// TaxKinds are the kinds of tax ids that can be added.
	TaxKinds  []string
	ReturnURL string
	Features  PortalFeatures
}

type portalSubscription struct{ ID, What, Status, Ends, Renews string }

type portalInvoice struct{ ID, URL, Number, Date, Status, Total string }

func (f *Fake) portalPage(p PortalSession, problem string) (portalPage, bool) {
	cus, bad := f.customerOf("customer", p.Customer)
	if bad != nil {
		return portalPage{}, false
	}
	out := portalPage{page: page{"Billing", problem}, Email: orEmpty(cus.Email), Card: "none", ReturnURL: orEmpty(p.ReturnURL), Features: f.featuresOf(p)}
	out.Headline, out.TaxKinds = f.headlineOf(p), taxKinds()
	out.TaxIDs = f.taxIdentifiers.All(func(id TaxID) bool { return id.Customer == cus.ID })
	if m, ok := f.methods.Get(orEmpty(cus.InvoiceSettings.DefaultPaymentMethod)); ok && m.Card != nil {
		out.Card = m.Card.Brand + " " + m.Card.Last4
	}
	for _, s := range f.subscriptions.All(func(s Subscription) bool { return s.Customer == cus.ID && !s.over() }) {
		shown := portalSubscription{ID: s.ID, What: "Subscription", Status: s.Status, Renews: date(s.CurrentPeriodEnd)}
		if product, ok := f.products.Get(s.Items.Data[0].Price.Product); ok {
			shown.What = product.Name
		}
		if s.CancelAt != nil {
			shown.Ends = date(*s.CancelAt)
		}
		if m, ok := f.methods.Get(orEmpty(s.DefaultPaymentMethod)); ok && m.Card != nil {
			out.Card = m.Card.Brand + " " + m.Card.Last4
		}
		out.Subscriptions = append(out.Subscriptions, shown)
	}
	all := f.invoices.All(func(inv Invoice) bool { return inv.Customer == cus.ID && inv.Status != "draft" })
	slices.Reverse(all)
	for _, inv := range all {
		out.Invoices = append(out.Invoices, portalInvoice{inv.ID, orEmpty(inv.HostedInvoiceURL), orEmpty(inv.Number), date(inv.Created), inv.Status, money(inv.Total, inv.Currency)})
	}
	return out, true
}

func (f *Fake) answerPortal(w http.ResponseWriter, id string, status int, problem string) {
	f.mu.Lock()
	session, ok := f.portals.Get(id)
	var p portalPage
	if ok {
		p, ok = f.portalPage(session, problem)
	}
	f.mu.Unlock()
	if !ok {
		http.Error(w, "Portal session not found, or its customer was deleted.", http.StatusNotFound)
		return
	}
	f.render(w, "portal", status, p)
}

func (f *Fake) showPortal(w http.ResponseWriter, r *http.Request) {
	f.answerPortal(w, r.PathValue("id"), http.StatusOK, "")
}

func (f *Fake) submitPortal(w http.ResponseWriter, r *http.Request) {
	form, ok := webpage.Form(w, r)
	if !ok {
		return
	}
	id := r.PathValue("id")
	var session PortalSession
	bad := locked(f, func() *apiError {
		if session, ok = f.portals.Get(id); !ok {
			return noSuch("portal session", "session", id)
		}
		return f.applyPortal(session, portalChange{
			form.Get("action"), form.Get("subscription"), form.Get("invoice"), form.Get("card"), form.Get("tax_kind"), form.Get("tax_id"),
		})
	})
	if bad != nil {
		f.answerPortal(w, id, bad.status, bad.Message)
		return
	}
	http.Redirect(w, r, session.URL, http.StatusSeeOther)
}

type invoicePage struct {
	page
	Number, Date, Status, Total string
	// Tax is what the lines have beside their amounts; empty without.
	Tax   string
	Lines []pageLine
}

func (f *Fake) answerInvoice(w http.ResponseWriter, id string, status int, problem string) {
	f.mu.Lock()
	inv, ok := f.invoices.Get(id)
	f.mu.Unlock()
	if !ok || inv.Status == "draft" {
		http.Error(w, "Invoice not found.", http.StatusNotFound)
		return
	}
	p := invoicePage{page: page{"Invoice", problem}, Number: orEmpty(inv.Number), Date: date(inv.Created), Status: inv.Status, Total: money(inv.Total, inv.Currency)}
	if tax := orZero(inv.Tax); tax != 0 {
		p.Tax = money(tax, inv.Currency)
	}
	for _, l := range inv.Lines.Data {
		p.Lines = append(p.Lines, pageLine{What: orDefault(orEmpty(l.Description), "Item"), Amount: money(l.Amount, l.Currency)})
	}
	f.render(w, "invoice", status, p)
}

func (f *Fake) showInvoice(w http.ResponseWriter, r *http.Request) {
	f.answerInvoice(w, r.PathValue("id"), http.StatusOK, "")
}

func (f *Fake) submitInvoice(w http.ResponseWriter, r *http.Request) {
	form, ok := webpage.Form(w, r)
	if !ok {
		return
	}
	id := r.PathValue("id")
	bad := locked(f, func() *apiError {
		inv, bad := f.invoice(id)
		if bad != nil {
			return bad
		}
		cus, bad := f.customerOf("customer", inv.Customer)
		if bad != nil {
			return bad
		}
		return f.payFromPortal(cus, portalChange{invoice: id, card: orDefault(form.Get("card"), "visa")})
	})
	if bad != nil {
		f.answerInvoice(w, id, bad.status, bad.Message)
		return
	}
	f.answerInvoice(w, id, http.StatusOK, "")
}
