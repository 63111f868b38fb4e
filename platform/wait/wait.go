// Package wait sleeps until a time has passed or a context ends.
package wait

import (
	"context"
	"time"
)

// For waits for d. It returns the error of ctx when that ends first, or has ended.
func For(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
