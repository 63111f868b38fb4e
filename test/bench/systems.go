package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/sandbox"
)

// target is what is measured: the bare proxy, or an installation of Trivet, which may be several processes.
type target struct {
	name   string
	url    string
	tokens []string // of one account each; the proxy takes any
	fresh  []string // of accounts that have not called yet
	pids   []int
	parts  []string // the names of the processes, if there are several
	ops    []string // the addresses of Trivet's metrics
	server int      // PostgreSQL's process; 0 if none exists
	mint   string   // where the sandbox makes tokens

	anonymous int64 // the most anonymous memory that was seen, in bytes
}

// bench is everything that runs during a comparison.
type bench struct {
	o        options
	dir      string
	upstream string
	self     string
	running  *programs
	servers  []*databasetest.Server
	targets  []*target
	// binary is the program of the system that starts.
	binary string
}

// setUp starts the upstream, the proxy and the systems that o names, each in processes of its own, so that its CPU is its own.
func setUp(ctx context.Context, o options, stderr io.Writer) (*bench, error) {
	b := &bench{o: o, running: &programs{env: os.Environ()}}
	var err error
	if b.dir, err = folder(o.dir); err != nil {
		return b, err
	}
	log, err := os.Create(filepath.Join(b.dir, "log"))
	if err != nil {
		return b, err
	}
	defer func() { _ = log.Close() }() // the programs have their own handles
	b.running.log = log
	if b.self, err = os.Executable(); err != nil {
		return b, err
	}
	if err = b.startProxy(ctx); err != nil {
		return b, b.explain(err)
	}
	for system := range strings.SplitSeq(o.systems, ",") {
		fmt.Fprintf(stderr, "starting %s\n", system)
		name, other, _ := strings.Cut(system, "@")
		b.binary = cmp.Or(other, o.binary)
		start, ok := map[string]func(context.Context) (*target, error){"sqlite": b.onSQLite, "postgres": b.onPostgres, "split": b.split}[name]
		if !ok {
			return b, fmt.Errorf("--systems: %q is unknown; name sqlite, postgres or split, separated by commas; @PROGRAM measures another program than --trivet", name)
		}
		t, err := start(ctx)
		if err != nil {
			return b, b.explain(fmt.Errorf("%s: %w", system, err))
		}
		if other != "" {
			t.name += " of " + other
		}
		if t.tokens, err = t.mintTokens(ctx, "bench", maxAccounts); err == nil {
			t.fresh, err = t.mintTokens(ctx, "once", o.once)
		}
		if err != nil {
			return b, b.explain(fmt.Errorf("%s: %w", system, err))
		}
		b.targets = append(b.targets, t)
	}
	return b, nil
}

// tearDown ends everything that setUp started.
func (b *bench) tearDown() error {
	b.running.stop()
	var failed []error
	for _, s := range b.servers {
		failed = append(failed, s.Close())
	}
	if b.dir != "" {
		failed = append(failed, os.RemoveAll(b.dir))
		_ = os.Remove(b.o.dir)
	}
	return errors.Join(failed...)
}

// explain adds the last lines that the programs wrote to an error.
func (b *bench) explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	const most = 2000
	text, readErr := os.ReadFile(filepath.Join(b.dir, "log"))
	if readErr != nil {
		return err
	}
	return fmt.Errorf("%w; the end of the log:\n%s", err, text[max(0, len(text)-most):])
}

func (b *bench) startProxy(ctx context.Context) error {
	at, err := freePorts(ctx, 2)
	if err != nil {
		return err
	}
	b.upstream = "http://" + at[0]
	if _, err = b.running.launch(nil, b.self, "upstream", at[0], strconv.Itoa(b.o.deltas)); err != nil {
		return err
	}
	proxy := &target{name: "bare proxy", url: "http://" + at[1], tokens: []string{"none"}}
	pid, err := b.running.launch(nil, b.self, "proxy", at[1], b.upstream)
	proxy.pids = []int{pid}
	b.targets = []*target{proxy}
	return err
}

