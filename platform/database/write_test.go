package database_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/errs"
)

func put(ctx context.Context, tx database.Tx, id string, balance int) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO wallet (id, balance) VALUES ($1, $2)", id, balance)
	return err
}

func balance(t *testing.T, db *database.DB, id string) (n int, ok bool) {
	t.Helper()
	err := db.Reader().QueryRowContext(t.Context(), "SELECT balance FROM wallet WHERE id = $1", id).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false
	}
	require.NoError(t, err)
	return n, true
}

// gate holds a lane open with one running write, so that what comes next meets in one batch.
func gate(t *testing.T, db *database.DB, key string) (open func()) {
	t.Helper()
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	done := make(chan error, 1)
	go func() {
		done <- db.Write(context.Background(), key, func(context.Context, database.Tx) error {
			once.Do(func() { close(entered) })
			<-release
			return nil
		})
	}()
	receive(t, entered)
	return func() {
		close(release)
		require.NoError(t, receive(t, done))
	}
}

// receive waits for what must come soon; otherwise the test fails instead of hanging.
func receive[T any](t *testing.T, from <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-from:
	case <-time.After(30 * time.Second):
		t.Fatal("nothing came within 30 s")
	}
	return value
}

// together writes fns in one batch, in order, and returns their errors.
func together(t *testing.T, db *database.DB, fns ...func(context.Context, database.Tx) error) []error {
	t.Helper()
	open := gate(t, db, "k")
	errs := make([]error, len(fns))
	var all sync.WaitGroup
	for i, fn := range fns {
		before := db.Queued()
		all.Go(func() { errs[i] = db.Write(t.Context(), "k", fn) })
		require.Eventually(t, func() bool { return db.Queued() > before }, 5*time.Second, 50*time.Microsecond)
	}
	open()
	all.Wait()
	return errs
}

func TestWriteCommits(t *testing.T) {
	databasetest.Each(t, wallet, func(t *testing.T, db *database.DB) {
		require.NoError(t, db.Write(t.Context(), "a", func(ctx context.Context, tx database.Tx) error {
			if err := put(ctx, tx, "a", 7); err != nil {
				return err
			}
			var n int
			err := tx.QueryRowContext(ctx, "UPDATE wallet SET balance = balance + 1 WHERE id = $1 RETURNING balance", "a").Scan(&n)
			require.Equal(t, 8, n)
			return err
		}))
		n, ok := balance(t, db, "a")
		require.True(t, ok)
		require.Equal(t, 8, n)
	})
}

func TestWriteUndoesOnError(t *testing.T) {
	refused := errors.New("refused")
	databasetest.Each(t, wallet, func(t *testing.T, db *database.DB) {
		err := db.Write(t.Context(), "a", func(ctx context.Context, tx database.Tx) error {
			return errors.Join(put(ctx, tx, "a", 1), refused)
		})
		require.ErrorIs(t, err, refused)
		_, ok := balance(t, db, "a")
		require.False(t, ok)
	})
}

func TestBatchSharesOneCommitAndFailuresStayAlone(t *testing.T) {
	refused := errors.New("refused")
	var batches []database.Batch
	databasetest.Each(t, wallet, func(t *testing.T, db *database.DB) {
		batches = nil
		var ran atomic.Int32
		insert := func(id string, then error) func(context.Context, database.Tx) error {
			return func(ctx context.Context, tx database.Tx) error {
				ran.Add(1)
				if err := put(ctx, tx, id, 1); err != nil {
					return err
				}
				return then
			}
		}
		errs := together(t, db,
			insert("a", nil),
			insert("b", refused),
			insert("a", nil), // a duplicate of the first
			func(context.Context, database.Tx) error { panic("boom") },
			insert("c", nil),
		)
		require.NoError(t, errs[0])
		require.ErrorIs(t, errs[1], refused)
		require.True(t, database.IsUnique(errs[2]), "%v", errs[2])
		var panicked *database.PanicError
		require.ErrorAs(t, errs[3], &panicked)
		require.Equal(t, "boom", panicked.Value)
		require.Contains(t, string(panicked.Stack), "TestBatchShares")
		require.NoError(t, errs[4])
		for id, want := range map[string]bool{"a": true, "b": false, "c": true} {
			_, ok := balance(t, db, id)
			require.Equal(t, want, ok, id)
		}
		require.NoError(t, db.Close(t.Context()), "waits for the lanes, which tell Observe after the callers")
		// The five in one batch: an optimistic run that b ends, then one with savepoints for each. On SQLite they join the gate's;
		// on PostgreSQL a batch is what waited when it began, so that it can run in the order of its keys.
		last := batches[len(batches)-1]
		if db.Dialect() == database.SQLite {
			require.Len(t, batches, 1)
			require.Equal(t, 6, last.Ops)
		} else {
			require.Len(t, batches, 2)
			require.Equal(t, 5, last.Ops)
		}
		require.Equal(t, 3, last.Failed)
		require.Equal(t, 1, last.Broken, "the panic: a refusal and a duplicate say nothing about the database")
		require.Equal(t, 2, last.Attempts)
	}, func(c *database.Config) { c.Observe = func(b database.Batch) { batches = append(batches, b) } })
}

