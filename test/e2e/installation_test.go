// Package e2e drives all of Trivet through real HTTP, as programs started
// from the built binaries: all-in-one, and split into four processes.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/platformtest"
	standin "github.com/trivet-dev/trivet/sandbox"
)

// programs is the folder of the built binaries, made once.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "trivet-e2e-")
	if err != nil {
		return "", err
	}
	// TRIVET_TEST_TAGS builds checked programs, see make test-calls.
	cmd := exec.Command("go", "build", "-tags", os.Getenv("TRIVET_TEST_TAGS"), "-o", dir+"/", "./cmd/trivet", "./gateway/cmd/gateway", "./services/auth/cmd/auth", "./services/ai/cmd/ai", "./services/billing/cmd/billing")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return dir, nil
})

// validator compares what clients read with the OpenAPI document.
var validator *openAPIValidator //nolint:gochecknoglobals // it is the transport of all clients of this test program

func TestMain(m *testing.M) {
	var err error
	if validator, err = newOpenAPIValidator(http.DefaultTransport); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	http.DefaultTransport = validator
	code := m.Run()
	if dir, err := programs(); err == nil {
		_ = os.RemoveAll(dir)
	}
	if !validator.report(os.Stderr) && code == 0 {
		code = 1
	}
	os.Exit(code)
}

// installation is a running Trivet with its sandbox.
type installation struct {
	t       *testing.T
	edge    string
	sandbox string
	smtp    string // the sandbox's mail server, in split mode
	ops     []string
	grpc    []string // settings that say where gRPC answers
	log     *logFile
	running []*program
	version string // the folder of its programs, if they are of another version
}

// program is a started program.
type program struct {
	*exec.Cmd
	name string
	once sync.Once
}

// logFile gathers what all programs write.
type logFile struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write adds to the log.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns all that was logged so far.
func (l *logFile) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// modes are the ways to install Trivet; every test runs in each.
var modes = map[string]func(t *testing.T, env ...string) *installation{
	"all-in-one on SQLite":     allInOne,
	"all-in-one on PostgreSQL": allInOnePostgres,
	"split on PostgreSQL":      split,
}

func inEachMode(t *testing.T, test func(t *testing.T, in *installation), env ...string) {
	t.Helper()
	for name, start := range modes {
		t.Run(name, func(t *testing.T) { test(t, start(t, env...)) })
	}
}

func allInOne(t *testing.T, env ...string) *installation {
	t.Helper()
	in := begin(t, env...)
	in.awaitReady()
	return in
}

// begin starts the all-in-one and waits only until it is alive: without a provider's keys it never gets ready.
func begin(t *testing.T, env ...string) *installation {
	t.Helper()
	p := ports(t, 4)
	in := &installation{t: t, edge: "http://" + p[0], sandbox: "http://" + p[3], ops: []string{"http://" + p[2]}, grpc: []string{"TRIVET_GRPC_ADDR=" + p[1]}, log: &logFile{}}
	in.start("trivet", []string{"dev"}, append([]string{
		"TRIVET_HTTP_ADDR=" + p[0], "TRIVET_GRPC_ADDR=" + p[1], "TRIVET_OPS_ADDR=" + p[2], "TRIVET_SANDBOX_ADDR=" + p[3],
		"TRIVET_DATA_DIR=" + t.TempDir(), "TRIVET_SANDBOX_PACE=0s", "LOG_LEVEL=debug",
	}, append(withoutProbes(), env...)...))
	in.await(in.ops[0] + "/healthz")
	return in
}

// withoutProbes turns off the calls that idle integrations get, because they would use up the faults that tests count.
func withoutProbes() []string {
	return []string{"CLERK_PROBE_INTERVAL=0s", "OPENAI_PROBE_INTERVAL=0s", "STRIPE_PROBE_INTERVAL=0s"}
}

func allInOnePostgres(t *testing.T, env ...string) *installation {
	t.Helper()
	return allInOne(t, append(env, "DATABASE_URL="+databasetest.PostgresURL(t))...)
}

func split(t *testing.T, env ...string) *installation {
	t.Helper()
	return splitWith(t, func(*installation) []string { return env })
}