func (b *bench) onSQLite(ctx context.Context) (*target, error) {
	return b.allInOne(ctx, "SQLite", "")
}

func (b *bench) onPostgres(ctx context.Context) (*target, error) {
	server, err := b.startServer("all-in-one")
	if err != nil {
		return nil, err
	}
	t, err := b.allInOne(ctx, "PostgreSQL", server.URL("postgres"))
	if err == nil {
		t.server = server.PID()
	}
	return t, err
}

// startServer starts a PostgreSQL server whose commits are durable.
func (b *bench) startServer(name string) (*databasetest.Server, error) {
	server, err := databasetest.StartServer(b.folderOf("data-"+name), true)
	if err == nil {
		b.servers = append(b.servers, server)
	}
	return server, err
}

// allInOne starts trivet dev with its settings as they are by default, but for the plan, which has no limits.
func (b *bench) allInOne(ctx context.Context, database, url string) (*target, error) {
	at, err := freePorts(ctx, 4)
	if err != nil {
		return nil, err
	}
	t := &target{name: "all-in-one, " + database, url: "http://" + at[0], ops: []string{"http://" + at[2]}, mint: "http://" + at[3]}
	env := append(b.common(), "TRIVET_HTTP_ADDR="+at[0], "TRIVET_GRPC_ADDR="+at[1], "TRIVET_OPS_ADDR="+at[2], "TRIVET_SANDBOX_ADDR="+at[3],
		"TRIVET_DATA_DIR="+b.folderOf(database), "DATABASE_URL="+url)
	pid, err := b.running.launch(env, b.binary, "dev")
	if err != nil {
		return nil, err
	}
	t.pids = []int{pid}
	return t, ready(ctx, t.ops[0]+"/readyz")
}

// folderOf returns a folder for the system that starts.
func (b *bench) folderOf(what string) string {
	return filepath.Join(b.dir, fmt.Sprintf("%s-%d", what, len(b.targets)))
}

func (b *bench) common() []string {
	return []string{
		"DEFAULT_PLAN=unlimited", "OPENAI_API_KEY=sk-bench", "OPENAI_BASE_URL=" + b.upstream + "/v1", "LOG_FORMAT=json",
		"TRIVET_PPROF=" + strconv.FormatBool(b.o.profiles != ""),
	}
}

