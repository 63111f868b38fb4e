package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/platform/skip"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

// syncsFail makes the test's program a process whose disk fails after some calls.
const syncsFail = "syncs fail"

// systemCalls are the numbers of the calls that the filter needs.
type systemCalls struct{ fsync, fdatasync, prctl, seccomp uintptr }

func systemCallsOf(arch string) (systemCalls, error) {
	switch arch {
	case "linux/amd64":
		return systemCalls{74, 75, 157, 317}, nil
	case "linux/arm64":
		return systemCalls{82, 83, 167, 277}, nil
	default:
		return systemCalls{}, fmt.Errorf("the test knows no system calls of %s", arch)
	}
}

// failSyncs has each fsync and fdatasync of this process fail from now on, as on a disk that loses writes. A filter of the kernel does it for all threads.
func failSyncs() error {
	calls, err := systemCallsOf(runtime.GOOS + "/" + runtime.GOARCH)
	if err != nil {
		return err
	}
	const (
		loadNumber, jumpIfEqual, answer = 0x20, 0x15, 0x06 // instructions of a filter
		fails, allowed                  = 0x00050000 | uint32(syscall.EIO), 0x7fff0000
		noNewPrivileges, setFilter      = 38, 1
		allThreads                      = 1
	)
	type instruction struct {
		code    uint16
		yes, no uint8 // how many instructions to leave out
		value   uint32
	}
	filter := []instruction{
		{code: loadNumber},
		{code: jumpIfEqual, yes: 1, value: uint32(calls.fsync)},
		{code: jumpIfEqual, no: 1, value: uint32(calls.fdatasync)},
		{code: answer, value: fails},
		{code: answer, value: allowed},
	}
	program := struct {
		length uint16
		first  *instruction
	}{uint16(len(filter)), &filter[0]}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if _, _, failure := syscall.RawSyscall6(calls.prctl, noNewPrivileges, 1, 0, 0, 0, 0); failure != 0 {
		return failure
	}
	if _, _, failure := syscall.RawSyscall(calls.seccomp, setFilter, allThreads, uintptr(unsafe.Pointer(&program))); failure != 0 {
		return failure
	}
	runtime.KeepAlive(filter)
	return nil
}

// childWithoutSyncs makes some calls and then has the disk fail. It writes a line for each answer: those of child, and "refused OPERATION".
func childWithoutSyncs(ctx context.Context, seen io.Writer) int {
	err := func() error {
		db, err := database.Open(ctx, database.Config{URL: settings.NewSecret(os.Getenv(childURL)), Schema: "billing", Beside: true})
		if err != nil {
			return err
		}
		rows := store.New(db)
		book, err := childLedger(rows)
		if err != nil {
			return err
		}
		reserve := func(request string) (ledger.Hold, error) {
			h, err := book.Reserve(ctx, ledger.Reservation{RequestID: request, AccountID: "org_0", UserID: "user_1", Model: "embed", InputTokens: 100})
			if err == nil {
				fmt.Fprintln(seen, "held", request, h.ID)
			}
			return h, err
		}
		settle := func(h ledger.Hold) error {
			end, err := book.Settle(ctx, ledger.Settlement{HoldID: h.ID, Usage: ledger.Usage{Input: 7}, Outcome: ledger.OutcomeCompleted})
			if err == nil {
				fmt.Fprintln(seen, "settled", h.ID, end.Cost)
			}
			return err
		}
		first, err1 := reserve("first")
		open, err2 := reserve("open")
		if err := errors.Join(err1, err2, settle(first), failSyncs()); err != nil {
			return err
		}
		for range 2 {
			_, held := reserve("new")
			_, checked := book.Checkpoint(ctx, open.ID, ledger.Usage{Input: 60}, 0)
			_, folded := book.Fold(ctx, always)
			for _, o := range []struct {
				name string
				err  error
			}{
				{"hold", held}, {"checkpoint", checked}, {"settlement", settle(open)}, {"fold", folded}, {"erasure", rows.EraseUser(ctx, "user_1")},
			} {
				if !errors.Is(o.err, ledger.ErrUnavailable) {
					return fmt.Errorf("%s: %w", o.name, o.err)
				}
				fmt.Fprintln(seen, "refused", o.name)
			}
		}
		return nil
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// TestAFailedSyncIsNotAcknowledged: when the disk fails, the kernel says so once, when SQLite commits. Each call is refused then. What was
// acknowledged before is there, and the ledger is sound. PostgreSQL's server ends in that case: see TestPostgresCrashesUnderLoad.
func TestAFailedSyncIsNotAcknowledged(t *testing.T) {
	_, err := systemCallsOf(runtime.GOOS + "/" + runtime.GOARCH)
	skip.Unless(t, "failed fsync", err, "run it on Linux on amd64 or arm64")
	onSQLite(t, "empty", func(t *testing.T, b *fixture) {
		b.fund()
		deadline, stop := context.WithTimeout(t.Context(), 2*time.Minute)
		defer stop()
		seen, state := b.child(deadline, "sync", syncsFail)
		require.NotNil(t, state)
		require.True(t, state.Success(), "%v: %v", state, seen)
		refused := []string{"refused hold", "refused checkpoint", "refused settlement", "refused fold", "refused erasure"}
		require.Len(t, seen, 3+2*len(refused), "%v", seen)
		require.Equal(t, append(refused, refused...), seen[3:])
		b.sound()
		b.clock.Set(time.Now())
		h, err := b.store.Hold(t.Context(), strings.Fields(seen[1])[2])
		require.NoError(t, err)
		require.Equal(t, ledger.StateOpen, h.State)
		require.EqualValues(t, 100, h.Used.Input, "no refused checkpoint took effect")

		// Another process, whose disk works, finds the log as the failed one left it.
		place := b.place
		place.Beside = true
		book := b.on(store.New(databasetest.Open(t, place, database.Migrations{})))
		_, err = book.Settle(t.Context(), ledger.Settlement{HoldID: h.ID, Usage: ledger.Usage{Input: 9}, Outcome: ledger.OutcomeCompleted})
		require.NoError(t, err)
		b.checkSeen(seen[:3])
	})
}
