package e2e

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	standin "github.com/trivet-dev/trivet/sandbox"
	"github.com/trivet-dev/trivet/sandbox/webhook"
)

// rotated are the secrets that change while the processes run, by their settings, and their files.
var rotated = map[string]string{
	"TRIVET_INTERNAL_SECRET": "shared/internal.secret", "TRIVET_PASSPORT_PUBLIC_KEYS": "shared/passport.pub", "TRIVET_PASSPORT_KEY": "private/passport.key",
	"TRIVET_API_KEY_SECRET": "private/apikey.secret", "OPENAI_API_KEY": "openai.key", "CLERK_SECRET_KEY": "clerk.key",
	"CLERK_WEBHOOK_SECRET": "clerk-webhook.secret", "STRIPE_WEBHOOK_SECRET": "stripe-webhook.secret",
}

// rotation is an installation whose secrets change under traffic.
type rotation struct {
	*installation
	dir     string
	files   map[string]string // by setting
	answers atomic.Int64

	signing sync.RWMutex      // is held while a webhook is under way
	signs   map[string]string // the secrets that the providers sign webhooks with

	mu      sync.Mutex
	refused []string
}

// Four processes change every secret of theirs without a restart, by the files' interval and by SIGHUP, and refuse no request meanwhile.
func TestSecretsRotateUnderTraffic(t *testing.T) {
	r := newRotation(t, nil)
	var key struct{ Secret string }
	owner := r.token("user_owner", nil)
	r.post("/api/v1/apiKeys", owner, `{"name":"server"}`, &key)
	stop := r.startTraffic(owner, key.Secret)

	for _, step := range []string{"add", "use", "drop"} {
		r.step("TRIVET_INTERNAL_SECRET", 4, false, func() { r.rotateKeys("internal", step) })
	}
	for step, setting := range []string{"TRIVET_PASSPORT_PUBLIC_KEYS", "TRIVET_PASSPORT_KEY", "TRIVET_PASSPORT_PUBLIC_KEYS"} {
		processes := map[string]int{"TRIVET_PASSPORT_PUBLIC_KEYS": 4, "TRIVET_PASSPORT_KEY": 1}[setting]
		r.step(setting, processes, true, func() { r.rotateKeys("passport", []string{"add", "use", "drop"}[step]) })
	}
	old, next := r.read("TRIVET_API_KEY_SECRET"), strings.Repeat("n", 32)
	r.write("TRIVET_API_KEY_SECRET", old+","+next)
	r.write("TRIVET_API_KEY_SECRET", next+","+old)
	r.write("OPENAI_API_KEY", "sk-next,"+standin.OpenAIKey)
	r.write("CLERK_SECRET_KEY", "sk_test_unknown,"+standin.ClerkSecretKey) // Clerk refuses the first
	r.rotateWebhooks("clerk", "CLERK_WEBHOOK_SECRET", "whsec_"+strings.Repeat("QUJD", 8))
	r.rotateWebhooks("stripe", "STRIPE_WEBHOOK_SECRET", "whsec_"+strings.Repeat("d", 32))

	stop()
	require.Empty(t, r.refused)
	t.Logf("%d requests and webhooks, 0 refused", r.answers.Load())
	for source, secret := range map[string]string{"clerk": standin.ClerkWebhookSecret, "stripe": standin.StripeWebhookSecret} {
		require.Equal(t, http.StatusUnauthorized, r.webhook(source, -1, secret).status, "the old secret of %s is void", source)
	}
}

// newRotation starts the processes with their secrets in files. more returns further settings with their values, which are in files, too.
func newRotation(t *testing.T, more func(in *installation) map[string]string) *rotation {
	t.Helper()
	r := &rotation{dir: t.TempDir(), files: maps.Clone(rotated), signs: map[string]string{"clerk": standin.ClerkWebhookSecret, "stripe": standin.StripeWebhookSecret}}
	r.installation = splitWith(t, func(in *installation) []string {
		in.once("trivet", []string{"keys", "--dir", r.dir}, nil)
		env := []string{"TRIVET_SECRET_RELOAD_INTERVAL=50ms"}
		if more != nil {
			for setting, value := range more(in) {
				r.files[setting] = setting
				require.NoError(t, os.WriteFile(filepath.Join(r.dir, setting), []byte(value), 0o600))
			}
		}
		for setting, file := range r.files {
			env = append(env, setting+"=", setting+"_FILE="+filepath.Join(r.dir, file))
		}
		for file, value := range map[string]string{
			"openai.key": standin.OpenAIKey, "clerk.key": standin.ClerkSecretKey, "clerk-webhook.secret": r.signs["clerk"], "stripe-webhook.secret": r.signs["stripe"],
		} {
			require.NoError(t, os.WriteFile(filepath.Join(r.dir, file), []byte(value), 0o600))
		}
		return env
	})
	return r
}

func (r *rotation) rotateKeys(key, step string) {
	r.once("trivet", []string{"keys", "rotate", key, step, "--dir", r.dir}, nil)
}