// splitWith starts the four processes with settings that may depend on the running sandbox.
func splitWith(t *testing.T, settings func(in *installation) []string) *installation {
	t.Helper()
	dir, err := programs()
	require.NoError(t, err)
	made, err := exec.Command(filepath.Join(dir, "trivet"), "keys").Output()
	require.NoError(t, err)
	var keys []string
	for line := range strings.Lines(string(made)) {
		if !strings.HasPrefix(line, "#") {
			keys = append(keys, strings.TrimSpace(line))
		}
	}
	p := ports(t, 10)
	sandbox := "http://" + p[8]
	common := append([]string{
		"TRIVET_AUTH_ADDR=" + p[1], "TRIVET_AI_ADDR=" + p[2], "TRIVET_BILLING_ADDR=" + p[3], "DATABASE_URL=" + databasetest.PostgresURL(t), "LOG_LEVEL=debug",
		"CLERK_SECRET_KEY=" + standin.ClerkSecretKey, "CLERK_API_URL=" + sandbox + "/clerk/v1", "CLERK_WEBHOOK_SECRET=" + standin.ClerkWebhookSecret,
		"OPENAI_API_KEY=" + standin.OpenAIKey, "OPENAI_BASE_URL=" + sandbox + "/openai/v1",
		"STRIPE_SECRET_KEY=" + standin.StripeSecretKey, "STRIPE_API_URL=" + sandbox + "/stripe", "STRIPE_WEBHOOK_SECRET=" + standin.StripeWebhookSecret,
		"STRIPE_READS_PER_SECOND=10000", // the sandbox has no limit
	}, append(withoutProbes(), keys...)...)
	in := &installation{
		t: t, edge: "http://" + p[0], sandbox: sandbox, smtp: p[9], log: &logFile{},
		grpc: []string{"TRIVET_AUTH_ADDR=" + p[1], "TRIVET_BILLING_ADDR=" + p[3]},
	}
	in.start("trivet", []string{"sandbox"}, []string{"TRIVET_SANDBOX_ADDR=" + p[8], "TRIVET_SANDBOX_SMTP_ADDR=" + p[9], "TRIVET_SANDBOX_PACE=0s", "TRIVET_DATA_DIR=" + t.TempDir(), "TRIVET_SANDBOX_EDGE_URL=http://" + p[0]})
	in.await(sandbox + "/healthz")
	common = append(common, "CLERK_ISSUER="+in.issuer())
	common = append(common, settings(in)...)
	for _, name := range []string{"auth", "ai", "billing"} {
		in.once(name, []string{"migrate"}, append(common, "TRIVET_GRPC_ADDR=127.0.0.1:0", "TRIVET_OPS_ADDR=127.0.0.1:0"))
	}
	for i, name := range []string{"auth", "ai", "billing"} {
		in.ops = append(in.ops, "http://"+p[4+i])
		in.start(name, nil, append(common, "TRIVET_GRPC_ADDR="+p[1+i], "TRIVET_OPS_ADDR="+p[4+i]))
	}
	in.ops = append(in.ops, "http://"+p[7])
	in.start("gateway", nil, append(common, "TRIVET_HTTP_ADDR="+p[0], "TRIVET_OPS_ADDR="+p[7]))
	in.awaitReady()
	return in
}

// issuer reads the issuer of the sandbox's tokens out of one.
func (in *installation) issuer() string {
	in.t.Helper()
	token := in.token("user_probe", nil)
	var claims struct {
		Issuer string `json:"iss"`
	}
	decodeSegment(in.t, strings.Split(token, ".")[1], &claims)
	return claims.Issuer
}

func (in *installation) command(name string, args, env []string) *exec.Cmd {
	in.t.Helper()
	dir := in.version
	if dir == "" {
		built, err := programs()
		require.NoError(in.t, err)
		dir = built
	}
	cmd := exec.Command(filepath.Join(dir, name), args...)
	cmd.Dir = in.t.TempDir()
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir}, env...)
	cmd.Stdout, cmd.Stderr = in.log, in.log
	return cmd
}

func (in *installation) once(name string, args, env []string) {
	in.t.Helper()
	require.NoError(in.t, in.command(name, args, env).Run(), "%s %v: %s", name, args, in.log)
}

// start runs a program until the test ends; it must then end well by itself.
func (in *installation) start(name string, args, env []string) *program {
	in.t.Helper()
	validator.expect()
	p := &program{Cmd: in.command(name, args, env), name: name}
	require.NoError(in.t, p.Start())
	in.running = append(in.running, p)
	in.t.Cleanup(func() {
		p.end(in.t)
		if in.t.Failed() && p == in.running[0] { // the last to end
			in.t.Logf("log of all programs:\n%s", last(in.log.String(), 12000))
		}
	})
	return p
}

// stop ends all programs, the last started first, as an operator would.
func (in *installation) stop() {
	in.t.Helper()
	for _, p := range slices.Backward(in.running) {
		p.end(in.t)
	}
}

func (p *program) end(t *testing.T) {
	t.Helper()
	p.once.Do(func() {
		_ = p.Process.Signal(syscall.SIGTERM)
		ended := make(chan error, 1)
		go func() { ended <- p.Wait() }()
		select {
		case err := <-ended:
			if err != nil && p.ProcessState.ExitCode() != -1 {
				t.Errorf("%s ended badly: %v", p.name, err)
			}
		case <-time.After(40 * time.Second):
			_ = p.Process.Kill()
			t.Errorf("%s did not stop when told to", p.name)
		}
	})
}

