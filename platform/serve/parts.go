// Package serve holds what every Trivet process does around its services:
// read the common settings, log, measure, listen, and stop in order.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// Part is something that runs until its context ends.
type Part struct {
	// Name is for the log.
	Name string
	// Run returns nil after its context has ended and all that it started has stopped.
	Run func(ctx context.Context) error
}

type result struct {
	index int
	err   error
}

// Run runs the parts until ctx ends or one of them returns. Then it stops
// them in reverse order, each before the one that it was given after: what
// takes requests stops before what serves them. It returns what went wrong.
func Run(ctx context.Context, logger *slog.Logger, parts ...Part) error {
	stops := make([]context.CancelFunc, len(parts))
	results := make(chan result, len(parts))
	for i, part := range parts {
		// Each part ends when it is told to, not when ctx ends: the order matters.
		own, stop := context.WithCancel(context.WithoutCancel(ctx))
		stops[i] = stop
		go func() { results <- result{i, part.Run(own)} }()
	}
	ended := make(map[int]error, len(parts))
	var failure error
	select {
	case <-ctx.Done():
	case r := <-results:
		ended[r.index] = r.err
		failure = early(parts[r.index].Name, r.err)
		logger.ErrorContext(ctx, "a part ended before its time; stopping", slog.String("part", parts[r.index].Name), slog.Any("error", r.err))
	}
	for i := len(parts) - 1; i >= 0; i-- {
		stops[i]()
		for !has(ended, i) {
			r := <-results
			ended[r.index] = r.err
		}
		if err := ended[i]; err != nil && failure == nil {
			failure = fmt.Errorf("%s: %w", parts[i].Name, err)
		}
	}
	return failure
}

func early(name string, err error) error {
	if err == nil {
		err = errors.New("it ended by itself")
	}
	return fmt.Errorf("%s: %w", name, err)
}

func has(ended map[int]error, i int) bool {
	_, ok := ended[i]
	return ok
}
