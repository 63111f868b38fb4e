// Package quiet marks requests whose changes nobody is told of: they leave no event, so that a reconciliation has
// something to find.
package quiet

import "context"

type key struct{}

// With returns a context whose requests change objects without events.
func With(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, true) }

// Is tells whether a request's changes are to be kept quiet.
func Is(ctx context.Context) bool { return ctx.Value(key{}) != nil }
