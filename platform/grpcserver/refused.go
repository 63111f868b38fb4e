package grpcserver

import (
	"context"

	"github.com/trivet-dev/trivet/platform/passport"
)

// RefusalObserver is an implementation of a service that learns of calls that the server refuses on its behalf although their caller is
// known: because the caller may not make them, or because a field is invalid.
type RefusalObserver interface {
	// CallRefused must not block. The request is nil where it was not read.
	CallRefused(ctx context.Context, claims *passport.Claims, fullMethod string, request any, err error)
}

// refused tells the service of a call that is refused, and returns err.
func (m *method) refused(ctx context.Context, claims *passport.Claims, request any, err error) error {
	if m.observer != nil && claims != nil {
		m.observer.CallRefused(ctx, claims, m.name, request, err)
	}
	return err
}

// invalid is refused for a caller whose claims are in the context.
func (m *method) invalid(ctx context.Context, request any, err error) error {
	claims, _ := passport.FromContext(ctx)
	return m.refused(ctx, claims, request, err)
}
