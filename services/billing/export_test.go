package billing

import "context"

// FinishReplacements runs one round of the background work.
func (s *Service) FinishReplacements(ctx context.Context) error {
	return s.checkout.FinishReplacements(ctx)
}

// BuyTopUps makes the automatic top-ups that are due.
func (s *Service) BuyTopUps(ctx context.Context) error {
	return s.topUp.Run(ctx, func(context.Context) error { return nil })
}

// FollowSeats has the seats follow the members once.
func (s *Service) FollowSeats(ctx context.Context) error {
	return s.checkout.FollowSeats(ctx, func(context.Context) error { return nil })
}

// CatalogInterval is how often a replica looks for plans that another one has applied.
const CatalogInterval = catalogInterval
