package models

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/trivet-dev/trivet/platform/smallfile"
)

// Reloader replaces the content of a price list when its file changes.
type Reloader struct {
	// Path is the file.
	Path string
	// List is the list to replace.
	List *List
	// Checks must all accept a new list.
	Checks []func(*List) error
	// Interval is how often the file is compared; 0 is never.
	Interval time.Duration
	// Now asks for a reload at once, such as by SIGHUP; may be nil.
	Now <-chan os.Signal
	// Logger tells of each reload, and of files that are refused.
	Logger *slog.Logger

	seen []byte // the content that was loaded or refused last
}

// Run watches the file until ctx ends. A file that cannot be used changes nothing.
func (r *Reloader) Run(ctx context.Context) error {
	r.seen = r.loaded()
	var tick <-chan time.Time
	if r.Interval > 0 {
		ticker := time.NewTicker(r.Interval)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
			r.reload(ctx, false)
		case <-r.Now:
			r.reload(ctx, true)
		}
	}
}

// loaded returns the content of the file that the list was loaded from; nil if the file has changed since, so that the first comparison
// finds the change.
func (r *Reloader) loaded() []byte {
	data, err := smallfile.Read(r.Path, maxFile)
	switch {
	case err != nil:
		return []byte{} // the first comparison reports it
	case sha256.Sum256(data) != r.List.Content().source:
		return nil
	}
	return data
}

// reload reads the file. Unless it is forced, a file that has not changed is left alone.
func (r *Reloader) reload(ctx context.Context, forced bool) {
	data, err := smallfile.Read(r.Path, maxFile)
	if err == nil && !forced && bytes.Equal(data, r.seen) {
		return
	}
	if err != nil && !forced && r.seen == nil { // already reported
		return
	}
	r.seen = data
	if err == nil {
		err = r.replace(data)
	}
	if err != nil {
		r.Logger.ErrorContext(ctx, "MODELS_FILE is not loaded; the earlier price list stays", slog.String("file", r.Path), slog.Any("error", err))
		return
	}
	r.Logger.InfoContext(ctx, "MODELS_FILE is loaded", slog.String("file", r.Path), slog.Int("models", len(r.List.All())))
}

func (r *Reloader) replace(data []byte) error {
	list, err := Parse(data)
	if err != nil {
		return fmt.Errorf("MODELS_FILE %s: %w", r.Path, err)
	}
	var found []error
	for _, check := range r.Checks {
		found = append(found, check(list))
	}
	if err := errors.Join(found...); err != nil {
		return err
	}
	r.List.Replace(list)
	return nil
}
