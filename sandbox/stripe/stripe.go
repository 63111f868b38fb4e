// Package stripe is a stand-in for Stripe at API version 2023-10-16: real HTTP, form-encoded requests, state.
//
// It has what a subscription business needs: customers, products, prices, payment methods, payment intents, charges,
// refunds, disputes, subscriptions, invoices, checkout and portal with their pages, meters, test clocks, and the event
// of every change; lists with cursors, idempotency keys and Stripe's error envelope. Any other path is answered as
// Stripe answers an unknown one.
package stripe

import (
	"context"
	"crypto/rand"
	"html/template"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/sandbox/internal/ident"
	"github.com/trivet-dev/trivet/sandbox/internal/table"
	"github.com/trivet-dev/trivet/sandbox/webhook"
)

// APIVersion is the version of all answers and events, whichever one a request asks for; the Stripe-Version header of the
// answer says so.
const APIVersion = "2023-10-16"

// Config is what a [Fake] needs; the zero value works.
type Config struct {
	// Keys are the accepted secret keys; empty accepts any that starts with "sk_test_" or "rk_test_".
	Keys []string
	// Dir is where the state is kept, so that objects outlive a restart; empty keeps it in memory. In memory, the same
	// calls make the same identifiers; those of a fake with a folder never come again.
	Dir string
	// PublicURL is where a browser reaches the fake, such as "http://127.0.0.1:8090/stripe", for the pages of checkout and
	// portal; empty takes it from the request that makes them.
	PublicURL string
	// Emit gets an event for every change of an object. It is called in the order of the changes and must not block. Nil
	// only records the events for the list.
	Emit func(webhook.Event)
	// Await returns when an event has been delivered, or tried, or after a while: the checkout page waits for it before it
	// sends the payer back, as Stripe's does. Nil waits for nothing.
	Await func(ctx context.Context, eventID string)
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
	// AfterRetries is what a subscription becomes when the last of four attempts to charge it has failed: "canceled", which is the default, "unpaid" or
	// "past_due".
	AfterRetries string
	// SummaryDelay is how long a meter event is missing from the summaries, as at Stripe, where they lag. Invoices have it at once.
	SummaryDelay time.Duration
	// Faults applies to every request. Nil means a new, empty set.
	Faults *fault.Set
}

// Fake is one Stripe account as an [http.Handler] that serves /v1/…. It is safe for concurrent use.
type Fake struct {
	cfg     Config
	mux     *http.ServeMux
	browser *http.ServeMux // the pages, and behind them the API
	pages   *template.Template
	plain   http.Handler // without faults
	handler http.Handler
	// requestIDs are separate, so that a rejected request does not change the identifiers of later objects.
	requestIDs *ident.Source

	mu        sync.Mutex
	cause     cause
	lastEvent string // the identifier of the latest
	at        int64  // the time of what Advance does, or 0
	ids       *ident.Source
	eventIDs  *ident.Source // separate, so that identifiers of objects do not depend on whether events are emitted
	store     *table.Store
	customers *table.Table[Customer]
	products  *table.Table[Product]
	prices    *table.Table[Price]
	events    *table.Table[Event]

	methods       *table.Table[PaymentMethod]
	intents       *table.Table[PaymentIntent]
	setups        *table.Table[SetupIntent]
	charges       *table.Table[Charge]
	refunds       *table.Table[Refund]
	disputes      *table.Table[Dispute]
	subscriptions *table.Table[Subscription]
	schedules     *table.Table[Schedule]
	items         *table.Table[InvoiceItem]
	invoices      *table.Table[Invoice]
	checkouts     *table.Table[checkout]
	portals       *table.Table[PortalSession]
	portalConfigs *table.Table[PortalConfiguration]
	clocks        *table.Table[TestClock]
	coupons       *table.Table[Coupon]
	promotions    *table.Table[PromotionCode]
	creditNotes   *table.Table[CreditNote]
	// told are the notices that were sent, by kind and subscription.
	told *table.Table[told]
	// pending are the invoices of pending updates, by subscription.
	pending *table.Table[pendingInvoice]
	// taxIdentifiers are those of the customers.
	taxIdentifiers *table.Table[TaxID]
	meters         *table.Table[Meter]
	readings       *table.Table[reading]
	replays        *replays
}

