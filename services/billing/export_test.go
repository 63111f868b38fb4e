package billing

import "context"

// FinishReplacements runs one round of the background work.
func (s *Service) FinishReplacements(ctx context.Context) error {
	return s.checkout.FinishReplacements(ctx)
}
