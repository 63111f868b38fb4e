package allinone

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver of PostgreSQL
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/tracing/tracingtest"
)

// canaryPattern finds the canaries and their names, session tokens and passports.
var canaryPattern = regexp.MustCompile(`(?i)canary-[a-z]+|eyJ[\w-]{8,}\.eyJ[\w-]{8,}|tvt_(?:test|live)_[\w-]{20,}`)

// found are the canaries in a text, by name, with a piece of the text around the first of each.
func (a *aviary) found(text string) map[string]string {
	found := map[string]string{}
	for _, at := range canaryPattern.FindAllStringIndex(text, -1) {
		name := strings.ToLower(text[at[0]:min(at[1], at[0]+24)])
		if _, known := found[name]; !known {
			found[name] = text[max(0, at[0]-300):min(len(text), at[1]+100)]
		}
	}
	for name, secret := range a.encoded() {
		if at := strings.Index(text, secret); at >= 0 {
			found[name] = text[max(0, at-200):min(len(text), at+100)]
		}
	}
	return found
}

// encoded are the forms of secrets in which the word canary cannot be seen.
func (a *aviary) encoded() map[string]string {
	all := map[string]string{
		"the internal secret in base64": base64.StdEncoding.EncodeToString(a.secret.internal), "the internal secret in hex": hex.EncodeToString(a.secret.internal),
		"the passport key in base64": base64.StdEncoding.EncodeToString(a.secret.passports.Seed()), "the passport key in hex": hex.EncodeToString(a.secret.passports.Seed()),
		"the passport key": string(a.secret.passports.Seed()),
	}
	for setting, value := range a.settings {
		all[setting] = value
		all[setting+" without whsec_"] = strings.TrimPrefix(value, "whsec_")
	}
	return all
}

// read reads a page of the ops address.
func (a *aviary) read(path string) string {
	a.t.Helper()
	response, err := http.Get("http://" + a.system.opsAddr + path) //nolint:noctx // ends with the test
	require.NoError(a.t, err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(a.t, err)
	return string(body)
}

// changeLevel changes the level of the log while the process runs.
func (a *aviary) changeLevel(level string) {
	a.t.Helper()
	request, err := http.NewRequestWithContext(a.t.Context(), http.MethodPut, "http://"+a.system.opsAddr+"/loglevel", strings.NewReader(`{"level":"`+level+`"}`))
	require.NoError(a.t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(a.t, err)
	require.NoError(a.t, response.Body.Close())
	require.Equal(a.t, http.StatusOK, response.StatusCode)
}

// mayHold are the columns that may hold canaries, the pattern of those, and why.
var mayHold = map[string]struct{ pattern, why string }{
	"auth.app_user.primary_email":   {"canary-mail", "the directory of users"},
	"auth.app_user.emails":          {"canary-mail", "the directory of users"},
	"auth.user_email.address":       {"canary-mail", "operators find users by their addresses"},
	"auth.inbox_payload.payload":    {"canary-mail|canary-mailbody|canary-name", "a received webhook, until it is processed or its retention ends"},
	"billing.inbox_payload.payload": {"canary-mail|canary-mailbody|canary-name", "a received webhook, until it is processed or its retention ends"},
	"auth.users.primary_email":      {"canary-mail", "the view of app_user"},
	"auth.users.emails":             {"canary-mail", "the view of app_user"},
	"auth.user_emails.address":      {"canary-mail", "the view of user_email"},
}

// stored compares every value of every table of all services with what it may hold, and returns how many values it read.
func (a *aviary) stored(open func(service string) *sql.DB) (values int) {
	for _, service := range []string{"auth", "ai", "billing"} {
		db := open(service)
		for _, table := range tables(a.t, db) {
			values += a.rows(db, service+"."+table, `SELECT * FROM "`+table+`"`)
		}
		require.NoError(a.t, db.Close())
	}
	return values
}

// rows compares the values of a table, and returns how many it read.
func (a *aviary) rows(db *sql.DB, table, query string) (values int) {
	rows, err := db.QueryContext(context.Background(), query)
	require.NoError(a.t, err)
	defer func() { require.NoError(a.t, rows.Close()) }()
	columns, err := rows.Columns()
	require.NoError(a.t, err)
	for rows.Next() {
		row, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			into[i] = &row[i]
		}
		require.NoError(a.t, rows.Scan(into...))
		for i, value := range row {
			values++
			if raw, ok := value.([]byte); ok {
				value = string(raw)
			}
			a.judge(table+"."+columns[i], fmt.Sprint(value))
		}
	}
	require.NoError(a.t, rows.Err())
	return values
}

// judge reports a stored value that holds what its column may not.
func (a *aviary) judge(column, value string) {
	for name, around := range a.found(value) {
		allowed, ok := mayHold[column]
		if !ok || !regexp.MustCompile("^(?:"+allowed.pattern+")$").MatchString(name) {
			a.t.Errorf("%s holds %s: %q", column, name, around)
			continue
		}
		a.expected++
	}
}

func tables(t *testing.T, db *sql.DB) (names []string) {
	t.Helper()
	rows, err := db.QueryContext(context.Background(), `SELECT name FROM sqlite_master WHERE type = 'table'`)
	if err != nil {
		rows, err = db.QueryContext(context.Background(), `SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()`)
	}
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		names = append(names, name)
	}
	require.NoError(t, rows.Err())
	require.NotEmpty(t, names)
	return names
}