// New returns an account, without objects unless cfg.Dir has some. Its error is about a file there.
func New(cfg Config) (*Fake, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Faults == nil {
		cfg.Faults = fault.NewSet("stripe")
	}
	f := &Fake{
		cfg: cfg, ids: ident.NewSource("stripe"), eventIDs: ident.NewSource("stripe events"), requestIDs: ident.NewSource("stripe requests"),
		store: table.NewStore(""), replays: newReplays(cfg.Now),
	}
	if cfg.Dir != "" {
		f.store = table.NewStore(filepath.Join(cfg.Dir, stateFile))
		f.ids, f.eventIDs, f.requestIDs = ident.NewSource(rand.Text()), ident.NewSource(rand.Text()), ident.NewSource(rand.Text())
	}
	f.makeTables()
	if err := f.store.Load(); err != nil {
		return nil, err
	}
	pages, err := newPages()
	if err != nil {
		return nil, err
	}
	f.pages = pages
	f.mux = f.routes()
	f.browser = f.browserRoutes(f.authorize(f.mux))
	f.plain = f.identify(f.browser)
	f.handler = f.identify(cfg.Faults.Handler(f.browser, answerStatus))
	return f, nil
}

func (f *Fake) makeTables() {
	f.customers = table.New[Customer](f.store, "customers")
	f.products = table.New[Product](f.store, "products")
	f.prices = table.New[Price](f.store, "prices")
	f.events = table.New[Event](f.store, "events")
	f.methods = table.New[PaymentMethod](f.store, "payment_methods")
	f.intents = table.New[PaymentIntent](f.store, "payment_intents")
	f.setups = table.New[SetupIntent](f.store, "setup_intents")
	f.charges = table.New[Charge](f.store, "charges")
	f.refunds = table.New[Refund](f.store, "refunds")
	f.disputes = table.New[Dispute](f.store, "disputes")
	f.subscriptions = table.New[Subscription](f.store, "subscriptions")
	f.schedules = table.New[Schedule](f.store, "subscription_schedules")
	f.items = table.New[InvoiceItem](f.store, "invoice_items")
	f.invoices = table.New[Invoice](f.store, "invoices")
	f.checkouts = table.New[checkout](f.store, "checkout_sessions")
	f.portals = table.New[PortalSession](f.store, "portal_sessions")
	f.portalConfigs = table.New[PortalConfiguration](f.store, "portal_configurations")
	f.told = table.New[told](f.store, "notices")
	f.pending = table.New[pendingInvoice](f.store, "pending_invoices")
	f.coupons = table.New[Coupon](f.store, "coupons")
	f.promotions = table.New[PromotionCode](f.store, "promotion_codes")
	f.creditNotes = table.New[CreditNote](f.store, "credit_notes")
	f.taxIdentifiers = table.New[TaxID](f.store, "tax_ids")
	f.clocks = table.New[TestClock](f.store, "test_clocks")
	f.meters = table.New[Meter](f.store, "meters")
	f.readings = table.New[reading](f.store, "meter_events")
}

const stateFile = "stripe-state.jsonl"

// Reset forgets all objects and idempotency keys. Identifiers are not reused.
func (f *Fake) Reset() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.replays = newReplays(f.cfg.Now)
	return f.store.Reset()
}

// Close closes the state file. Later changes are not saved.
func (f *Fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.store.Close()
}

// Faults returns the faults that apply to every request.
func (f *Fake) Faults() *fault.Set { return f.cfg.Faults }

// ServeHTTP answers one API call.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.handler.ServeHTTP(w, r) }

// now is the time; while Advance does what is due, it is when that was due.
func (f *Fake) now() int64 {
	if f.at != 0 {
		return f.at
	}
	return f.cfg.Now().Unix()
}
