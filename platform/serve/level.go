package serve

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// levelPart changes the log level between LOG_LEVEL and debug at each SIGUSR1.
func (h *Host) levelPart() Part {
	return Part{Name: "log level", Run: func(ctx context.Context) error {
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGUSR1)
		defer signal.Stop(signals)
		h.level.Watch(ctx, h.Logger, signals)
		return nil
	}}
}