// search looks for canaries wherever something left the process.
func (a *aviary) search() {
	a.t.Helper()
	a.collector.Await(a.t, func(all []tracingtest.Span) bool { return len(all) > 0 })
	var spans strings.Builder
	for _, s := range a.collector.Await(a.t, func([]tracingtest.Span) bool { return true }) {
		spans.WriteString(s.Raw + "\n")
	}
	require.NotEmpty(a.t, spans.String())
	for place, text := range map[string]string{"the log": a.log.String(), "the metrics": a.read("/metrics"), "/readyz": a.read("/readyz"), "the traces": spans.String()} {
		for name, around := range a.found(text) {
			a.t.Errorf("%s shows %s: …%s…", place, name, around)
		}
	}
	require.NotEmpty(a.t, a.refused)
	for _, c := range modelCalls(a.t) {
		require.Positive(a.t, a.answered[c.path], "some calls of %s must reach a model with the prompt", c.path)
	}
	for _, answer := range a.refused {
		for name, around := range a.found(answer) {
			if name != canaryPrompt { // the caller's own request
				a.t.Errorf("an answer shows %s: …%s…", name, around)
			}
		}
	}
}

// misbehave drives every path while the providers misbehave in some ways.
func (a *aviary) misbehave(turn string, modes ...misbehavior) {
	for n, mode := range modes {
		a.behave(mode)
		a.everybodyCalls()
		a.webhooks(fmt.Sprintf("%s%d", turn, n))
	}
	a.behave(works)
	a.panics.Store(true)
	a.everybodyCalls()
	a.panics.Store(false)
}

func TestCanaries(t *testing.T) {
	t.Run("SQLite, the level changes while it runs", func(t *testing.T) {
		dir := t.TempDir()
		a := newAviary(t, map[string]string{"TRIVET_DATA_DIR": dir, "LOG_LEVEL": "warn"})
		a.misbehave("warn", refuses)
		a.changeLevel("debug")
		a.misbehave("debug", works, refuses, echoes, fails, redirects, garbles, breaks, regrets)
		require.Contains(t, a.log.String(), "level=DEBUG")
		a.search()
		values := a.stored(func(service string) *sql.DB {
			db, err := sql.Open("sqlite", filepath.Join(dir, service+".db"))
			require.NoError(t, err)
			return db
		})
		require.Positive(t, a.expected, "the search must find what some columns may hold")
		t.Logf("answers of %d paths, %d error answers, %d stored values", len(a.answered), len(a.refused), values)
	})
	t.Run("PostgreSQL, which fails", func(t *testing.T) {
		server := databasetest.NewServer(t, false)
		address := server.NewDatabase(t) + "&password=canary-password"
		a := newAviary(t, map[string]string{"DATABASE_URL": address, "LOG_LEVEL": "debug", "LOG_FORMAT": "json"})
		a.misbehave("postgres", works, fails)
		server.Stop()
		a.everybodyCalls()
		a.webhooks("outage")
		require.NoError(t, server.Start())
		a.search()
		values := a.stored(func(service string) *sql.DB {
			db, err := sql.Open("pgx", address+"&search_path="+service)
			require.NoError(t, err)
			return db
		})
		require.Positive(t, a.expected, "the search must find what some columns may hold")
		t.Logf("answers of %d paths, %d error answers, %d stored values", len(a.answered), len(a.refused), values)
	})
}
