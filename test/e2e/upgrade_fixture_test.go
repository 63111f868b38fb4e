package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/skip"
)

// oldVersion is the commit whose databases and statements are in testdata/upgrade: the last one before the work on operations began (metrics,
// alerts, backups, replicas, upgrades). Its programs run beside those of today in TestUpgradeBesideOldPrograms.
const oldVersion = "66672d3026e153a9dbe889b63521a7613b373822"

var upgradeData = filepath.Join("testdata", "upgrade")

// upgradeFacts is what the fixture's makers knew of it.
type upgradeFacts struct {
	APIKey string // of user_alice
	Held   string // whose hold was open when the process was killed
}

// oldPrograms builds the programs of oldVersion from the history.
func oldPrograms(t *testing.T) (source, programs string) {
	t.Helper()
	root := filepath.Join("..", "..")
	archive := exec.CommandContext(t.Context(), "git", "archive", oldVersion)
	archive.Dir = root
	packed, err := archive.Output()
	skip.Unless(t, "The programs of the old version", err, "run `git fetch --unshallow`: the history must have the commit "+oldVersion)
	source, programs = t.TempDir(), t.TempDir()
	unpack := exec.CommandContext(t.Context(), "tar", "x", "-C", source)
	unpack.Stdin = bytes.NewReader(packed)
	require.NoError(t, unpack.Run())
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", programs+"/", "./cmd/trivet", "./gateway/cmd/gateway", "./services/auth/cmd/auth", "./services/ai/cmd/ai", "./services/billing/cmd/billing")
	build.Dir = source
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return source, programs
}

// TestMakeUpgradeFixture makes testdata/upgrade from the history, with TRIVET_WRITE_FIXTURE=1.
func TestMakeUpgradeFixture(t *testing.T) {
	if os.Getenv("TRIVET_WRITE_FIXTURE") == "" {
		return
	}
	source, programs := oldPrograms(t)
	writeStatements(t, source)
	folder := t.TempDir()
	makeOldData(t, programs, "sqlite://"+folder, "sqlite.json")
	for _, service := range []string{"auth", "billing"} {
		whole := filepath.Join(t.TempDir(), service+".db")
		out, err := exec.CommandContext(t.Context(), "sqlite3", filepath.Join(folder, service+".db"), "VACUUM INTO '"+whole+"'").CombinedOutput() // with what is in the log
		require.NoError(t, err, "%s", out)
		packFile(t, whole, filepath.Join(upgradeData, service+".db.gz"))
	}
	url := databasetest.PostgresURL(t)
	makeOldData(t, programs, url, "postgres.json")
	dump, err := exec.CommandContext(t.Context(), "pg_dump", "--inserts", "--no-owner", "--no-comments", "--schema=auth", "--schema=billing", url).Output()
	require.NoError(t, err)
	commands := regexp.MustCompile(`(?m)^\\.*\n`) // of psql, which newer versions add
	whole := filepath.Join(t.TempDir(), "postgres.sql")
	require.NoError(t, os.WriteFile(whole, commands.ReplaceAll(dump, nil), 0o600))
	packFile(t, whole, filepath.Join(upgradeData, "postgres.sql.gz"))
}

// makeOldData lets the old version fill a database through its API, and kills it.
func makeOldData(t *testing.T, programs, url, facts string) {
	t.Helper()
	in := oldInstallation(t, programs, url)
	alice, operator := in.token("user_alice", nil), in.token("user_operator", nil)
	var key struct{ Secret string }
	in.post("/api/v1/apiKeys", alice, `{"name":"old","spendLimitNanoUsd":"1000000000"}`, &key)
	for _, token := range []string{alice, key.Secret, in.token("user_boss", map[string]any{"org": "org_acme", "role": "admin"})} {
		for range 3 {
			in.post("/v1/chat/completions", token, question, &struct{}{})
		}
	}
	in.post("/api/v1/billing/grants", operator, `{"accountId":"user_alice","amountNanoUsd":"7000000000","source":"gift"}`, &struct{}{})
	in.token("user_rude", nil) // makes the user
	in.clerk(http.MethodPost, "/users/user_rude/ban", "")
	in.stripeSubscriptions()
	w := newEventMaker(in)
	c := newSender(in.edge)
	require.NoError(t, c.deliverAll(t.Context(), w.events(t, 10)))
	audit{t: t, url: url}.awaitDrained()
	in.control(http.MethodPost, "/control/faults", map[string]any{"provider": "stripe", "kind": "status", "status": 500}, nil)
	require.NoError(t, c.deliverAll(t.Context(), w.events(t, 5)))
	in.control(http.MethodPost, "/control/webhooks/send", map[string]any{"provider": "stripe", "raw": `{"type": "user.upd`}, &struct{}{})
	in.holdOpen("user_held")
	in.kill()
	raw, err := json.Marshal(upgradeFacts{APIKey: key.Secret, Held: "user_held"})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(upgradeData, facts), append(raw, '\n'), 0o600))
}

