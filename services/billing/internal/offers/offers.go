// Package offers applies the plan file to Stripe: it makes a product for each plan and pack and prices for each version, and keeps the
// versions in the store. A version and its prices are never edited.
package offers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/job"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

// Kinds of offers.
const (
	KindPlan = "plan"
	KindPack = "pack"
)

// States of a version.
const (
	// Applying means that not all prices may exist yet.
	Applying = "applying"
	// Current means that it is on sale.
	Current = "current"
	// Past means that it is off sale. Existing subscriptions keep it.
	Past = "past"
)

// Row is one version in the store.
type Row struct {
	Kind, ID string
	Version  int64
	// Position is the place in the plan file.
	Position int64
	// Spec is the version as JSON.
	Spec  []byte
	State string
	// MonthPrice and YearPrice are ids of prices; a pack has the first only.
	MonthPrice, YearPrice string
	// Active tells whether its prices may still be active at Stripe.
	Active bool
}

func (r Row) key() string { return r.Kind + ":" + r.ID }

// Catalog is what was applied last.
type Catalog struct {
	// Revision grows with each change.
	Revision int64
	// Mode is "live" or "test"; "" before the first apply.
	Mode string
	// Portal is the id of the portal's configuration.
	Portal string
}

// Store keeps the versions.
type Store interface {
	// Offers reads all versions, by their place in the file.
	Offers(ctx context.Context) ([]Row, error)
	// Catalog reads what was applied last.
	Catalog(ctx context.Context) (Catalog, error)
	// InsertOffer writes a new version in the state Applying.
	InsertOffer(ctx context.Context, r Row, at time.Time) error
	// SetOfferPrices writes the ids of the prices.
	SetOfferPrices(ctx context.Context, r Row) error
	// SwitchOffers writes the states and places of versions, and begins a new revision, in one transaction.
	SwitchOffers(ctx context.Context, rows []Row, c Catalog) error
	// SetOfferInactive notes that the prices of a version are inactive at Stripe.
	SetOfferInactive(ctx context.Context, r Row) error
	// AccountsOnPlan counts accounts on any version of a plan, up to 1000.
	AccountsOnPlan(ctx context.Context, planID string) (int64, error)
}

// Product is a product at Stripe.
type Product struct {
	ID, Name, TaxCode string
	Active            bool
}

// Price is a price at Stripe.
type Price struct {
	ID, Product, LookupKey string
	Cents                  int64
	Interval               plans.Interval
	TaxBehavior            string
	Active                 bool
	Metadata               map[string]string
}

// Provider makes products and prices. Calls that change something are idempotent by key; their errors are those of package outcome.
type Provider interface {
	// Mode is "live" or "test".
	Mode() string
	// Product reads a product; false for an unknown id.
	Product(ctx context.Context, id string) (Product, bool, error)
	CreateProduct(ctx context.Context, p Product) error
	UpdateProduct(ctx context.Context, p Product) error
	// PricesByKey reads the prices with these lookup keys.
	PricesByKey(ctx context.Context, keys []string) ([]Price, error)
	CreatePrice(ctx context.Context, p Price) (Price, error)
	SetPriceActive(ctx context.Context, id string, active bool) error
	// PortalExists tells whether there is a configuration of the portal.
	PortalExists(ctx context.Context, id string) (bool, error)
	// FindPortal returns the active configuration that CreatePortal made in an earlier run; "" for none.
	FindPortal(ctx context.Context) (id string, err error)
	// CreatePortal makes a configuration of the portal: cards, tax ids, invoices and cancelling, but no change of plan.
	CreatePortal(ctx context.Context) (id string, err error)
}

// ErrBusy is returned while another apply is running, and for at most Lease after its process has died.
var ErrBusy = job.ErrBusy

// InvalidError says why a plan file cannot be applied.
type InvalidError struct{ Err error }

// Error lists the mistakes.
func (e *InvalidError) Error() string { return e.Err.Error() }

// Unwrap returns the mistakes.
func (e *InvalidError) Unwrap() error { return e.Err }

// InUseError says that a plan cannot be removed.
type InUseError struct {
	PlanID   string
	Accounts int64
}

// Error says which plan, and how many accounts.
func (e *InUseError) Error() string {
	return fmt.Sprintf("the plan %s is not in the file, and %d accounts are on it", e.PlanID, e.Accounts)
}

// ModeError says that the key is of the other mode than the one with which the plans were applied.
type ModeError struct{ Applied, Key string }

// Error names both modes.
func (e *ModeError) Error() string {
	return fmt.Sprintf("the plans were applied with a %s key, and STRIPE_SECRET_KEY is a %s key", e.Applied, e.Key)
}

// Options holds the dependencies of an Applier.
type Options struct {
	Database *database.DB
	Store    Store
	Provider Provider
	Catalog  *plans.Catalog
	// Models lists the models of the price list.
	Models []string
	Now    func() time.Time
	// Alone says that no other process uses the database.
	Alone bool
}

// Applier applies plan files.
type Applier struct{ Options }

// New makes an Applier.
func New(o Options) *Applier { return &Applier{o} }

const jobName = "apply plans"

