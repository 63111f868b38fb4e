package models_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/models"
)

// lines collects a log that is written and read at the same time.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

const oneModel = `models: {a: {kind: embedding, provider: x, context_tokens: 10, input: "1"}}`

func TestReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "models.yaml")
	write := func(text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
	write(oneModel)
	list, err := models.Load(path)
	require.NoError(t, err)
	price := func() int64 {
		m, err := list.Get("a")
		require.NoError(t, err)
		return m.InputPrice
	}
	var refusal atomic.Pointer[error]
	refuse := func(err error) { refusal.Store(&err) }
	refuse(nil)
	synctest.Test(t, func(t *testing.T) {
		var log lines
		hangup := make(chan os.Signal, 1)
		reloader := &models.Reloader{
			Path: path, List: list, Interval: 5 * time.Second, Now: hangup, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Checks: []func(*models.List) error{func(*models.List) error { return *refusal.Load() }},
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- reloader.Run(ctx) }()
		tick := func() { time.Sleep(5 * time.Second); synctest.Wait() }
		tick()
		require.Empty(t, log.String(), "the file has not changed")

		write(strings.Replace(oneModel, `"1"`, `"2"`, 1))
		before := list.Content()
		tick()
		require.EqualValues(t, 2_000_000_000, price())
		require.NotSame(t, before, list.Content())

		write("models: {a: {kind: other}}")
		before = list.Content()
		tick()
		require.Same(t, before, list.Content(), "a bad file changes nothing")
		require.Contains(t, log.String(), "line 1: model a: kind must")
		seen := len(log.String())
		tick()
		require.Len(t, log.String(), seen, "a bad file is reported once")

		refuse(errors.New("a key is not set"))
		write(strings.Replace(oneModel, `"1"`, `"3"`, 1))
		tick()
		require.Same(t, before, list.Content())
		require.Contains(t, log.String(), "a key is not set")
		refuse(nil)
		tick()
		require.Same(t, before, list.Content(), "the same file is not read again by itself")
		hangup <- syscall.SIGHUP
		synctest.Wait()
		require.EqualValues(t, 3_000_000_000, price(), "a signal reads it again")

		require.NoError(t, os.Remove(path))
		seen = len(log.String())
		tick()
		tick()
		require.EqualValues(t, 3_000_000_000, price(), "a missing file changes nothing")
		require.Equal(t, 1, strings.Count(log.String()[seen:], "level=ERROR"), "and is reported once")
		write(oneModel)
		tick()
		require.EqualValues(t, 1_000_000_000, price())
		stop()
		require.NoError(t, <-ended)
	})
}

func TestReloadOnlyBySignal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "models.yaml")
	require.NoError(t, os.WriteFile(path, []byte(oneModel), 0o600))
	list, err := models.Load(path)
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) {
		hangup := make(chan os.Signal, 1)
		reloader := &models.Reloader{Path: path, List: list, Now: hangup, Logger: slog.New(slog.DiscardHandler)}
		go func() { _ = reloader.Run(t.Context()) }()
		synctest.Wait()
		before := list.Content()
		require.NoError(t, os.WriteFile(path, []byte(strings.Replace(oneModel, `"1"`, `"2"`, 1)), 0o600))
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Same(t, before, list.Content())
		hangup <- syscall.SIGHUP
		synctest.Wait()
		require.NotSame(t, before, list.Content())
	})
}

// A file that changes or disappears after it was loaded, and before it is followed, is noticed.
func TestReloadAfterAChangeDuringTheStart(t *testing.T) {
	changed := strings.Replace(oneModel, `"1"`, `"2"`, 1)
	for name, tc := range map[string]struct {
		content string // "" for no file
		price   int64
		log     string
	}{
		"no change":    {oneModel, 1_000_000_000, ""},
		"a change":     {changed, 2_000_000_000, "MODELS_FILE is loaded"},
		"a wrong file": {"models: {}", 1_000_000_000, "the earlier price list stays"},
		"no file":      {"", 1_000_000_000, "the earlier price list stays"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "models.yaml")
			require.NoError(t, os.WriteFile(path, []byte(oneModel), 0o600))
			list, err := models.Load(path)
			require.NoError(t, err)
			require.NoError(t, os.Remove(path))
			if tc.content != "" {
				require.NoError(t, os.WriteFile(path, []byte(tc.content), 0o600))
			}
			synctest.Test(t, func(t *testing.T) {
				var log lines
				reloader := &models.Reloader{Path: path, List: list, Interval: time.Second, Logger: slog.New(slog.NewTextHandler(&log, nil))}
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- reloader.Run(ctx) }()
				time.Sleep(time.Minute)
				synctest.Wait()
				stop()
				require.NoError(t, <-ended)
				if tc.log == "" {
					require.Empty(t, log.String())
				} else {
					require.Equal(t, 1, strings.Count(log.String(), "msg="), log.String())
					require.Contains(t, log.String(), tc.log)
				}
			})
			m, err := list.Get("a")
			require.NoError(t, err)
			require.Equal(t, tc.price, m.InputPrice)
		})
	}
}