// oldInstallation starts the old version's sandbox and program on a database.
func oldInstallation(t *testing.T, programs, url string) *installation {
	t.Helper()
	p := ports(t, 4)
	in := &installation{t: t, edge: "http://" + p[0], sandbox: "http://" + p[3], ops: []string{"http://" + p[2]}, log: &logFile{}, version: programs}
	validator.except(p[0])
	in.start("trivet", []string{"dev"}, append([]string{
		"TRIVET_HTTP_ADDR=" + p[0], "TRIVET_GRPC_ADDR=" + p[1], "TRIVET_OPS_ADDR=" + p[2], "TRIVET_SANDBOX_ADDR=" + p[3], "TRIVET_SANDBOX_PACE=0s",
		"TRIVET_DATA_DIR=" + t.TempDir(), "DATABASE_URL=" + url, "TRIVET_OPERATORS=user_operator,user_op", "LOG_LEVEL=warn",
		"CLERK_RECONCILE_INTERVAL=0", "STRIPE_RECONCILE_INTERVAL=0", "TRIVET_INBOX_RETRY_BASE=1h",
	}, withoutProbes()...))
	in.awaitReady()
	return in
}

// stripeSubscriptions makes subscribers at Stripe, which webhooks tell Trivet.
func (in *installation) stripeSubscriptions() {
	in.t.Helper()
	create := func(path string, body map[string]any) string {
		raw, err := providers{in.sandbox}.change(in.t.Context(), false, "stripe", http.MethodPost, path, body)
		require.NoError(in.t, err)
		var made struct{ Body, ID json.RawMessage }
		require.NoError(in.t, json.Unmarshal(raw, &made), "%s", raw)
		return strings.Trim(string(made.ID), `"`)
	}
	product := create("/v1/products", map[string]any{"name": "Old plan"})
	price := create("/v1/prices", map[string]any{"product": product, "currency": "usd", "unit_amount": 2000, "recurring": map[string]any{"interval": "month"}})
	in.control(http.MethodPost, "/control/stripe/customers", map[string]any{"count": 3, "prefix": "Subscriber ", "price": price}, nil)
}

// holdOpen leaves a call in the middle of its stream, past a checkpoint.
func (in *installation) holdOpen(user string) {
	in.t.Helper()
	in.control(http.MethodPatch, "/control/openai/settings", map[string]any{"pace_ms": 20, "reply_tokens": 5000}, nil)
	request, err := http.NewRequestWithContext(in.t.Context(), http.MethodPost, in.edge+"/v1/chat/completions",
		strings.NewReader(`{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"Continue."}]}`))
	require.NoError(in.t, err)
	token := in.token(user, nil)
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	require.NoError(in.t, err)
	in.t.Cleanup(func() { _ = response.Body.Close() })
	lines := bufio.NewScanner(response.Body)
	for seen := 0; seen < 200 && lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "data: ") {
			seen++
		}
	}
	require.Positive(in.t, in.account(token).Held)
}

// packFile compresses a file.
func packFile(t *testing.T, from, to string) {
	t.Helper()
	raw, err := os.ReadFile(from)
	require.NoError(t, err)
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	require.NoError(t, err)
	_, err = w.Write(raw)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, os.WriteFile(to, packed.Bytes(), 0o600))
}

// unpack is the opposite of packFile.
func unpack(t *testing.T, name string) []byte {
	t.Helper()
	file, err := os.Open(filepath.Join(upgradeData, name))
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	r, err := gzip.NewReader(file)
	require.NoError(t, err)
	raw, err := io.ReadAll(r)
	require.NoError(t, err)
	return raw
}

// statement is one that the old version sends to a service's store.
type statement struct{ Service, Name, SQL string }

var generatedSQL = regexp.MustCompile("(?s)const \\w+ = `-- name: (\\w+) :\\w+\n(.*?)`")

// writeStatements keeps the statements that sqlc had generated for the old version.
func writeStatements(t *testing.T, source string) {
	t.Helper()
	var all []statement
	for _, service := range []string{"auth", "billing"} {
		files, err := filepath.Glob(filepath.Join(source, "services", service, "internal/store/db/*.sql.go"))
		require.NoError(t, err)
		for _, file := range files {
			raw, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, found := range generatedSQL.FindAllStringSubmatch(string(raw), -1) {
				all = append(all, statement{service, found[1], found[2]})
			}
		}
	}
	require.Greater(t, len(all), 100)
	var raw bytes.Buffer
	encoder := json.NewEncoder(&raw)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	require.NoError(t, encoder.Encode(all))
	require.NoError(t, os.WriteFile(filepath.Join(upgradeData, "statements.json"), raw.Bytes(), 0o600))
}