// Apply makes Stripe and the store match a plan file and returns what it changed; with dry it only lists the changes. It can be stopped
// at any moment: the next Apply completes it, after the lease of a process that died. Errors: *InvalidError, *InUseError, *ModeError, ErrBusy,
// job.ErrLost, those of package outcome.
func (a *Applier) Apply(ctx context.Context, data []byte, dry bool) ([]Change, error) {
	file, err := a.parse(data)
	if err != nil {
		return nil, &InvalidError{err}
	}
	wanted, err := rowsOf(file)
	if err != nil {
		return nil, err
	}
	r := &run{Applier: a, wanted: wanted, dry: dry}
	if dry {
		err = r.all(ctx)
		return r.changes, err
	}
	err = job.Run(ctx, a.Database, jobName, job.Options{Lease: Lease, Now: a.Now, Alone: a.Alone}, func(ctx context.Context, h *job.Holder) error {
		r.hold(h.Keep)
		return r.all(ctx)
	})
	if err != nil {
		return r.changes, err
	}
	return r.changes, a.Load(ctx)
}

// parse reads a file and checks what the file alone cannot show.
func (a *Applier) parse(data []byte) (plans.File, error) {
	file, err := plans.Parse(data, a.Models)
	if err != nil {
		return plans.File{}, err
	}
	fallback := false
	var mistakes []error
	for _, p := range file.Plans {
		fallback = fallback || p.ID == a.Catalog.DefaultID()
	}
	if !fallback {
		mistakes = append(mistakes, fmt.Errorf("the plan %q is missing: it is the plan of new accounts (DEFAULT_PLAN)", a.Catalog.DefaultID()))
	}
	return file, errors.Join(mistakes...)
}

// rowsOf returns the offers of a file.
func rowsOf(file plans.File) ([]Row, error) {
	var rows []Row
	add := func(kind, id string, spec any) error {
		body, err := json.Marshal(spec)
		rows = append(rows, Row{Kind: kind, ID: id, Position: int64(len(rows)), Spec: body, State: Applying, Active: true})
		return err
	}
	for _, p := range file.Plans {
		if err := add(KindPlan, p.ID, p); err != nil {
			return nil, err
		}
	}
	for _, p := range file.Packs {
		if err := add(KindPack, p.ID, p); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// Load reads the applied versions into the catalog.
func (a *Applier) Load(ctx context.Context) error { return Load(ctx, a.Store, a.Catalog) }

// Load reads the applied versions into a catalog, unless that has later ones. The revision is read first, so that it is not later than the versions.
func Load(ctx context.Context, store Store, into *plans.Catalog) error {
	applied, err := store.Catalog(ctx)
	if err != nil {
		return err
	}
	rows, err := store.Offers(ctx)
	if err != nil {
		return err
	}
	var offers []plans.Offer
	for _, r := range rows {
		if r.State == Applying {
			continue
		}
		o, err := r.offer()
		if err != nil {
			return err
		}
		offers = append(offers, o)
	}
	into.Update(applied.Revision, offers)
	return nil
}

func (r Row) offer() (plans.Offer, error) {
	o := plans.Offer{Current: r.State == Current, Prices: map[plans.Interval]string{}}
	if r.YearPrice != "" {
		o.Prices[plans.Year] = r.YearPrice
	}
	if r.Kind == KindPlan {
		if r.MonthPrice != "" {
			o.Prices[plans.Month] = r.MonthPrice
		}
		o.Plan = &plans.Plan{}
		err := json.Unmarshal(r.Spec, o.Plan)
		o.Plan.Version = r.Version
		return o, err
	}
	if r.MonthPrice != "" {
		o.Prices[plans.Once] = r.MonthPrice
	}
	o.Pack = &plans.Pack{}
	err := json.Unmarshal(r.Spec, o.Pack)
	o.Pack.Version = r.Version
	return o, err
}

// same tells whether two versions are equal.
func (r Row) same(o Row) bool { return bytes.Equal(r.Spec, o.Spec) }

// productID is the id of an offer's product, which Trivet chooses.
func (r Row) productID() string { return "trivet_" + r.Kind + "_" + r.ID }

// prices are what a version needs at Stripe. A lookup key always names the same version's price.
func (r Row) prices() (name, taxCode string, all []Price, err error) {
	o, err := r.offer()
	if err != nil {
		return "", "", nil, err
	}
	price := func(cents int64, behavior string, interval plans.Interval) {
		if cents == 0 {
			return
		}
		key := strings.TrimSuffix(fmt.Sprintf("trivet:%s:%s:%s", r.Kind, plans.Ref(r.ID, r.Version), interval), ":")
		all = append(all, Price{
			Product: r.productID(), LookupKey: key, Cents: cents / plans.Cent, Interval: interval, TaxBehavior: behavior, Active: true,
			Metadata: map[string]string{"trivet_offer": r.key(), "trivet_version": fmt.Sprint(r.Version)},
		})
	}
	if p := o.Plan; p != nil {
		price(p.Price, p.TaxBehavior, plans.Month)
		price(p.YearlyPrice, p.TaxBehavior, plans.Year)
		return p.Name, p.TaxCode, all, nil
	}
	price(o.Pack.Price, o.Pack.TaxBehavior, plans.Once)
	return o.Pack.Name, o.Pack.TaxCode, all, nil
}
