package offers

import (
	"context"
	"fmt"
	"slices"
)

// run is one Apply.
type run struct {
	*Applier
	// wanted are the offers of the file. They get the versions that they become.
	wanted  []Row
	stored  []Row
	catalog Catalog
	dry     bool
	changes []Change
	// keep renews the lease.
	keep func(context.Context) error
}

func (r *run) all(ctx context.Context) (err error) {
	if r.stored, err = r.Store.Offers(ctx); err != nil {
		return err
	}
	if r.catalog, err = r.Store.Catalog(ctx); err != nil {
		return err
	}
	if mode := r.Provider.Mode(); r.catalog.Mode != "" && r.catalog.Mode != mode {
		return &ModeError{Applied: r.catalog.Mode, Key: mode}
	}
	if err := r.mayRemove(ctx); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{r.versions, r.sell, r.portal, r.switchOver, r.retire} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// hold has the run renew its lease before each step.
func (r *run) hold(keep func(context.Context) error) {
	o := r.Options
	o.Provider = kept{Provider: o.Provider, keep: keep}
	r.Applier, r.keep = New(o), keep
}

// do makes a change, unless the run is dry.
func (r *run) do(ctx context.Context, change func() error) error {
	if r.dry {
		return nil
	}
	if err := r.keep(ctx); err != nil {
		return err
	}
	return change()
}

// mayRemove refuses to remove a plan that accounts are on.
func (r *run) mayRemove(ctx context.Context) error {
	for _, old := range r.stored {
		if old.Kind != KindPlan || old.State != Current || r.wants(old) {
			continue
		}
		n, err := r.Store.AccountsOnPlan(ctx, old.ID)
		if err != nil {
			return err
		}
		if n > 0 {
			return &InUseError{PlanID: old.ID, Accounts: n}
		}
	}
	return nil
}

func (r *run) wants(old Row) bool {
	return slices.ContainsFunc(r.wanted, func(w Row) bool { return w.key() == old.key() })
}

// versions decides which version each offer of the file is, and writes the new ones.
func (r *run) versions(ctx context.Context) error {
	for i := range r.wanted {
		w := &r.wanted[i]
		var current *Row
		newest := int64(0)
		for j := range r.stored {
			s := &r.stored[j]
			if s.key() != w.key() {
				continue
			}
			newest = max(newest, s.Version)
			if s.State == Current {
				current = s
			}
			if s.State != Past && s.same(*w) && (w.Version == 0 || s.State == Current) {
				position := w.Position
				*w = *s
				w.Position = position
			}
		}
		if current == nil || !current.same(*w) {
			r.changes = append(r.changes, diff(current, *w)...)
		}
		if w.Version != 0 {
			continue
		}
		w.Version = newest + 1
		if err := r.do(ctx, func() error { return r.Store.InsertOffer(ctx, *w, r.Now()) }); err != nil {
			return err
		}
	}
	return nil
}

// sell makes the products and prices of the offers.
func (r *run) sell(ctx context.Context) error {
	for i := range r.wanted {
		w := &r.wanted[i]
		name, taxCode, prices, err := w.prices()
		if err != nil {
			return err
		}
		if len(prices) == 0 {
			continue
		}
		if err := r.product(ctx, Product{ID: w.productID(), Name: name, TaxCode: taxCode, Active: true}, w.State == Current); err != nil {
			return err
		}
		if err := r.prices(ctx, w, prices); err != nil {
			return err
		}
	}
	return nil
}

// product makes a product as it is wanted. A difference at Stripe is a change only when the version is on sale already.
func (r *run) product(ctx context.Context, want Product, onSale bool) error {
	have, found, err := r.Provider.Product(ctx, want.ID)
	switch {
	case err != nil:
		return err
	case !found:
		if onSale {
			r.changes = append(r.changes, Change{Kind: Create, ID: "product:" + want.ID})
		}
		return r.do(ctx, func() error { return r.Provider.CreateProduct(ctx, want) })
	case have == want:
		return nil
	}
	if onSale {
		r.changes = append(r.changes, Change{Kind: Update, ID: "product:" + want.ID, Field: "name", Before: have.Name, After: want.Name})
	}
	return r.do(ctx, func() error { return r.Provider.UpdateProduct(ctx, want) })
}

// prices finds or makes the prices of a version.
func (r *run) prices(ctx context.Context, w *Row, wanted []Price) error {
	keys := make([]string, 0, len(wanted))
	for _, p := range wanted {
		keys = append(keys, p.LookupKey)
	}
	have, err := r.Provider.PricesByKey(ctx, keys)
	if err != nil {
		return err
	}
	made := *w
	for i, want := range wanted {
		id, err := r.price(ctx, want, have, w.State == Current)
		if err != nil {
			return err
		}
		if want.Interval == "year" {
			made.YearPrice = id
		} else {
			made.MonthPrice = id
		}
		wanted[i].ID = id
	}
	if made.MonthPrice == w.MonthPrice && made.YearPrice == w.YearPrice {
		return nil
	}
	*w = made
	return r.do(ctx, func() error { return r.Store.SetOfferPrices(ctx, made) })
}

func (r *run) price(ctx context.Context, want Price, all []Price, onSale bool) (id string, err error) {
	at := slices.IndexFunc(all, func(p Price) bool { return p.LookupKey == want.LookupKey })
	if at < 0 {
		if onSale {
			r.changes = append(r.changes, Change{Kind: Create, ID: "price:" + want.LookupKey})
		}
		err := r.do(ctx, func() error {
			made, err := r.Provider.CreatePrice(ctx, want)
			id = made.ID
			return err
		})
		return id, err
	}
	have := all[at]
	if have.Product != want.Product || have.Cents != want.Cents || have.Interval != want.Interval || have.TaxBehavior != want.TaxBehavior {
		return "", fmt.Errorf("the lookup key %s belongs to the price %s, which is another price: remove the key from it in Stripe's dashboard", want.LookupKey, have.ID)
	}
	if have.Active {
		return have.ID, nil
	}
	if onSale {
		r.changes = append(r.changes, Change{Kind: Update, ID: "price:" + want.LookupKey, Field: "active", Before: "false", After: "true"})
	}
	return have.ID, r.do(ctx, func() error { return r.Provider.SetPriceActive(ctx, have.ID, true) })
}

// portal makes the configuration of the portal.
func (r *run) portal(ctx context.Context) error {
	if r.catalog.Portal != "" {
		exists, err := r.Provider.PortalExists(ctx, r.catalog.Portal)
		if err != nil || exists {
			return err
		}
	}
	r.changes = append(r.changes, Change{Kind: Create, ID: "portal"})
	return r.do(ctx, func() (err error) {
		if r.catalog.Portal, err = r.Provider.FindPortal(ctx); err != nil || r.catalog.Portal != "" {
			return err
		}
		r.catalog.Portal, err = r.Provider.CreatePortal(ctx)
		return err
	})
}

// switchOver puts the versions of the file on sale, all at once.
func (r *run) switchOver(ctx context.Context) error {
	var changed []Row
	for _, old := range r.stored {
		w := r.now(old)
		switch {
		case w != nil && (old.State != Current || old.Position != w.Position):
			w.State = Current
			changed = append(changed, *w)
		case w == nil && old.State != Past:
			if old.State == Current && !r.wants(old) {
				r.changes = append(r.changes, Change{Kind: Archive, ID: old.key()})
			}
			old.State = Past
			changed = append(changed, old)
		}
	}
	for i := range r.wanted {
		w := &r.wanted[i]
		if !slices.ContainsFunc(r.stored, func(s Row) bool { return s.key() == w.key() && s.Version == w.Version }) {
			w.State = Current
			changed = append(changed, *w)
		}
	}
	if len(changed) == 0 && len(r.changes) == 0 {
		return nil
	}
	r.catalog.Mode = r.Provider.Mode()
	return r.do(ctx, func() error { return r.Store.SwitchOffers(ctx, changed, r.catalog) })
}

// now returns the wanted offer that equals a stored version, or nil.
func (r *run) now(old Row) *Row {
	for i := range r.wanted {
		if r.wanted[i].key() == old.key() && r.wanted[i].Version == old.Version {
			return &r.wanted[i]
		}
	}
	return nil
}

// retire makes the prices of past versions inactive at Stripe, and products without a version on sale. Subscriptions keep their prices.
func (r *run) retire(ctx context.Context) error {
	if r.dry {
		return nil
	}
	stored, err := r.Store.Offers(ctx)
	if err != nil {
		return err
	}
	for _, old := range stored {
		if old.State != Past || !old.Active {
			continue
		}
		if err := r.retireOne(ctx, old); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) retireOne(ctx context.Context, old Row) error {
	name, taxCode, prices, err := old.prices()
	if err != nil {
		return err
	}
	keys := make([]string, 0, len(prices))
	for _, p := range prices {
		keys = append(keys, p.LookupKey)
	}
	if len(keys) > 0 {
		have, err := r.Provider.PricesByKey(ctx, keys)
		if err != nil {
			return err
		}
		for _, p := range have {
			if p.Active {
				if err := r.do(ctx, func() error { return r.Provider.SetPriceActive(ctx, p.ID, false) }); err != nil {
					return err
				}
			}
		}
		if !r.wants(old) {
			if err := r.archive(ctx, Product{ID: old.productID(), Name: name, TaxCode: taxCode}); err != nil {
				return err
			}
		}
	}
	return r.do(ctx, func() error { return r.Store.SetOfferInactive(ctx, old) })
}

func (r *run) archive(ctx context.Context, p Product) error {
	have, found, err := r.Provider.Product(ctx, p.ID)
	if err != nil || !found || !have.Active {
		return err
	}
	have.Active = false
	return r.do(ctx, func() error { return r.Provider.UpdateProduct(ctx, have) })
}
