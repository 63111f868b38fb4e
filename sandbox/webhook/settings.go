package webhook

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// The defaults and bounds of [Settings].
const (
	defaultConcurrency = 8
	maxConcurrency     = 64
	maxDelay           = time.Hour
	maxWindow          = 10_000
)

// Settings control the speed of a [Sender] and its faults. The zero value delivers everything at once and retries in
// real time.
type Settings struct {
	// Paused holds all deliveries back. [Sender.Flush] sends them anyway.
	Paused bool
	// RetryScale scales the delays before retries: 0.001 turns an hour into 3.6 seconds. Zero means 1.
	RetryScale float64
	// Concurrency is how many requests run at once, 1 to 64; zero means 8. One keeps the order of the events.
	Concurrency int
	// Seed makes the random faults below reproducible. Every change of the settings restarts the random sequence.
	Seed uint64
	// Types narrows the faults below to these types of events; empty means all.
	Types []string
	// LoseNext loses that many of the next deliveries, LoseFraction this share of the others, 0 to 1.
	LoseNext     int
	LoseFraction float64
	// DoubleNext sends that many of the next deliveries twice, DoubleFraction this share of the others, 0 to 1.
	DoubleNext     int
	DoubleFraction float64
	// Delay is waited before the first attempt, at most one hour.
	Delay time.Duration
	// Shuffle collects that many deliveries, at most 10,000, and lets them go in random order; a window that stays
	// incomplete goes after 2 seconds. Zero keeps the order.
	Shuffle int
}

// Validate returns an error that names the first invalid field.
func (s Settings) Validate() error {
	switch {
	case s.RetryScale < 0 || s.RetryScale > 1 || math.IsNaN(s.RetryScale):
		return fmt.Errorf("retry_scale must be more than 0 and at most 1, got %v", s.RetryScale)
	case s.Concurrency < 0 || s.Concurrency > maxConcurrency:
		return fmt.Errorf("concurrency must be 1 to %d, got %d", maxConcurrency, s.Concurrency)
	case s.LoseNext < 0 || s.DoubleNext < 0:
		return errors.New("lose_next and double_next must not be negative")
	case !isShare(s.LoseFraction) || !isShare(s.DoubleFraction):
		return errors.New("lose_fraction and double_fraction must be 0 to 1")
	case s.Delay < 0 || s.Delay > maxDelay:
		return fmt.Errorf("delay_ms must be 0 to %d", maxDelay.Milliseconds())
	case s.Shuffle < 0 || s.Shuffle > maxWindow:
		return fmt.Errorf("shuffle must be 0 to %d", maxWindow)
	}
	return nil
}

func isShare(f float64) bool { return f >= 0 && f <= 1 }

// filled has the defaults in the place of zeros.
func (s Settings) filled() Settings {
	if s.RetryScale == 0 {
		s.RetryScale = 1
	}
	if s.Concurrency == 0 {
		s.Concurrency = defaultConcurrency
	}
	return s
}

// calm is the settings without what goes wrong.
func (s Settings) calm() Settings {
	return Settings{RetryScale: s.RetryScale, Concurrency: s.Concurrency, Seed: s.Seed}
}

func (s Settings) strikes(kind string) bool {
	return len(s.Types) == 0 || slices.Contains(s.Types, kind)
}
