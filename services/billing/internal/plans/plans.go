// Package plans reads the plan file, and keeps the plans' versions in memory.
package plans

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/platform/smallfile"
)

//go:embed plans.yaml
var embedded []byte

// Interval is how often a price is charged.
type Interval string

// The intervals; packs are charged Once.
const (
	Month Interval = "month"
	Year  Interval = "year"
	Once  Interval = ""
)

// Offer is one version of a plan or of a pack, as Stripe sells it.
type Offer struct {
	// Plan and Pack: one of the two is set.
	Plan *Plan
	Pack *Pack
	// Current is true for the version that is on sale.
	Current bool
	// Prices are Stripe's ids of its prices.
	Prices map[Interval]string
}

// Catalog has the plans of the file and, once plans were applied to Stripe, all versions of them. It is safe for concurrent use.
type Catalog struct {
	file     File
	data     []byte
	fallback string
	now      atomic.Pointer[content]
}

// content is what a catalog has at a moment. It is immutable.
type content struct {
	plans  []Plan
	packs  []Pack
	byID   map[string]Plan
	byRef  map[string]Plan
	prices map[string]Sale
	offers []Offer
	// revision is that of what was applied.
	revision int64
}

// Sale is what a price of Stripe's sells.
type Sale struct {
	Offer
	Interval Interval
}

// Load reads the plans of the file PLANS_FILE, or the embedded ones when path is "". fallback is DEFAULT_PLAN, the plan
// of a new account. known lists the models of the price list. The error names every mistake with its plan and field.
func Load(path, fallback string, known []string) (*Catalog, error) {
	data, source := embedded, "the built-in plans"
	if path != "" {
		var err error
		source = path
		if data, err = smallfile.Read(path, maxFile); err != nil {
			return nil, settings.Invalid("PLANS_FILE", err.Error(), "name a readable YAML file")
		}
	}
	file, err := Parse(data, known)
	if err != nil {
		return nil, settings.Invalid("PLANS_FILE", fmt.Sprintf("%s: %v", source, err), "")
	}
	c := &Catalog{file: file, data: data, fallback: fallback}
	c.Set(nil)
	if _, ok := c.Get(fallback); !ok {
		return nil, settings.Invalid("DEFAULT_PLAN", fmt.Sprintf("%q is not a plan", fallback), fmt.Sprintf("choose one of %s (%s)", strings.Join(ids(file.Plans), ", "), source))
	}
	return c, nil
}

// Source returns the text of the plan file.
func (c *Catalog) Source() []byte { return c.data }

// Update replaces what was applied by a revision, unless a later one is there: of two readers, the slower one may have read the earlier revision.
func (c *Catalog) Update(revision int64, offers []Offer) {
	n := c.contentOf(offers)
	n.revision = revision
	for {
		present := c.now.Load()
		if revision < present.revision || c.now.CompareAndSwap(present, n) {
			return
		}
	}
}

// Set replaces what was applied. Without an applied plan, the plans are those of the file.
func (c *Catalog) Set(offers []Offer) { c.now.Store(c.contentOf(offers)) }

func (c *Catalog) contentOf(offers []Offer) *content {
	n := &content{byID: map[string]Plan{}, byRef: map[string]Plan{}, prices: map[string]Sale{}, offers: offers}
	for _, o := range offers {
		switch {
		case o.Plan != nil:
			if n.byRef[o.Plan.Ref()] = *o.Plan; o.Current {
				n.plans = append(n.plans, *o.Plan)
			}
		case o.Pack != nil && o.Current:
			n.packs = append(n.packs, *o.Pack)
		}
		for interval, price := range o.Prices {
			n.prices[price] = Sale{Offer: o, Interval: interval}
		}
	}
	if len(n.plans) == 0 {
		n.plans, n.packs = c.file.Plans, c.file.Packs
	}
	for _, p := range n.plans {
		n.byID[p.ID] = p
	}
	return n
}

// Get returns a plan by id, in its newest version, or by the reference of a version.
func (c *Catalog) Get(ref string) (Plan, bool) {
	n := c.now.Load()
	if p, ok := n.byRef[ref]; ok {
		return p, true
	}
	id, version := ParseRef(ref)
	if version != 0 {
		return Plan{}, false
	}
	p, ok := n.byID[id]
	return p, ok
}

// Default returns the plan of a new account. When the plans that were applied lack it, because DEFAULT_PLAN has changed since, it is that of
// the file.
func (c *Catalog) Default() Plan {
	if p, ok := c.Get(c.fallback); ok {
		return p
	}
	at := slices.IndexFunc(c.file.Plans, func(p Plan) bool { return p.ID == c.fallback })
	return c.file.Plans[at] // Load has found it there
}

// DefaultID returns the id of the plan of a new account.
func (c *Catalog) DefaultID() string { return c.fallback }

// OnSale returns the plans that are not internal, in the order of the file.
func (c *Catalog) OnSale() []Plan {
	return slices.DeleteFunc(slices.Clone(c.now.Load().plans), func(p Plan) bool { return p.Internal })
}

// Packs returns the packs on sale, in the order of the file.
func (c *Catalog) Packs() []Pack { return slices.Clone(c.now.Load().packs) }

// ByPrice returns what a price of Stripe's sells.
func (c *Catalog) ByPrice(id string) (Sale, bool) {
	s, ok := c.now.Load().prices[id]
	return s, ok
}

// OfferOf returns the version of a plan or a pack that is on sale at Stripe.
func (c *Catalog) OfferOf(planID, packID string) (Offer, bool) {
	for _, o := range c.now.Load().offers {
		if o.Current && (o.Plan != nil && planID != "" && o.Plan.ID == planID || o.Pack != nil && packID != "" && o.Pack.ID == packID) {
			return o, true
		}
	}
	return Offer{}, false
}

// Offers returns all versions that were applied, in the order in which they were made.
func (c *Catalog) Offers() []Offer { return slices.Clone(c.now.Load().offers) }

func ids(all []Plan) []string {
	out := make([]string, 0, len(all))
	for _, p := range all {
		out = append(out, p.ID)
	}
	return out
}
