package serve

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/platform/mutual"
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

// secretsPart follows the files of secrets until ctx ends, and reads them at once on SIGHUP. A change since read is noticed.
func (h *Host) secretsPart(read *FileStates, names func() []string, reload func() error) Part {
	return Part{Name: "secrets", Run: func(ctx context.Context) error {
		hangup, stop := hangups(ctx)
		defer stop()
		first := read.of(names())
		files := &SecretFiles{
			Get: read.get, Names: names, Reload: reload, Interval: h.Settings.SecretReload, Now: hangup, Logger: h.Logger, used: first, looked: first,
		}
		return files.Run(ctx)
	}}
}

// FollowSecrets adds to a process the part that follows the files of its secrets. T is the struct of the settings that use them; use gets it
// with their new values. more returns the names of further settings that hold secrets; it may be nil.
func FollowSecrets[T any](p *Process, more func() []string, use func(T) error) error {
	names := p.trustNames
	if more != nil {
		names = func() []string { return append(more(), p.trustNames()...) }
	}
	part, err := SecretsOf(p.Host, p.files, p.modes, names, use, p.rotateTrust)
	if err != nil {
		return err
	}
	p.Add(part)
	return nil
}

// SecretsOf is the part that FollowSecrets adds, for settings that were read after the states of their files. further reads other secrets
// again. Secrets that are invalid leave those of the other parts rotating.
func SecretsOf[T any](h *Host, read *FileStates, modes []string, more func() []string, use func(T) error, further ...func() error) (Part, error) {
	var zero T
	own, err := settings.SecretNames(zero, AlertSettings{}, tracing.Settings{}, mutual.Settings{})
	if err != nil {
		return Part{}, err
	}
	own = append(own, mutual.Names()...)
	names := func() []string { return append(more(), own...) }
	return h.secretsPart(read, names, func() error {
		var fresh T
		wrong := settings.Load(read.get, &fresh, modes...)
		if wrong == nil {
			wrong = use(fresh)
		}
		found := []error{wrong, h.rotateOwn(read.get)}
		for _, rotate := range further {
			found = append(found, rotate())
		}
		return errors.Join(found...)
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
