package ledger_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

// childPoint makes a child kill itself when it comes to a point: "settle before", "fold in", "erase after".
const childPoint = "LEDGER_TEST_CHILD_POINT"

var (
	killedOps    = []string{"hold", "checkpoint", "settle", "fold", "erase"}
	killedPoints = []string{"before", "in", "after"}
)

// opKey names the operation of a context.
type opKey struct{}

// dying is a store that kills the process at a point of an operation: when everything is decided and nothing committed, while it commits,
// or when it is committed and nobody has seen it.
type dying struct {
	*store.Store
	op, point string
	// after is how many of the operations are done before.
	after int64
	count atomic.Int64
}

// newDying reads the point from the environment; without one, the process does not kill itself.
func newDying(s *store.Store) *dying {
	op, point, _ := strings.Cut(os.Getenv(childPoint), " ")
	return &dying{Store: s, op: op, point: point, after: 1 + rand.Int64N(3)}
}

func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // nothing runs on
}

// at kills the process if it is at that point.
func (d *dying) at(point string) {
	if d.point != point {
		return
	}
	if point == "in" {
		time.AfterFunc(rand.N(2*time.Millisecond), die)
		return
	}
	die()
}

// turn tells whether this operation is one to die in.
func (d *dying) turn(op string) bool {
	return op == d.op && d.count.Add(1) > d.after
}

func (d *dying) Write(ctx context.Context, accountID string, fn func(context.Context, ledger.Tx) error) error {
	return d.WriteCall(ctx, ledger.Caller{AccountID: accountID}, fn)
}

func (d *dying) WriteCall(ctx context.Context, caller ledger.Caller, fn func(context.Context, ledger.Tx) error) error {
	op, _ := ctx.Value(opKey{}).(string)
	mine := false
	err := d.Store.WriteCall(ctx, caller, func(ctx context.Context, tx ledger.Tx) error {
		err := fn(ctx, tx)
		if mine = err == nil && d.turn(op); mine {
			d.at("before")
			d.at("in")
		}
		return err
	})
	if mine && err == nil {
		d.at("after")
	}
	return err
}

func (d *dying) Fold(ctx context.Context, accountIDs []string, limit int, f ledger.Folding) (int, error) {
	entryID, mine := f.EntryID, false
	f.EntryID = func(at time.Time) string {
		if mine = d.turn("fold"); mine {
			d.at("before")
			d.at("in")
		}
		return entryID(at)
	}
	n, err := d.Store.Fold(ctx, accountIDs, limit, f)
	if mine && err == nil {
		d.at("after")
	}
	return n, err
}

func (d *dying) EraseUser(ctx context.Context, userID string) error {
	mine := d.turn("erase")
	if mine {
		d.at("before")
		d.at("in")
	}
	err := d.Store.EraseUser(ctx, userID)
	if mine {
		d.at("after")
	}
	return err
}

// TestKilledAtEachPoint kills a real process before, in and after the commit of a hold, a checkpoint, a settlement, a fold and an erasure; on
// PostgreSQL two replicas more work on the same accounts meanwhile. After each, what callers have seen is there, once, and the ledger is sound.
func TestKilledAtEachPoint(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		b.fund()
		var lines []string
		replicas := map[database.Dialect]int{database.SQLite: 1, database.Postgres: 3}[b.db.Dialect()]
		for i, op := range killedOps {
			for j, point := range killedPoints {
				if replicas > 1 && (i+j)%len(killedPoints) != 0 && os.Getenv("TRIVET_FAULTS") == "" {
					continue // processes are dear: the short form takes one point of each operation
				}
				lines = append(lines, b.killedAt(op, point, replicas-1)...)
				b.sound()
			}
		}
		b.checkSeen(lines)
	})
}

// killedAt runs a process that kills itself, beside others that are killed when it is dead.
func (b *fixture) killedAt(op, point string, others int) (seen []string) {
	b.t.Helper()
	round := op + "-" + point
	ctx, cancel := context.WithCancel(b.t.Context())
	defer cancel()
	all := make(chan []string, others)
	for i := range others {
		go func() {
			lines, _ := b.child(ctx, fmt.Sprintf("%s-%d", round, i), "")
			all <- lines
		}()
	}
	deadline, stop := context.WithTimeout(b.t.Context(), 2*time.Minute)
	defer stop()
	seen, state := b.child(deadline, round, op+" "+point)
	require.NoError(b.t, deadline.Err(), "the process came to %s %s", op, point)
	status, ok := state.Sys().(syscall.WaitStatus)
	require.True(b.t, ok && status.Signaled() && status.Signal() == syscall.SIGKILL, "it killed itself at %s %s: %v", op, point, state)
	cancel()
	for range others {
		seen = append(seen, <-all...)
	}
	return seen
}

// child runs a process until it ends or ctx does, and returns the lines that it wrote.
func (b *fixture) child(ctx context.Context, round, point string) (seen []string, state *os.ProcessState) {
	process := exec.CommandContext(ctx, os.Args[0])
	process.Env = append(os.Environ(), childURL+"="+b.place.URL.Reveal(), childRound+"="+round, childPoint+"="+point)
	out, err := process.Output() // an error is its end
	if process.ProcessState == nil {
		b.t.Error(err)
		return nil, nil
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasSuffix(line, "\n") { // a line that was cut was not seen
			seen = append(seen, strings.TrimSpace(line))
		}
	}
	return seen, process.ProcessState
}
