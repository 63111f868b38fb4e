package telemetry_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/telemetry"
)

// sink notes each write.
type sink struct {
	mu     sync.Mutex
	writes []string
	err    error
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes = append(s.writes, string(p))
	return len(p), s.err
}

func (s *sink) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.writes)
}

func (s *sink) all() string { return strings.Join(s.got(), "") }

func TestLinesWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		lines := telemetry.NewLines(s)
		log := telemetry.NewLogger(lines, telemetry.Config{Format: "text"})
		log.Info("before")
		require.Len(t, s.got(), 1, "nothing waits before Hold")

		lines.Hold()
		log.Info("one")
		time.Sleep(99 * time.Millisecond)
		log.Info("two")
		require.Len(t, s.got(), 1)
		time.Sleep(time.Millisecond)
		synctest.Wait()
		require.Len(t, s.got(), 2, "both at once, 100 ms after the first")
		require.Contains(t, s.got()[1], "msg=one")
		require.Contains(t, s.got()[1], "msg=two")

		log.Info("three")
		log.With("a", "b").WithGroup("g").Warn("four")
		require.Len(t, s.got(), 3, "a warning waits for nobody")
		require.Less(t, strings.Index(s.got()[2], "three"), strings.Index(s.got()[2], "four"), "the order stays")
		time.Sleep(time.Second)
		synctest.Wait()
		require.Len(t, s.got(), 3)

		log.Info("five")
		lines.Release()
		log.Info("six")
		require.Len(t, s.got(), 5, "nothing waits after Release")
		lines.Flush()
		require.Len(t, s.got(), 5)
	})
}

func TestLinesAreBounded(t *testing.T) {
	s := &sink{}
	lines := telemetry.NewLines(s)
	lines.Hold()
	line := bytes.Repeat([]byte("x"), 1000)
	for range 100 {
		n, err := lines.Write(line)
		require.NoError(t, err)
		require.Equal(t, 1000, n)
	}
	require.GreaterOrEqual(t, len(s.all()), 100*1000-32<<10)
	long := bytes.Repeat([]byte("y"), 100_000)
	_, err := lines.Write(long)
	require.NoError(t, err)
	require.Equal(t, strings.Repeat("x", 100_000)+string(long), s.all(), "in order")
	for _, w := range s.got()[:len(s.got())-1] {
		require.LessOrEqual(t, len(w), 32<<10)
	}
	s.err = errors.New("disk full")
	_, _ = lines.Write(line)
	lines.Release()
	_, err = lines.Write(line)
	require.ErrorContains(t, err, "disk full")
}

func TestNoLineIsLostOrTorn(t *testing.T) {
	s := &sink{}
	lines := telemetry.NewLines(s)
	log := telemetry.NewLogger(lines, telemetry.Config{})
	lines.Hold()
	var writing sync.WaitGroup
	for i := range 8 {
		writing.Go(func() {
			for j := range 500 {
				level := slog.LevelInfo
				if j%100 == 0 {
					level = slog.LevelError
				}
				log.Log(t.Context(), level, "line", "name", fmt.Sprintf("%d-%d", i, j))
			}
		})
	}
	writing.Wait()
	lines.Release()
	seen := map[string]bool{}
	for line := range strings.Lines(s.all()) {
		name, ok := decode(t, []byte(line))["name"].(string)
		require.True(t, ok)
		seen[name] = true
	}
	require.Len(t, seen, 8*500)
}