func (r *rotation) read(setting string) string {
	raw, err := os.ReadFile(filepath.Join(r.dir, r.files[setting]))
	require.NoError(r.t, err)
	return strings.TrimSpace(string(raw))
}

// write changes a secret that one process uses.
func (r *rotation) write(setting, value string) { r.writeFor(setting, value, 1) }

// writeFor changes a secret that some processes use.
func (r *rotation) writeFor(setting, value string, processes int) {
	r.t.Helper()
	r.step(setting, processes, false, func() { r.replace(setting, value) })
}

// replace writes the file of a secret.
func (r *rotation) replace(setting, value string) {
	r.t.Helper()
	path := filepath.Join(r.dir, r.files[setting])
	require.NoError(r.t, os.WriteFile(path+".tmp", []byte(value+"\n"), 0o600))
	require.NoError(r.t, os.Rename(path+".tmp", path))
}

// step changes a secret, waits until the processes that use it have read it, and gets an answer as a new caller.
func (r *rotation) step(setting string, processes int, signal bool, change func()) {
	r.t.Helper()
	before := r.readings(setting)
	change()
	if signal {
		for _, p := range r.running[1:] { // the first is the sandbox
			require.NoError(r.t, p.Process.Signal(syscall.SIGHUP))
		}
	}
	require.Eventually(r.t, func() bool { return r.readings(setting) >= before+processes }, 30*time.Second, 5*time.Millisecond, "%s: %s", setting, r.log)
	answers := r.answers.Load()
	require.Eventually(r.t, func() bool { return r.answers.Load() >= answers+4 }, 30*time.Second, time.Millisecond)
	r.note(r.send(http.MethodPost, "/v1/chat/completions", question, bearer(r.token("user_"+fmt.Sprint(answers), nil))))
}

// readings is how many processes have read a changed secret.
func (r *rotation) readings(setting string) (n int) {
	for line := range strings.Lines(r.log.String()) {
		if strings.Contains(line, "the secrets were read again") && strings.Contains(line, "changed="+setting) {
			n++
		}
	}
	return n
}

// rotateWebhooks has a provider sign with another secret, while both are accepted.
func (r *rotation) rotateWebhooks(source, setting, next string) {
	r.write(setting, next+","+r.signs[source])
	r.signing.Lock()
	r.signs[source] = next
	r.signing.Unlock()
	r.write(setting, next)
}

// startTraffic calls and sends webhooks without a pause until stop returns.
func (r *rotation) startTraffic(token, key string) (stop func()) {
	var ended atomic.Bool
	var running sync.WaitGroup
	for _, send := range []func(n int) answer{
		func(int) answer { return r.send(http.MethodGet, "/api/v1/billing/account", "", bearer(token)) },
		func(int) answer { return r.send(http.MethodPost, "/v1/chat/completions", question, bearer(key)) },
		func(n int) answer { return r.signed("clerk", n) },
		func(n int) answer { return r.signed("stripe", n) },
	} {
		running.Go(func() {
			for n := 0; !ended.Load(); n++ {
				r.note(send(n))
			}
		})
	}
	return func() { ended.Store(true); running.Wait() }
}

// signed sends an event that the provider signs as it does now.
func (r *rotation) signed(source string, n int) answer {
	r.signing.RLock()
	defer r.signing.RUnlock()
	return r.webhook(source, n, r.signs[source])
}

// webhook sends an event of a provider, signed with a secret.
func (r *rotation) webhook(source string, n int, secret string) answer {
	id := fmt.Sprintf("evt_%s_%d", source, n)
	make, sign := clerkEvent, webhook.Svix
	if source == "stripe" {
		make, sign = stripeEvent, webhook.Stripe
	}
	event, err := make(id, "unknown.kind", map[string]any{"id": "object_1", "object": "unknown"})
	if err != nil {
		return answer{err: err}
	}
	headers, err := sign([]string{secret}, id, time.Now(), event.body)
	if err != nil {
		return answer{err: err}
	}
	headers.Set("Content-Type", "application/json")
	return r.send(http.MethodPost, "/api/webhooks/"+source, string(event.body), headers)
}

func (r *rotation) send(method, path, body string, headers http.Header) answer {
	request, err := http.NewRequest(method, r.edge+path, strings.NewReader(body)) //nolint:noctx // a request that has begun is finished
	if err != nil {
		return answer{err: err}
	}
	request.Header = headers
	client := &http.Client{Timeout: time.Minute} // so that a request without an answer fails the test and does not hang it
	response, err := client.Do(request)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return answer{status: response.StatusCode, body: text, err: err}
}

// note counts an answer.
func (r *rotation) note(a answer) {
	r.answers.Add(1)
	if a.err == nil && a.status == http.StatusOK {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = append(r.refused, fmt.Sprintf("%d %s %v", a.status, a.body, a.err))
}

func bearer(credential string) http.Header {
	return http.Header{"Authorization": {"Bearer " + credential}, "Content-Type": {"application/json"}}
}
