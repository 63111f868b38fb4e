package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/trivet-dev/trivet/platform/database/databasetest"
)

type webhookOptions struct {
	binary           string
	rate             int
	duration         time.Duration
	database         string
	clerkShare       float64
	users, customers int
	seed             uint64
	dir              string
	profiles         string
}

// drainPatience is how long after the last answer the queue may take to be empty.
const drainPatience = 60 * time.Second

func parseWebhookOptions(args []string, stderr io.Writer) (o webhookOptions, err error) {
	o.users, o.customers = 2000, 500
	flags := flag.NewFlagSet("bench webhooks", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.binary, "trivet", "bin/trivet", "the program to measure")
	flags.IntVar(&o.rate, "rate", 1000, "webhooks offered a second")
	flags.DurationVar(&o.duration, "duration", 30*time.Second, "how long they are offered")
	flags.StringVar(&o.database, "database", "both", "sqlite, postgres or both")
	flags.Float64Var(&o.clerkShare, "clerk-share", 0.5, "share of Clerk's webhooks, from 0 to 1; the rest is Stripe's")
	flags.Func("subjects", "`USERS,CUSTOMERS`: how many Clerk users and Stripe customers they are about (default 2000,500)", func(s string) error {
		_, err := fmt.Sscanf(s, "%d,%d", &o.users, &o.customers)
		return err
	})
	flags.Uint64Var(&o.seed, "seed", 1, "the same seed offers the same webhooks")
	flags.StringVar(&o.dir, "dir", ".bench", "folder for the databases while they are needed; on a disk, because in memory a durable commit costs nothing")
	flags.StringVar(&o.profiles, "profiles", "", "write CPU profiles of Trivet into this folder (and measure a little slower)")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	return o, o.check(flags.NArg())
}

func (o webhookOptions) check(rest int) error {
	switch {
	case rest > 0:
		return errors.New("bench webhooks takes flags only; see --help")
	case o.rate < 1 || o.rate > 100_000:
		return errors.New("--rate must be 1 to 100000")
	case o.duration < time.Second || o.duration > time.Hour:
		return errors.New("--duration must be 1s to 1h")
	case o.database != "sqlite" && o.database != "postgres" && o.database != "both":
		return errors.New("--database must be sqlite, postgres or both")
	case !(o.clerkShare >= 0 && o.clerkShare <= 1):
		return errors.New("--clerk-share must be 0 to 1")
	case o.users < 1 || o.customers < 1 || o.customers > 100_000:
		return errors.New("--subjects must be two numbers from 1, such as 2000,500")
	}
	return nil
}

// webhooks offers signed webhooks to Trivet and shows how it took them. It fails when one was not acknowledged, is dead, or
// was not applied in time; how fast it went is for the reader to judge.
func webhooks(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parseWebhookOptions(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	dir, err := folder(o.dir)
	if err != nil {
		return err
	}
	defer func() {
		_ = os.RemoveAll(dir)
		_ = os.Remove(o.dir) //nolint:gosec // made above; it goes if nobody else uses it
	}()
	var columns []intake
	var failures []error
	for _, d := range []struct {
		name    string
		measure func(context.Context, webhookOptions, string) (intake, error)
	}{{"sqlite", onSQLite}, {"postgres", onPostgres}} {
		if o.database != "both" && o.database != d.name {
			continue
		}
		fmt.Fprintf(stderr, "%s: %d webhooks a second for %s, then the queue\n", d.name, o.rate, o.duration)
		in, err := d.measure(ctx, o, filepath.Join(dir, d.name))
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", d.name, err))
			break
		}
		in.database = d.name
		columns = append(columns, in)
		failures = append(failures, in.check())
	}
	if len(columns) > 0 {
		failures = append(failures, showIntakes(stdout, o, columns))
	}
	return errors.Join(failures...)
}

// folder makes a new one below dir that anybody may enter, as PostgreSQL's own user must.
func folder(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // as said above
		return "", err
	}
	made, err := os.MkdirTemp(dir, "webhooks-")
	if err != nil {
		return "", err
	}
	if made, err = filepath.Abs(made); err != nil {
		return "", err
	}
	return made, os.Chmod(made, 0o755) //nolint:gosec // as said above
}

func onSQLite(ctx context.Context, o webhookOptions, dir string) (intake, error) {
	return measure(ctx, o, dir, "", 0)
}

// onPostgres starts a server whose commits are durable.
func onPostgres(ctx context.Context, o webhookOptions, dir string) (in intake, err error) {
	server, err := databasetest.StartServer(dir+"-data", true)
	if err != nil {
		return intake{}, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	return measure(ctx, o, dir, server.URL("postgres"), server.PID())
}
