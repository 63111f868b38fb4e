// Package stripe is a stand-in for Stripe at API version 2023-10-16: real HTTP, form-encoded requests, state.
//
// It has customers, products and prices, lists with cursors, idempotency keys and Stripe's error envelope. Any
// other path is answered as Stripe answers an unknown one.
package stripe

import (
	"net/http"
	"sync"
	"time"

	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/sandbox/internal/ident"
	"github.com/trivet-dev/trivet/sandbox/internal/table"
)

// APIVersion is the only version that the fake speaks; a request for another is refused.
const APIVersion = "2023-10-16"

// Config is what a [Fake] needs; the zero value works.
type Config struct {
	// Keys are the accepted secret keys; empty accepts any that starts with "sk_test_" or "rk_test_".
	Keys []string
	// Salt makes the identifiers differ from those of another fake; two fakes with the same salt that get the
	// same calls make the same ones.
	Salt string
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
	// Faults is consulted before every answer; nil means a new, empty set.
	Faults *fault.Set
}

// Fake is one Stripe account as an [http.Handler] that serves /v1/…. It is safe for concurrent use.
type Fake struct {
	cfg     Config
	handler http.Handler

	mu        sync.Mutex
	ids       *ident.Source
	customers *table.Table[Customer]
	products  *table.Table[Product]
	prices    *table.Table[Price]
	replays   *replays
}

// New returns an account without objects.
func New(cfg Config) *Fake {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Faults == nil {
		cfg.Faults = fault.NewSet("stripe")
	}
	f := &Fake{cfg: cfg, ids: ident.NewSource("stripe" + cfg.Salt)}
	f.Reset()
	f.handler = f.identify(cfg.Faults.Handler(f.authorize(f.routes()), answerStatus))
	return f
}

// Reset forgets all objects and idempotency keys. Identifiers go on and are not given twice.
func (f *Fake) Reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.customers = table.New[Customer]()
	f.products = table.New[Product]()
	f.prices = table.New[Price]()
	f.replays = newReplays(f.cfg.Now)
}

// Faults returns the set that every request is matched against.
func (f *Fake) Faults() *fault.Set { return f.cfg.Faults }

// ServeHTTP answers one API call.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.handler.ServeHTTP(w, r) }

// routes is the place where a new resource is added.
func (f *Fake) routes() http.Handler {
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
