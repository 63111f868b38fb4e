package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
)

// installation is all-in-one Trivet on one database, and the sandbox as the providers that it calls, each a process.
type installation struct {
	programs
	edge, ops, sandbox string
	pid                int // Trivet's
}

// install starts both, with their files in dir and Trivet's settings as they are by default. An empty database means SQLite
// in dir. Call stop, also after an error.
func install(ctx context.Context, o webhookOptions, dir, database string) (*installation, error) {
	in := &installation{}
	binary, err := filepath.Abs(o.binary)
	if err != nil {
		return in, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return in, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return in, err
	}
	defer func() { _ = log.Close() }() // the programs have their own handles
	at, err := freePorts(ctx, 4)
	if err != nil {
		return in, err
	}
	in.edge, in.ops, in.sandbox = "http://"+at[0], "http://"+at[2], "http://"+at[3]
	in.programs = programs{dir: dir, env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}, log: log}
	if _, err := in.launch([]string{"TRIVET_SANDBOX_ADDR=" + at[3], "TRIVET_SANDBOX_EDGE_URL=" + in.edge, "TRIVET_DATA_DIR=" + dir}, binary, "sandbox"); err != nil {
		return in, err
	}
	if err := ready(ctx, in.sandbox+"/healthz"); err != nil {
		return in, in.explain(err)
	}
	providers := map[string]string{}
	if err := in.control(ctx, http.MethodGet, "environment", nil, &providers); err != nil {
		return in, err
	}
	env := []string{
		"TRIVET_HTTP_ADDR=" + at[0], "TRIVET_GRPC_ADDR=" + at[1], "TRIVET_OPS_ADDR=" + at[2], "TRIVET_DATA_DIR=" + dir, "DATABASE_URL=" + database,
		"CLERK_RECONCILE_INTERVAL=0", "STRIPE_RECONCILE_INTERVAL=0", // a comparison, once a day, is another matter
		"STRIPE_READS_PER_SECOND=80", // as with a live key: the sandbox's is a test key, for which Stripe allows less
		"TRIVET_PPROF=" + strconv.FormatBool(o.profiles != ""),
	}
	for name, value := range providers {
		env = append(env, name+"="+value)
	}
	if in.pid, err = in.launch(env, binary, "dev"); err != nil {
		return in, err
	}
	return in, in.explain(ready(ctx, in.ops+"/readyz"))
}

// explain adds the last lines that the programs wrote to an error.
func (in *installation) explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	const most = 2000
	text, readErr := os.ReadFile(filepath.Join(in.dir, "log")) //nolint:gosec // our own folder
	if readErr != nil {
		return err
	}
	return fmt.Errorf("%w; the end of the log:\n%s", err, text[max(0, len(text)-most):])
}

// control calls the sandbox's control API.
func (in *installation) control(ctx context.Context, method, path string, body, into any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, in.sandbox+"/control/"+path, bytes.NewReader(raw)) //nolint:gosec // our own program
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request) //nolint:gosec // as above
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= http.StatusMultipleChoices {
		err = fmt.Errorf("the sandbox answered %d to %s: %.300s", response.StatusCode, path, text)
	}
	if err == nil && into != nil {
		err = json.Unmarshal(text, into)
	}
	return err
}

// customers makes customers at the sandbox's Stripe without webhooks about them.
func (in *installation) customers(ctx context.Context, n int) ([]string, error) {
	var made struct {
		IDs []string `json:"ids"`
	}
	err := in.control(ctx, http.MethodPost, "stripe/customers", map[string]any{"count": n, "quiet": true}, &made)
	return made.IDs, err
}

// fetches counts the requests for objects of Stripe.
func (in *installation) fetches(ctx context.Context) (int64, error) {
	var told struct {
		Calls []struct {
			Provider, Route string
			Count           int64
		} `json:"calls"`
	}
	if err := in.control(ctx, http.MethodGet, "calls", nil, &told); err != nil {
		return 0, err
	}
	for _, c := range told.Calls {
		if c.Provider == "stripe" && c.Route == "GET /v1/customers/{id}" {
			return c.Count, nil
		}
	}
	return 0, nil
}
