package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/timestamppb"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/internal/allinone"
	"github.com/trivet-dev/trivet/platform/connect"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/integration"
)

// counts holds the result of a comparison for one kind of object.
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
	known := integration.Reconciled()
	names := strings.Join(integration.Names(known), " or ")
	cmd := &cobra.Command{
		Use:   "reconcile",
		Short: "Compare the stored objects with the providers' and repair them (operators)",
		Long: "Compare the stored objects with the providers', repair what differs, and print the counts. The call goes by gRPC to\n" +
			"TRIVET_GRPC_ADDR, in split mode to TRIVET_AUTH_ADDR and TRIVET_BILLING_ADDR.",
		Example: "  trivet reconcile\n  trivet reconcile --source stripe --since 24h",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var failed []error
			for _, i := range known {
				if source == "" || source == i.Name {
					failed = append(failed, p.reconcileOne(cmd.Context(), i, since))
				}
			}
			if len(failed) == 0 {
				return usagef("--source is %s, not %q", names, source)
			}
			return errors.Join(failed...)
		},
	}
	cmd.Flags().StringVar(&source, "source", "", "only this provider: "+names)
	cmd.Flags().Var(&since, "since", "only objects that changed since this time, such as 24h, 7d or 2026-11-25; it misses objects that Clerk deleted, and Stripe reports 30 days only")
	return cmd
}

// reconcileOne runs the comparison of one service and shows its progress.
func (p program) reconcileOne(ctx context.Context, of integration.Integration, since moment) error {
	o, err := p.operator(ctx)
	if err != nil {
		return err
	}
	env, err := p.development()
	if err != nil {
		return err
	}
	address, err := allinone.GRPCAddress(env.Get, of.Service)
	if err != nil {
		return err
	}
	target, lists := connect.Target(address)
	conn, err := grpc.NewClient(target, lists, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+o.token)
	var from *timestamppb.Timestamp
	if !since.IsZero() {
		from = timestamppb.New(since.Time)
	}
	next, err := begin(ctx, conn, of, from)
	if err != nil {
		return err
	}
	return p.follow(of.Name, next, patience)
}

// patience is how long the command waits without output.
const patience = 5 * time.Second

// news is a message from the service, or the end of its answer.
type news struct {
	counts
	err error
}

// follow prints the final counts of each kind, and on a terminal the progress. It reports when nothing arrives for a while: the
// service waits for a provider that is down.
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
			_, _ = fmt.Fprintf(p.stderr, "%s: still running after %s; a provider that is down or slow is asked again, and the service's log says so\n",
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

// tell prints a message; its error ends the comparison.
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
	line := fmt.Sprintf("%-29s same %d, repaired %d, created %d, removed %d", source+" "+c.GetKind(), c.GetSame(), c.GetRepaired(), c.GetCreated(), c.GetRemoved())
	if live {
		line = "\r\x1b[K" + line // over the previous line
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

// begin calls the service that reconciles with a provider.
func begin(ctx context.Context, conn *grpc.ClientConn, of integration.Integration, since *timestamppb.Timestamp) (func() (counts, error), error) {
	switch of.Service {
	case "auth":
		stream, err := authv1.NewAuthServiceClient(conn).Reconcile(ctx, &authv1.ReconcileRequest{Since: since})
		return received(stream, err)
	case "billing":
		stream, err := billingv1.NewBillingServiceClient(conn).Reconcile(ctx, &billingv1.ReconcileRequest{Since: since})
		return received(stream, err)
	default:
		return nil, fmt.Errorf("this program cannot call the service %s", of.Service)
	}
}

// received reads the messages of a service as counts.
func received[R any, C interface {
	*R
	counts
}](stream grpc.ServerStreamingClient[R], err error) (func() (counts, error), error) {
	if err != nil {
		return nil, err
	}
	return func() (counts, error) {
		message, err := stream.Recv()
		return C(message), err
	}, nil
}