// split starts the four processes of split mode, and the sandbox, which is not measured.
func (b *bench) split(ctx context.Context) (*target, error) {
	server, err := b.startServer("split")
	if err != nil {
		return nil, err
	}
	at, err := freePorts(ctx, 9)
	if err != nil {
		return nil, err
	}
	t := &target{name: "split, PostgreSQL", url: "http://" + at[0], mint: "http://" + at[8], server: server.PID()}
	boxEnv := []string{"TRIVET_SANDBOX_ADDR=" + at[8], "TRIVET_SANDBOX_EDGE_URL=" + t.url, "TRIVET_DATA_DIR=" + b.folderOf("sandbox")}
	if _, err := b.running.launch(boxEnv, b.binary, "sandbox"); err != nil {
		return nil, err
	}
	if err := ready(ctx, t.mint+"/healthz"); err != nil {
		return nil, err
	}
	env, err := b.splitEnv(ctx, t, at, server.URL("postgres"))
	if err != nil {
		return nil, err
	}
	for i, name := range []string{"auth", "billing", "ai", "gateway"} {
		own := append(env, "TRIVET_OPS_ADDR="+at[4+i], "TRIVET_HTTP_ADDR="+at[0])
		if name != "gateway" {
			own = append(own, "TRIVET_GRPC_ADDR="+at[1+i])
		}
		program := filepath.Join(filepath.Dir(b.binary), name)
		if name != "gateway" { // which has no store
			if err := b.running.once(ctx, own, program, "migrate"); err != nil {
				return nil, err
			}
		}
		pid, err := b.running.launch(own, program)
		if err != nil {
			return nil, err
		}
		t.pids, t.ops, t.parts = append(t.pids, pid), append(t.ops, "http://"+at[4+i]), append(t.parts, name)
	}
	for _, ops := range t.ops {
		if err := ready(ctx, ops+"/readyz"); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (b *bench) splitEnv(ctx context.Context, t *target, at []string, database string) ([]string, error) {
	made, err := exec.CommandContext(ctx, b.binary, "keys").Output() //nolint:gosec // the program to measure
	if err != nil {
		return nil, err
	}
	env := append(b.common(), "DATABASE_URL="+database,
		"TRIVET_AUTH_ADDR="+at[1], "TRIVET_BILLING_ADDR="+at[2], "TRIVET_AI_ADDR="+at[3],
		"CLERK_SECRET_KEY="+sandbox.ClerkSecretKey, "CLERK_API_URL="+t.mint+"/clerk/v1", "CLERK_WEBHOOK_SECRET="+sandbox.ClerkWebhookSecret,
		"STRIPE_SECRET_KEY="+sandbox.StripeSecretKey, "STRIPE_API_URL="+t.mint+"/stripe", "STRIPE_WEBHOOK_SECRET="+sandbox.StripeWebhookSecret)
	for line := range strings.Lines(string(made)) {
		if !strings.HasPrefix(line, "#") {
			env = append(env, strings.TrimSpace(line))
		}
	}
	probe, err := t.mintTokens(ctx, "probe", 1)
	if err != nil {
		return nil, err
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(probe[0], ".")[1])
	if err == nil {
		err = json.Unmarshal(payload, &claims)
	}
	return append(env, "CLERK_ISSUER="+claims.Issuer), err
}

// mintTokens makes sessions of different users that outlive the run.
func (t *target) mintTokens(ctx context.Context, prefix string, n int) ([]string, error) {
	tokens, failures := make([]string, n), make([]error, n)
	var minting sync.WaitGroup
	slots := make(chan struct{}, 16)
	for i := range n {
		slots <- struct{}{}
		minting.Go(func() {
			defer func() { <-slots }()
			tokens[i], failures[i] = token(ctx, t.mint+"/control/clerk/tokens", fmt.Sprintf("user_%s%d", prefix, i))
		})
	}
	minting.Wait()
	return tokens, errors.Join(failures...)
}

// token asks the sandbox for a session.
func token(ctx context.Context, url, user string) (string, error) {
	body := fmt.Appendf(nil, `{"user":%q,"ttl":"2h"}`, user)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Token string `json:"token"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Token == "" {
		return "", fmt.Errorf("the sandbox gave no token (%d): %w", response.StatusCode, err)
	}
	return answer.Token, nil
}

// spent is the CPU and memory that a target has used so far.
type spent struct {
	cpu, server time.Duration
	processes   []time.Duration // the CPU of each process
	transfers   []int64         // the system calls of each process that read or write
	allocations float64
	commits     float64
}

func (t *target) spent(ctx context.Context) (s spent, err error) {
	for _, pid := range t.pids {
		own, err := cpuOf(pid)
		if err != nil {
			return s, err
		}
		s.cpu += own
		transfers, err := transfersOf(pid)
		if err != nil {
			return s, err
		}
		s.processes = append(s.processes, own)
		s.transfers = append(s.transfers, transfers)
	}
	if t.server != 0 {
		if s.server, err = familyCPU(t.server); err != nil {
			return s, err
		}
	}
	for _, ops := range t.ops {
		r, err := read(ctx, ops)
		if err != nil {
			return s, err
		}
		made, _ := r.sum("go_memstats_mallocs_total")
		s.allocations += made
		commits, _ := r.sum("trivet_database_commit_duration_seconds_count")
		s.commits += commits
	}
	return s, nil
}

// watchMemory notes the most anonymous memory until stop is called.
func (t *target) watchMemory() (stop func()) {
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			var sum int64
			for _, pid := range t.pids {
				now, err := memoryOf(pid, "RssAnon:")
				if err != nil {
					return // it has ended; the run fails by itself
				}
				sum += now
			}
			t.anonymous = max(t.anonymous, sum)
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	return func() {
		close(done)
		watching.Wait()
	}
}