// The alert on failing writes looks at what the database did, not at what the functions of writes refuse.
func TestWhatCountsAsABrokenWrite(t *testing.T) {
	for name, c := range map[string]struct {
		write  func(ctx context.Context, tx database.Tx) error
		broken int
	}{
		"a refusal": {func(context.Context, database.Tx) error { return errors.New("refused") }, 0},
		"a duplicate": {func(ctx context.Context, tx database.Tx) error {
			return errors.Join(put(ctx, tx, "x", 1), put(ctx, tx, "x", 1))
		}, 0},
		"a statement that the database rejects": {func(ctx context.Context, tx database.Tx) error {
			_, err := tx.ExecContext(ctx, "DELETE FROM nowhere")
			return err
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var batches []database.Batch
			databasetest.Each(t, wallet, func(t *testing.T, db *database.DB) {
				batches = nil
				require.Error(t, db.Write(t.Context(), "a", c.write))
				require.NoError(t, db.Close(t.Context()))
				require.Len(t, batches, 1)
				require.Equal(t, 1, batches[0].Failed)
				require.Equal(t, c.broken, batches[0].Broken)
			}, func(c *database.Config) { c.Observe = func(b database.Batch) { batches = append(batches, b) } })
		})
	}
}

func TestBatchStaysCarefulWhileOpsFail(t *testing.T) {
	refused := errors.New("refused")
	var batches []database.Batch
	db := databasetest.SQLite(t, wallet, func(c *database.Config) {
		c.Observe = func(b database.Batch) { batches = append(batches, b) }
	})
	fail := func(context.Context, database.Tx) error { return refused }
	good := func(context.Context, database.Tx) error { return nil }
	for range 2 {
		errs := together(t, db, fail, good)
		require.ErrorIs(t, errs[0], refused)
		require.NoError(t, errs[1])
	}
	require.NoError(t, db.Close(t.Context()))
	require.Len(t, batches, 2)
	require.Equal(t, 2, batches[0].Attempts)
	require.Equal(t, 1, batches[1].Attempts, "savepoints from the start")
}

func TestFailedStatementFailsTheWriteOnBothDialects(t *testing.T) {
	databasetest.Each(t, wallet, func(t *testing.T, db *database.DB) {
		swallow := func(ctx context.Context, tx database.Tx) error {
			_ = put(ctx, tx, "x", 1)
			_ = put(ctx, tx, "x", 1) // fails
			return nil
		}
		swallowRow := func(ctx context.Context, tx database.Tx) error {
			var n int
			_ = tx.QueryRowContext(ctx, "SELECT nothing FROM nowhere").Scan(&n)
			require.Error(t, put(ctx, tx, "y", 1))
			require.Error(t, tx.QueryRowContext(ctx, "SELECT 1").Scan(&n))
			return nil
		}
		errs := together(t, db,
			func(ctx context.Context, tx database.Tx) error { return put(ctx, tx, "a", 1) }, swallow, swallowRow,
			func(ctx context.Context, tx database.Tx) error { return put(ctx, tx, "b", 1) })
		require.NoError(t, errs[0])
		require.ErrorContains(t, errs[1], "continued after a failed statement")
		require.True(t, database.IsUnique(errs[1]))
		require.ErrorContains(t, errs[2], "continued after a failed statement")
		require.NoError(t, errs[3])
		for id, want := range map[string]bool{"a": true, "b": true, "x": false, "y": false} {
			_, ok := balance(t, db, id)
			require.Equal(t, want, ok, id)
		}
	})
}

func TestNoRowsIsNotAFailure(t *testing.T) {
	databasetest.Each(t, wallet, func(t *testing.T, db *database.DB) {
		require.NoError(t, db.Write(t.Context(), "a", func(ctx context.Context, tx database.Tx) error {
			var n int
			err := tx.QueryRowContext(ctx, "SELECT balance FROM wallet WHERE id = $1", "none").Scan(&n)
			require.ErrorIs(t, err, sql.ErrNoRows)
			return put(ctx, tx, "a", 1)
		}))
	})
}

