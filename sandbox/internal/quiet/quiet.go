// Package quiet marks requests whose changes emit no events, so that a reconciliation has something to find.
package quiet

import "context"

type key struct{}

// With returns a context whose requests change objects without events.
func With(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, true) }

// Is reports whether the changes of a request emit no events.
func Is(ctx context.Context) bool { return ctx.Value(key{}) != nil }
