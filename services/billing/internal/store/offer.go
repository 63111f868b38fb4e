package store

import (
	"context"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/offers"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

var _ offers.Store = (*Store)(nil)

// Offers reads all versions of plans and packs; see offers.Store.
func (s *Store) Offers(ctx context.Context) ([]offers.Row, error) {
	rows, err := s.read.ListOffers(ctx)
	out := make([]offers.Row, 0, len(rows))
	for _, r := range rows {
		out = append(out, offers.Row{
			Kind: r.Kind, ID: r.ID, Version: r.Version, Position: r.Position, Spec: r.Spec, State: r.State,
			MonthPrice: r.MonthPrice, YearPrice: r.YearPrice, Active: r.Active,
		})
	}
	return out, translate(err)
}

// Catalog reads what was applied last; see offers.Store.
func (s *Store) Catalog(ctx context.Context) (offers.Catalog, error) {
	row, err := s.read.GetCatalog(ctx)
	return offers.Catalog{Revision: row.Revision, Mode: row.Mode, Portal: row.Portal}, translate(err)
}

// InsertOffer writes a new version; see offers.Store.
func (s *Store) InsertOffer(ctx context.Context, r offers.Row, at time.Time) error {
	return s.write(ctx, catalogKey, func(ctx context.Context, q *db.Queries) error {
		return q.InsertOffer(ctx, db.InsertOfferParams{
			Kind: r.Kind, ID: r.ID, Version: r.Version, Position: r.Position, Spec: r.Spec, CreateTime: at.UnixMicro(),
		})
	})
}

// SetOfferPrices writes the ids of a version's prices; see offers.Store.
func (s *Store) SetOfferPrices(ctx context.Context, r offers.Row) error {
	return s.write(ctx, catalogKey, func(ctx context.Context, q *db.Queries) error {
		return q.SetOfferPrices(ctx, db.SetOfferPricesParams{
			MonthPrice: r.MonthPrice, YearPrice: r.YearPrice, Kind: r.Kind, ID: r.ID, Version: r.Version,
		})
	})
}

// SwitchOffers puts versions on sale; see offers.Store.
func (s *Store) SwitchOffers(ctx context.Context, rows []offers.Row, c offers.Catalog) error {
	return translate(s.db.Write(ctx, catalogKey, func(ctx context.Context, t database.Tx) error {
		q := db.New(t)
		for _, r := range rows {
			if err := q.SetOfferState(ctx, db.SetOfferStateParams{
				State: r.State, Position: r.Position, Kind: r.Kind, ID: r.ID, Version: r.Version,
			}); err != nil {
				return err
			}
		}
		return q.BumpCatalog(ctx, db.BumpCatalogParams{Mode: c.Mode, Portal: c.Portal})
	}))
}

// SetOfferInactive notes that a version's prices are inactive at Stripe; see offers.Store.
func (s *Store) SetOfferInactive(ctx context.Context, r offers.Row) error {
	return s.write(ctx, catalogKey, func(ctx context.Context, q *db.Queries) error {
		return q.SetOfferInactive(ctx, db.SetOfferInactiveParams{Kind: r.Kind, ID: r.ID, Version: r.Version})
	})
}

// AccountsOnPlan counts accounts on any version of a plan; see offers.Store.
func (s *Store) AccountsOnPlan(ctx context.Context, planID string) (int64, error) {
	n, err := s.read.CountAccountsOnPlan(ctx, db.CountAccountsOnPlanParams{PlanID: planID, Versions: planID + "@"})
	return n, translate(err)
}

// catalogKey orders the writes of an apply.
const catalogKey = "catalog"