func last(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

func (in *installation) awaitReady() {
	in.t.Helper()
	for _, ops := range in.ops {
		in.await(ops + "/readyz")
	}
}

func (in *installation) await(url string) {
	in.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		response, err := http.Get(url)
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			in.t.Fatalf("%s is not healthy after 2 minutes: %v\n%s", url, err, in.log)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func ports(t *testing.T, n int) []string {
	t.Helper()
	return platformtest.Addresses(t, n)
}

// token makes a session token of the sandbox; extra holds further fields, such as "org".
func (in *installation) token(user string, extra map[string]any) string {
	in.t.Helper()
	ask := map[string]any{"user": user, "ttl": "10m"}
	for k, v := range extra {
		ask[k] = v
	}
	var answer struct {
		Token string `json:"token"`
	}
	in.control(http.MethodPost, "/control/clerk/tokens", ask, &answer)
	require.NotEmpty(in.t, answer.Token)
	return answer.Token
}

// control calls the sandbox's control API.
func (in *installation) control(method, path string, body, into any) {
	in.t.Helper()
	raw, err := json.Marshal(body)
	require.NoError(in.t, err)
	request, err := http.NewRequestWithContext(in.t.Context(), method, in.sandbox+path, bytes.NewReader(raw))
	require.NoError(in.t, err)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	require.NoError(in.t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(in.t, err)
	require.Less(in.t, response.StatusCode, 300, "%s %s: %s", method, path, text)
	if into != nil {
		require.NoError(in.t, json.Unmarshal(text, into), "%s", text)
	}
}

// answer is an HTTP answer, read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
	err    error // what ended the body early
}

// call sends one request to the edge.
func (in *installation) call(ctx context.Context, method, path, token, body string) answer {
	in.t.Helper()
	return in.callAs(ctx, method, path, token, "application/json", body)
}

// callAs is call with a body of that Content-Type.
func (in *installation) callAs(ctx context.Context, method, path, token, kind, body string) answer {
	in.t.Helper()
	request, err := http.NewRequestWithContext(ctx, method, in.edge+path, strings.NewReader(body))
	require.NoError(in.t, err)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		request.Header.Set("Content-Type", kind)
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(in.t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return answer{status: response.StatusCode, header: response.Header, body: text, err: err}
}

func (in *installation) get(path, token string, into any) {
	in.t.Helper()
	a := in.call(in.t.Context(), http.MethodGet, path, token, "")
	require.Equal(in.t, http.StatusOK, a.status, "%s: %s", path, a.body)
	require.NoError(in.t, json.Unmarshal(a.body, into), "%s", a.body)
}

func (in *installation) post(path, token, body string, into any) {
	in.t.Helper()
	a := in.call(in.t.Context(), http.MethodPost, path, token, body)
	require.Equal(in.t, http.StatusOK, a.status, "%s: %s", path, a.body)
	require.NoError(in.t, json.Unmarshal(a.body, into), "%s", a.body)
}

// account is what the edge shows of an account; JSON writes 64-bit numbers as text.
type account struct {
	ID        string `json:"id"`
	Plan      string `json:"planId"`
	Balance   int64  `json:"balanceNanoUsd,string"`
	Held      int64  `json:"heldNanoUsd,string"`
	Available int64  `json:"availableNanoUsd,string"`
	Usage     struct {
		Requests int64 `json:"requests,string"`
		Cost     int64 `json:"costNanoUsd,string"`
	} `json:"periodUsage"`
}

func (in *installation) account(token string) account {
	in.t.Helper()
	var a struct {
		Account account `json:"account"`
	}
	in.get("/api/v1/billing/account", token, &a)
	return a.Account
}

// upstream is what the sandbox's OpenAI counted.
type upstream struct {
	Calls            int64 `json:"calls"`
	Chunks           int64 `json:"chunks"`
	PromptTokens     int64 `json:"prompt_tokens"`
	CompletionTokens int64 `json:"completion_tokens"`
	Cancelled        int64 `json:"cancelled"`
}

func (in *installation) upstream() upstream {
	in.t.Helper()
	var u upstream
	in.control(http.MethodGet, "/control/openai/stats", nil, &u)
	return u
}

func (in *installation) fault(fields map[string]any) {
	in.t.Helper()
	fields["provider"] = "openai"
	in.control(http.MethodPost, "/control/faults", fields, nil)
}

// readAll reads an answer's body.
func readAll(t *testing.T, response *http.Response) string {
	t.Helper()
	raw, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return string(raw)
}