func TestLeakedRowsAndTxAreHarmless(t *testing.T) {
	databasetest.Each(t, wallet, func(t *testing.T, db *database.DB) {
		var kept database.Tx
		require.NoError(t, db.Write(t.Context(), "a", func(ctx context.Context, tx database.Tx) error {
			kept = tx
			rows, err := tx.QueryContext(ctx, "SELECT id FROM wallet") //nolint:rowserrcheck // leaking them is the point
			require.NotNil(t, rows)
			return err
		}))
		require.NoError(t, db.Write(t.Context(), "a", func(ctx context.Context, tx database.Tx) error { return put(ctx, tx, "a", 1) }))
		require.ErrorContains(t, put(t.Context(), kept, "b", 1), "after its Write returned")
	})
}

func TestWriteSurvivesGoexit(t *testing.T) {
	databasetest.Each(t, wallet, func(t *testing.T, db *database.DB) {
		errs := together(t, db,
			func(ctx context.Context, tx database.Tx) error { return put(ctx, tx, "a", 1) },
			func(context.Context, database.Tx) error { runtime.Goexit(); return nil },
			func(ctx context.Context, tx database.Tx) error { return put(ctx, tx, "b", 1) })
		require.NoError(t, errs[0])
		require.ErrorContains(t, errs[1], "ended its goroutine")
		require.NoError(t, errs[2])
		_, ok := balance(t, db, "b")
		require.True(t, ok)
	})
}

func TestNestedWriteIsRefused(t *testing.T) {
	db := databasetest.SQLite(t, wallet)
	err := db.Write(t.Context(), "a", func(ctx context.Context, _ database.Tx) error {
		return db.Write(ctx, "a", func(context.Context, database.Tx) error { return nil })
	})
	require.ErrorIs(t, err, database.ErrNestedWrite)
}

func TestCallerMayLeaveTheQueueOnly(t *testing.T) {
	db := databasetest.SQLite(t, wallet)
	require.ErrorIs(t, db.Write(ended(), "k", nil), context.Canceled)

	open := gate(t, db, "k")
	ctx, cancel := context.WithCancel(t.Context())
	queued := make(chan error, 1)
	go func() {
		queued <- db.Write(ctx, "k", func(ctx context.Context, tx database.Tx) error { return put(ctx, tx, "queued", 1) })
	}()
	require.Eventually(t, func() bool { return db.Queued() == 1 }, 5*time.Second, time.Millisecond)
	cancel()
	require.ErrorIs(t, receive(t, queued), context.Canceled)
	open()

	ctx, cancel = context.WithCancel(t.Context())
	require.NoError(t, db.Write(ctx, "k", func(ctx context.Context, tx database.Tx) error {
		cancel() // too late
		require.NoError(t, ctx.Err())
		return put(ctx, tx, "running", 1)
	}))
	_, ok := balance(t, db, "queued")
	require.False(t, ok)
	_, ok = balance(t, db, "running")
	require.True(t, ok)
}

// What failed by its own error is not run again: the function may be slow, and its error may be the answer.
func TestAWriteThatFailsAloneRunsOnce(t *testing.T) {
	databasetest.Each(t, wallet, func(t *testing.T, db *database.DB) {
		refused := errors.New("refused")
		for range 3 { // without savepoints, and then with them
			runs := 0
			err := db.Write(t.Context(), "k", func(context.Context, database.Tx) error { runs++; return refused })
			require.ErrorIs(t, err, refused)
			require.Equal(t, 1, runs)
			runs = 0
			require.NoError(t, db.Write(t.Context(), "k", func(context.Context, database.Tx) error { runs++; return nil }))
			require.Equal(t, 1, runs)
		}
	})
}

func TestADeadlineThatPassesInTheQueueIsTheStoresFault(t *testing.T) {
	db := databasetest.SQLite(t, wallet)
	open := gate(t, db, "k")
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	err := db.Write(ctx, "k", func(ctx context.Context, tx database.Tx) error { return put(ctx, tx, "late", 1) })
	require.ErrorIs(t, err, database.ErrWaited)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	requireUnavailable(t, err)
	open()
	_, ok := balance(t, db, "late")
	require.False(t, ok)

	err = db.Write(t.Context(), "k", func(context.Context, database.Tx) error { return context.DeadlineExceeded })
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_DEADLINE_EXCEEDED, errs.ReasonOf(err), "a deadline of another kind stays one")
}

func TestReadersGiveTheDriversErrors(t *testing.T) {
	databasetest.Each(t, wallet, func(t *testing.T, db *database.DB) {
		for _, query := range []string{"SELECT nonsense", "SELECT 1 WHERE 1 = 0"} {
			err := db.Reader().QueryRowContext(t.Context(), query).Scan(new(int))
			require.Error(t, err)
			require.False(t, database.IsUnavailable(err), "%v", err)
			require.Equal(t, query == "SELECT 1 WHERE 1 = 0", errors.Is(err, sql.ErrNoRows))
		}
	})
}

