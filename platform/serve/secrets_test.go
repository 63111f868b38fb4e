package serve_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/platformtest"
	"github.com/trivet-dev/trivet/platform/serve"
)

// followed is a file of a secret that is followed.
type followed struct {
	path    string
	log     platformtest.Log
	hangup  chan os.Signal
	refuses atomic.Pointer[error]
	reloads atomic.Int64
}

func (f *followed) write(t *testing.T, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(f.path, []byte(content), 0o600))
}

// follow runs test in a bubble beside the part that follows the file.
func follow(t *testing.T, interval time.Duration, test func(t *testing.T, f *followed)) {
	t.Helper()
	f := &followed{path: filepath.Join(t.TempDir(), "secret")}
	f.write(t, "whsec_first")
	synctest.Test(t, func(t *testing.T) {
		f.hangup = make(chan os.Signal)
		files := &serve.SecretFiles{
			Get: func(name string) string { return map[string]string{"STRIPE_WEBHOOK_SECRET_FILE": f.path}[name] }, Names: func() []string { return []string{"STRIPE_WEBHOOK_SECRET", "OPENAI_API_KEY"} },
			Reload: func() error {
				f.reloads.Add(1)
				if refusal := f.refuses.Load(); refusal != nil {
					return *refusal
				}
				return nil
			},
			Interval: interval, Now: f.hangup, Logger: slog.New(slog.NewTextHandler(&f.log, nil)),
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- files.Run(ctx) }()
		synctest.Wait()
		test(t, f)
		stop()
		require.NoError(t, <-ended)
	})
	require.NotContains(t, f.log.String(), "whsec_")
}

// A change is used once, after two looks that saw the same: what was seen while the file was written is never used.
func TestSecretFilesAreFollowed(t *testing.T) {
	follow(t, time.Second, func(t *testing.T, f *followed) {
		time.Sleep(10*time.Second + time.Millisecond)
		require.Zero(t, f.reloads.Load(), "nothing changed")
		f.write(t, "whsec_sec")
		time.Sleep(time.Second)
		f.write(t, "whsec_second")
		time.Sleep(time.Second)
		require.Zero(t, f.reloads.Load(), "the file was written meanwhile")
		time.Sleep(10 * time.Second)
		require.EqualValues(t, 1, f.reloads.Load())
		require.Equal(t, 1, strings.Count(f.log.String(), `msg="the secrets were read again" changed=STRIPE_WEBHOOK_SECRET`))
	})
}

func TestSIGHUPReadsSecretsAtOnce(t *testing.T) {
	follow(t, 0, func(t *testing.T, f *followed) {
		f.write(t, "whsec_second")
		time.Sleep(time.Hour)
		require.Zero(t, f.reloads.Load())
		f.hangup <- syscall.SIGHUP
		synctest.Wait()
		require.EqualValues(t, 1, f.reloads.Load())
		require.Contains(t, f.log.String(), "changed=STRIPE_WEBHOOK_SECRET")
	})
}

// A refused change, and a file that cannot be read, are reported once; the next change is tried again.
func TestRefusedSecretsAreReportedOnce(t *testing.T) {
	follow(t, time.Second, func(t *testing.T, f *followed) {
		refusal := errors.New("is not a secret")
		f.refuses.Store(&refusal)
		require.NoError(t, os.Remove(f.path))
		time.Sleep(time.Minute)
		require.EqualValues(t, 1, f.reloads.Load())
		require.Equal(t, 1, strings.Count(f.log.String(), "level=ERROR"))
		f.refuses.Store(nil)
		f.write(t, "whsec_second")
		time.Sleep(time.Minute)
		require.EqualValues(t, 2, f.reloads.Load())
	})
}
