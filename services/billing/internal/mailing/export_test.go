package mailing

import (
	"context"

	"github.com/trivet-dev/trivet/services/billing/internal/notices"
)

// Outdated reports whether what a notice says stopped being true.
func (m *Mailer) Outdated(ctx context.Context, n notices.Notice) (bool, error) {
	return m.outdated(ctx, n)
}