// TestAfterCommit: signals of a run that was undone are dropped with it; those of the run that counts come after its commit.
func TestAfterCommit(t *testing.T) {
	refused := errors.New("refused")
	databasetest.Each(t, wallet, func(t *testing.T, db *database.DB) {
		var signals []string
		var kept database.Tx
		insert := func(id string, then error) func(context.Context, database.Tx) error {
			return func(ctx context.Context, tx database.Tx) error {
				kept = tx
				tx.AfterCommit(func() {
					_, ok := balance(t, db, id)
					require.True(t, ok, "called before the commit")
					signals = append(signals, id)
				})
				return errors.Join(put(ctx, tx, id, 1), then)
			}
		}
		require.NoError(t, db.Write(t.Context(), "k", insert("a", nil)))
		require.ErrorIs(t, db.Write(t.Context(), "k", insert("b", refused)), refused)
		errs := together(t, db, insert("c", nil), insert("d", refused)) // c runs twice
		require.NoError(t, errs[0])
		require.ErrorIs(t, errs[1], refused)
		require.Equal(t, []string{"a", "c"}, signals)
		kept.AfterCommit(func() { t.Error("registered after the write had ended") })
		require.NoError(t, db.Write(t.Context(), "k", insert("e", nil)))
	})
}

func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestCloseDrains(t *testing.T) {
	databasetest.Each(t, wallet, func(t *testing.T, db *database.DB) {
		open := gate(t, db, "k")
		errs := make(chan error, 20)
		for i := range 20 {
			go func() {
				errs <- db.Write(context.Background(), "k", func(ctx context.Context, tx database.Tx) error {
					return put(ctx, tx, fmt.Sprint(i), 1)
				})
			}()
		}
		require.Eventually(t, func() bool { return db.Queued() == 20 }, 5*time.Second, time.Millisecond)
		closed := make(chan error, 1)
		go func() { closed <- db.Close(context.Background()) }()
		require.Eventually(t, func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond) // until Close has begun, the write waits at the gate
			defer cancel()
			return errors.Is(db.Write(ctx, "k", func(context.Context, database.Tx) error { return nil }), database.ErrClosed)
		}, 5*time.Second, time.Millisecond)
		open()
		require.NoError(t, receive(t, closed))
		for range 20 {
			require.NoError(t, receive(t, errs))
		}
	})
}

func TestCloseGivesUp(t *testing.T) {
	db := databasetest.SQLite(t, wallet)
	entered, release := make(chan struct{}), make(chan struct{})
	running, waiting := make(chan error, 1), make(chan error, 1)
	go func() {
		running <- db.Write(context.Background(), "k", func(context.Context, database.Tx) error {
			close(entered)
			<-release
			return nil
		})
	}()
	receive(t, entered)
	closed := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { closed <- db.Close(ctx) }()
	cancel()
	go func() {
		waiting <- db.Write(context.Background(), "k", func(context.Context, database.Tx) error { return nil })
	}()
	require.ErrorIs(t, receive(t, waiting), database.ErrClosed)
	close(release)
	require.NoError(t, receive(t, running))
	require.ErrorContains(t, receive(t, closed), "closed before all writes were done")
	require.NoError(t, db.Close(context.Background()), "closing again does nothing")
}

// TestConcurrentWritesAddUp lets many callers move money with refusals among them: the sum must hold.
func TestConcurrentWritesAddUp(t *testing.T) {
	const callers, rounds = 32, 40
	databasetest.Each(t, wallet, func(t *testing.T, db *database.DB) {
		for i := range 4 {
			require.NoError(t, db.Write(t.Context(), "", func(ctx context.Context, tx database.Tx) error {
				return put(ctx, tx, fmt.Sprint(i), 100)
			}))
		}
		var all sync.WaitGroup
		var taken atomic.Int64
		for c := range callers {
			all.Go(func() {
				for r := range rounds {
					id := fmt.Sprint((c + r) % 4)
					err := db.Write(t.Context(), id, func(ctx context.Context, tx database.Tx) error {
						_, err := tx.ExecContext(ctx, "UPDATE wallet SET balance = balance - 1 WHERE id = $1", id)
						if err != nil {
							return err
						}
						_, err = tx.ExecContext(ctx, "INSERT INTO entry VALUES ($1, $2, 1)", fmt.Sprintf("%d/%d", c, r), id)
						return err
					})
					if err == nil {
						taken.Add(1)
					} else if !database.IsCheck(err) {
						t.Errorf("unexpected: %v", err)
					}
				}
			})
		}
		all.Wait()
		require.EqualValues(t, 400, taken.Load())
		var left, entries int
		require.NoError(t, db.Reader().QueryRowContext(t.Context(), "SELECT CAST(SUM(balance) AS BIGINT) FROM wallet").Scan(&left))
		require.NoError(t, db.Reader().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM entry").Scan(&entries))
		require.Zero(t, left)
		require.Equal(t, 400, entries)
	})
}
