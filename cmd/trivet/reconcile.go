package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/timestamppb"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/platform/settings"
)

// counts are what a comparison found, of one kind of object.
type counts interface {
	GetKind() string
	GetSame() int64
	GetRepaired() int64
	GetCreated() int64
	GetRemoved() int64
	GetDone() bool
}

func (p program) reconcile() *cobra.Command {
	var source string
	var since moment
	cmd := &cobra.Command{
		Use:   "reconcile",
		Short: "Compare with the providers, repair, and print what differed (operators)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch source {
			case "":
				return errors.Join(p.reconcileOne(cmd.Context(), "clerk", since), p.reconcileOne(cmd.Context(), "stripe", since))
			case "clerk", "stripe":
				return p.reconcileOne(cmd.Context(), source, since)
			default:
				return fmt.Errorf("--source is clerk or stripe, not %q", source)
			}
		},
	}
	cmd.Flags().StringVar(&source, "source", "", "only this provider: clerk or stripe")
	cmd.Flags().Var(&since, "since", "only what changed since this time, such as 24h, 7d or 2026-11-25; what Clerk no longer has is found without it only, and Stripe tells of 30 days")
	return cmd
}

// reconcileOne runs one service's comparison and shows it as it goes.
func (p program) reconcileOne(ctx context.Context, source string, since moment) error {
	o, err := p.operator(ctx)
	if err != nil {
		return err
	}
	address, err := p.serviceAddress(source)
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+o.token)
	var from *timestamppb.Timestamp
	if !since.IsZero() {
		from = timestamppb.New(since.Time)
	}
	next, err := begin(ctx, conn, source, from)
	if err != nil {
		return err
	}
	return p.follow(source, next, patience)
}

// patience is how long nothing may come before the waiting is told.
const patience = 5 * time.Second

// news is what the service sent, or how its answer ended.
type news struct {
	counts
	err error
}

// follow prints the last word on each kind; on a terminal, also how far the comparison is. While nothing comes it says so: a
// provider that is away is waited for.
func (p program) follow(source string, next func() (counts, error), patience time.Duration) error {
	live, came, gone := isTerminal(p.stdout), make(chan news), make(chan struct{})
	defer close(gone)
	go func() { // ends with the answer, or with the call's context
		for ended := false; !ended; {
			c, err := next()
			select {
			case came <- news{c, err}:
				ended = err != nil
			case <-gone:
				return
			}
		}
	}()
	begun := time.Now()
	silence := time.NewTicker(patience)
	defer silence.Stop()
	for {
		select {
		case <-silence.C:
			_, _ = fmt.Fprintf(p.stderr, "%s is still compared after %s; if the provider is away or slow it is asked again, and the service's log says so\n",
				source, time.Since(begun).Round(time.Second))
		case n := <-came:
			silence.Reset(patience)
			if errors.Is(n.err, io.EOF) {
				return nil
			}
			if err := p.tell(source, n, live); err != nil {
				return err
			}
		}
	}
}

// tell prints one piece of news; its error ends the comparison.
func (p program) tell(source string, c news, live bool) error {
	if c.err != nil {
		if live {
			_, _ = io.WriteString(p.stdout, "\n") // the error gets a line of its own
		}
		return fmt.Errorf("%s: %s", source, errs.From(c.err).Message)
	}
	if !c.GetDone() && !live {
		return nil
	}
	line := fmt.Sprintf("%-24s same %d, repaired %d, created %d, removed %d", source+" "+c.GetKind(), c.GetSame(), c.GetRepaired(), c.GetCreated(), c.GetRemoved())
	if live {
		line = "\r\x1b[K" + line // over the line before
	}
	if c.GetDone() {
		line += "\n"
	}
	_, err := io.WriteString(p.stdout, line)
	return err
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func begin(ctx context.Context, conn *grpc.ClientConn, source string, since *timestamppb.Timestamp) (func() (counts, error), error) {
	if source == "clerk" {
		stream, err := authv1.NewAuthServiceClient(conn).Reconcile(ctx, &authv1.ReconcileRequest{Since: since})
		if err != nil {
			return nil, err
		}
		return func() (counts, error) { return stream.Recv() }, nil
	}
	stream, err := billingv1.NewBillingServiceClient(conn).Reconcile(ctx, &billingv1.ReconcileRequest{Since: since})
	if err != nil {
		return nil, err
	}
	return func() (counts, error) { return stream.Recv() }, nil
}

// serviceAddress is where the service of a provider answers gRPC: its own address in split mode, else the all-in-one's.
func (p program) serviceAddress(source string) (string, error) {
	getenv, err := settings.DevFile(devFile, p.getenv)
	if err != nil {
		return "", err
	}
	var at struct {
		Addresses serve.Addresses
		Settings  serve.Settings
	}
	if err := settings.Load(getenv, &at); err != nil {
		return "", err
	}
	own := at.Addresses.Auth
	if source == "stripe" {
		own = at.Addresses.Billing
	}
	if own != "" {
		return own, nil
	}
	return at.Settings.GRPCAddr, nil
}
