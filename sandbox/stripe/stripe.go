// Package stripe is a stand-in for Stripe at API version 2023-10-16: real HTTP, form-encoded requests, state.
//
// It has customers, products and prices, lists with cursors, idempotency keys and Stripe's error envelope. Any
// other path is answered as Stripe answers an unknown one.
package stripe

import (
	"crypto/rand"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/sandbox/internal/ident"
	"github.com/trivet-dev/trivet/sandbox/internal/table"
	"github.com/trivet-dev/trivet/sandbox/webhook"
)

// APIVersion is the only version that the fake speaks; a request for another is refused.
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
	// Emit gets an event for every change of an object. It is called in the order of the changes and must not wait; nil
	// lets nobody know but those who list events.
	Emit func(webhook.Event)
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
	// Faults is consulted before every answer; nil means a new, empty set.
	Faults *fault.Set
}

// Fake is one Stripe account as an [http.Handler] that serves /v1/…. It is safe for concurrent use.
type Fake struct {
	cfg     Config
	mux     *http.ServeMux
	plain   http.Handler // without faults
	handler http.Handler
	// requestIDs are apart, so that a request that is refused does not change the objects that follow.
	requestIDs *ident.Source

	mu        sync.Mutex
	cause     cause
	ids       *ident.Source
	eventIDs  *ident.Source // of their own: whether a change is quiet must not change the objects
	store     *table.Store
	customers *table.Table[Customer]
	products  *table.Table[Product]
	prices    *table.Table[Price]
	events    *table.Table[Event]
	replays   *replays
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
	f.customers = table.New[Customer](f.store, "customers")
	f.products = table.New[Product](f.store, "products")
	f.prices = table.New[Price](f.store, "prices")
	f.events = table.New[Event](f.store, "events")
	if err := f.store.Load(); err != nil {
		return nil, err
	}
	f.mux = f.routes()
	authorized := f.authorize(f.mux)
	f.plain = f.identify(authorized)
	f.handler = f.identify(cfg.Faults.Handler(authorized, answerStatus))
	return f, nil
}

const stateFile = "stripe-state.jsonl"

// Reset forgets all objects and idempotency keys. Identifiers go on and are not given twice.
func (f *Fake) Reset() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.replays = newReplays(f.cfg.Now)
	return f.store.Reset()
}

// Close closes the file of the state; what changes later is not kept.
func (f *Fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.store.Close()
}

// Faults returns the set that every request is matched against.
func (f *Fake) Faults() *fault.Set { return f.cfg.Faults }

// ServeHTTP answers one API call.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.handler.ServeHTTP(w, r) }

// routes is the place where a new resource is added.
func (f *Fake) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, e := range map[string]endpoint{
		"POST /v1/customers":        f.createCustomer,
		"GET /v1/customers":         f.listCustomers,
		"GET /v1/customers/{id}":    f.getCustomer,
		"POST /v1/customers/{id}":   f.updateCustomer,
		"DELETE /v1/customers/{id}": f.deleteCustomer,
		"POST /v1/products":         f.createProduct,
		"GET /v1/products":          f.listProducts,
		"GET /v1/products/{id}":     f.getProduct,
		"POST /v1/products/{id}":    f.updateProduct,
		"DELETE /v1/products/{id}":  f.deleteProduct,
		"POST /v1/prices":           f.createPrice,
		"GET /v1/prices":            f.listPrices,
		"GET /v1/prices/{id}":       f.getPrice,
		"POST /v1/prices/{id}":      f.updatePrice,
		"GET /v1/events":            f.listEvents,
		"GET /v1/events/{id}":       f.getEvent,
	} {
		mux.Handle(pattern, f.serve(e))
	}
	// Without these, "search" would be looked up as an identifier.
	for _, resource := range []string{"customers", "products", "prices"} {
		mux.HandleFunc("GET /v1/"+resource+"/search", unknownURL)
	}
	mux.HandleFunc("/", unknownURL)
	return mux
}

func (f *Fake) now() int64 { return f.cfg.Now().Unix() }
