package serve

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/platform/tracing"
)

// SecretFiles follows the files that hold secrets (NAME_FILE), so that a secret changes without a restart.
type SecretFiles struct {
	// Get finds settings.
	Get func(name string) string
	// Names are the settings that hold secrets; they may change, too.
	Names func() []string
	// Reload reads the settings again and puts the secrets in use. After an error, what refused its new secrets uses its earlier ones.
	Reload func() error
	// Interval is how often the files are compared; 0 is never.
	Interval time.Duration
	// Now asks for a reload at once, such as by SIGHUP; may be nil.
	Now    <-chan os.Signal
	Logger *slog.Logger

	used, looked map[string]string // the states that were tried last, and seen last
}

// SecretsPart follows the files of secrets until ctx ends, and reads them at once on SIGHUP.
func (h *Host) SecretsPart(get func(string) string, names func() []string, reload func() error) Part {
	first := settings.FileStates(get, names()) // before anything runs: a change from now on is noticed
	return Part{Name: "secrets", Run: func(ctx context.Context) error {
		hangup := make(chan os.Signal, 1)
		signal.Notify(hangup, syscall.SIGHUP)
		defer signal.Stop(hangup)
		files := &SecretFiles{
			Get: get, Names: names, Reload: reload, Interval: h.Settings.SecretReload, Now: hangup, Logger: h.Logger, used: first, looked: first,
		}
		return files.Run(ctx)
	}}
}

// FollowSecrets adds to a process the part that follows the files of its secrets. T is the struct of the settings that use them; use gets it
// with their new values. more returns the names of further settings that hold secrets; it may be nil.
func FollowSecrets[T any](p *Process, more func() []string, use func(T) error) error {
	part, err := SecretsOf(p.Host, p.get, p.modes, more, use)
	if err != nil {
		return err
	}
	p.Add(part)
	return nil
}

// SecretsOf is the part that FollowSecrets adds, for settings that get finds.
func SecretsOf[T any](h *Host, get func(string) string, modes []string, more func() []string, use func(T) error) (Part, error) {
	var zero T
	own, err := settings.SecretNames(zero, AlertSettings{}, tracing.Settings{})
	if err != nil {
		return Part{}, err
	}
	names := func() []string { return own }
	if more != nil {
		names = func() []string { return append(more(), own...) }
	}
	return h.SecretsPart(get, names, func() error {
		var fresh T
		if err := settings.Load(get, &fresh, modes...); err != nil {
			return err
		}
		return errors.Join(use(fresh), h.rotateOwn(get))
	}), nil
}

// Run compares the files until ctx ends. A change is used when two looks at the files have seen the same, because a file may be read while
// it is written. Now uses it at once.
func (f *SecretFiles) Run(ctx context.Context) error {
	if f.used == nil {
		f.used = settings.FileStates(f.Get, f.Names())
		f.looked = f.used
	}
	var tick <-chan time.Time
	if f.Interval > 0 {
		ticker := time.NewTicker(f.Interval)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
			seen := settings.FileStates(f.Get, f.Names())
			if !maps.Equal(seen, f.used) && maps.Equal(seen, f.looked) {
				f.reload(ctx, seen)
			}
			f.looked = seen
		case <-f.Now:
			f.reload(ctx, settings.FileStates(f.Get, f.Names()))
		}
	}
}

// reload uses what the files hold. The log names the settings, and reports each refused change once.
func (f *SecretFiles) reload(ctx context.Context, seen map[string]string) {
	var changed []string
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		if seen[name] != f.used[name] {
			changed = append(changed, name)
		}
	}
	f.used = seen
	if len(seen) == 0 {
		return
	}
	names := slog.String("changed", strings.Join(changed, ", "))
	if err := f.Reload(); err != nil {
		f.Logger.ErrorContext(ctx, "some secrets in the changed files are invalid; their previous values stay in use", names, slog.Any("error", err))
		return
	}
	f.Logger.InfoContext(ctx, "the secrets were read again", names)
}
