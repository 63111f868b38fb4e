package serve

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

type hangupKey struct{}

// WithHangups lets the process survive SIGHUP from now on. The parts that run under the returned context get the signals, also one that came
// before they run. Call it first: a SIGHUP before it ends the process.
func WithHangups(ctx context.Context) context.Context {
	early := make(chan os.Signal, 1)
	signal.Notify(early, syscall.SIGHUP)
	return context.WithValue(ctx, hangupKey{}, early)
}

// hangups returns the SIGHUPs of a part, beginning with one that came since WithHangups.
func hangups(ctx context.Context) (signals <-chan os.Signal, stop func()) {
	own := make(chan os.Signal, 1)
	signal.Notify(own, syscall.SIGHUP)
	if early, ok := ctx.Value(hangupKey{}).(chan os.Signal); ok && len(early) > 0 {
		select {
		case own <- syscall.SIGHUP:
		default: // a later one waits already
		}
	}
	return own, func() { signal.Stop(own) }
}
