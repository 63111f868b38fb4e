// Command bench drives all-in-one Trivet, with authentication, limits and the
// durable ledger on, and a bare httputil.ReverseProxy, against the same
// upstream in one run, and prints both and their ratio. Absolute figures are
// this machine's; the ratio is what compares.
//
// "bench webhooks" offers signed webhooks at a fixed rate to Trivet on SQLite and
// on PostgreSQL, and prints how they were acknowledged, committed and applied.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

type options struct {
	binary   string
	duration time.Duration
	rounds   int
	deltas   int
	profiles string
	systems  string
	once     int
	only     string
	dir      string
	stages   bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case "upstream":
			return serveUpstream(ctx, args[1:])
		case "proxy":
			return serveProxy(ctx, args[1:])
		case "webhooks":
			return webhooks(ctx, args[1:], stdout, stderr)
		}
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var o options
	flags.StringVar(&o.binary, "trivet", "bin/trivet", "the program to measure")
	flags.DurationVar(&o.duration, "duration", 4*time.Second, "how long each case runs")
	flags.IntVar(&o.rounds, "rounds", 3, "how often each case runs; the median is shown")
	flags.StringVar(&o.profiles, "profiles", "", "write profiles of the CPU and the allocations of each process of Trivet, for each case of one account, into this folder (and measure a little slower)")
	flags.BoolVar(&o.stages, "stages", false, "show what a call costs by stage, in each process of Trivet; it takes profiles, see profiles")
	flags.StringVar(&o.systems, "systems", "sqlite,postgres,split", "the installations to measure; sqlite@PROGRAM measures another program in the same rounds, such as the version before")
	flags.IntVar(&o.once, "once", 10_000, "how many accounts call once each; 0 leaves this case out")
	flags.StringVar(&o.only, "only", "", "the cases whose name contains this, such as \"streamed, 64\"; a $ at the end stands for the end of the name")
	flags.StringVar(&o.dir, "dir", ".bench", "a folder on the disk for databases and logs; it is removed")
	flags.IntVar(&o.deltas, "deltas", 100, "deltas of a streamed answer")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	var err error
	if o.binary, err = filepath.Abs(o.binary); err != nil {
		return err
	}
	return compare(ctx, o, stdout, stderr)
}
