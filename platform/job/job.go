// Package job runs a named piece of work of a service on at most one process at a time. The work saves its progress in the
// service's database, so that any process can resume it after the one that ran it has died.
//
// Run takes the lease of the job, calls the function and gives the lease back. The function renews the lease with
// [Holder.Save] and [Holder.Keep]. A process that stops renewing, because it died or hangs, loses the job when the lease
// ends; the next process resumes from the progress that was saved last. When the old holder wakes up, Save and Keep return
// [ErrLost] and it must stop. Until then both may be running for a moment, so the effects of the work must be idempotent or
// written with [Holder.SaveTx] in one transaction, which fails for a holder that lost the job.
//
// With Options.Renew, Run renews the lease by itself, so that it can be short. That suits work whose effects are only in Trivet's own databases: a
// process that froze continues after its lease has ended, and what a provider is still doing for it is not seen by the next one.
//
// The job is finished when the function returns nil: the time is recorded for Options.Interval and the progress is deleted.
// After an error the progress stays, and the next run resumes.
package job

import (
	"cmp"
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
)

//go:embed migrations
var migrations embed.FS

// Migrations creates the table job_lease. Apply it with database.Migrate to the database that Run is given.
func Migrations() database.Migrations {
	return database.Embedded("job", migrations)
}

var (
	// ErrBusy is returned by Run while another run holds the job.
	ErrBusy = errors.New("job: another run is in progress")
	// ErrNotDue is returned by Run when the job was finished less than Options.Interval ago.
	ErrNotDue = errors.New("job: not due yet")
	// ErrLost is returned to a holder whose lease ended and whose job another run has taken.
	ErrLost = errors.New("job: the lease ended and another run has taken the job")
)

const (
	// defaultLease is Options.Lease when it is 0.
	defaultLease = 2 * time.Minute
	// renewedLease is Options.Lease when it is 0, with Options.Renew.
	renewedLease = 3 * time.Second
	// renewalShare is the part of a lease after which Keep renews it.
	renewalShare = 8
	// releaseTimeout bounds giving the job back. The context of the run may have ended by then.
	releaseTimeout = 5 * time.Second
)

// process identifies this process, so that with Options.Alone a run can tell the leases of dead processes from those of
// other runs in this one.
var process = rand.Text() //nolint:gochecknoglobals // one per process is the point

// Options say how a job runs. All fields are optional.
type Options struct {
	// Lease is how long a process that does not renew keeps the job. Make it longer than the longest step between two calls
	// of Holder.Keep or Holder.Save. Default 2 min.
	Lease time.Duration
	// Renew has Run renew the lease while the function runs, three times in Lease, and end the function's context when the job is lost. The default of
	// Lease is then 3 s.
	Renew bool
	// Interval, when set, makes Run return ErrNotDue if the job was finished less than this ago.
	Interval time.Duration
	// Alone says that no other process uses this database, as with a SQLite file. Run then takes the lease of a process that
	// died at once, without waiting for its end.
	Alone bool
	// Aside says that this run does part of the job only: when it ends, the job does not count as finished and the progress
	// stays as the function saved it.
	Aside bool
	// Now is the clock of the leases. The clocks of all processes should agree within a small part of Lease. With Renew, Run corrects it by the clock
	// of the PostgreSQL server, so that the machines of several processes may differ. Default time.Now.
	Now func() time.Time
	// Process identifies the process; tests set it to play several. Default: a random text.
	Process string

	local func() time.Time // the machine's clock; tests set it
}

func (o Options) withDefaults() Options {
	o.Lease = max(o.Lease, 0)
	if o.Renew {
		o.Lease = cmp.Or(o.Lease, renewedLease)
	}
	o.Lease = cmp.Or(o.Lease, defaultLease)
	o.Process = cmp.Or(o.Process, process)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.local == nil {
		o.local = time.Now
	}
	return o
}

// Run takes the job, calls fn once and gives the job back, also when fn fails or panics or ctx ends. Errors: ErrBusy,
// ErrNotDue, ErrLost, the error of fn and those of the database.
func Run(ctx context.Context, db *database.DB, name string, o Options, fn func(ctx context.Context, h *Holder) error) (err error) {
	if name == "" {
		return errors.New("job: Run needs a name")
	}
	h := &Holder{db: db, name: name, id: rand.Text(), options: o.withDefaults()}
	if err := h.compareClocks(ctx); err != nil {
		return fmt.Errorf("job %s: compare the machine's clock with the database server's: %w", name, err)
	}
	if err := h.acquire(ctx); err != nil {
		if errors.Is(err, database.ErrCommitUnknown) { // this run may hold the job: the next one must not wait for it
			err = errors.Join(err, h.release(ctx, false))
		}
		return err
	}
	finished := false
	defer func() { err = errors.Join(err, h.release(ctx, finished)) }()
	if err := h.run(ctx, fn); err != nil {
		return err
	}
	finished = true
	return nil
}

// Holder holds a job during one run. It is not safe for concurrent use.
type Holder struct {
	db      *database.DB
	name    string
	id      string
	options Options
	saved   []byte       // what Load reads
	renewed time.Time    // when the lease was last renewed
	behind  atomic.Int64 // what options.Now must add to be the database server's clock; a time.Duration
}

// Load decodes what Save stored last, in this run or in an earlier one that did not finish, into state, a pointer. It
// returns false, and leaves state alone, when there is nothing or when it cannot be decoded, as after an update that
// changed its form: then start from the beginning.
func (h *Holder) Load(state any) bool {
	return len(h.saved) > 0 && json.Unmarshal(h.saved, state) == nil
}

// Save stores state as JSON and renews the lease. The error is ErrLost when another run has taken the job.
func (h *Holder) Save(ctx context.Context, state any) error {
	return h.write(ctx, func(ctx context.Context, tx database.Tx) error { return h.SaveTx(ctx, tx, state) })
}

// SaveTx is Save within a transaction: the writes beside it are committed only if this run still holds the job.
func (h *Holder) SaveTx(ctx context.Context, tx database.Tx, state any) error {
	raw, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("job %s: encode the progress: %w", h.name, err)
	}
	now := h.now()
	err = h.update(ctx, tx, `UPDATE job_lease SET progress = $3, lease_time = $4 WHERE name = $1 AND holder = $2`,
		h.name, h.id, raw, h.leaseEnd(now))
	if err != nil {
		return err
	}
	h.saved, h.renewed = raw, now
	return nil
}

// Keep renews the lease when an eighth of it has passed. Call it before every step that may take a while; it is cheap. The
// error is ErrLost when another run has taken the job.
func (h *Holder) Keep(ctx context.Context) error {
	now := h.now()
	if age := now.Sub(h.renewed); age >= 0 && age < h.options.Lease/renewalShare {
		return nil
	}
	err := h.extend(ctx, now)
	if err == nil {
		h.renewed = now
	}
	return err
}

// extend gives the lease its whole length again.
func (h *Holder) extend(ctx context.Context, now time.Time) error {
	return h.write(ctx, func(ctx context.Context, tx database.Tx) error {
		return h.update(ctx, tx, `UPDATE job_lease SET lease_time = $3 WHERE name = $1 AND holder = $2`, h.name, h.id, h.leaseEnd(now))
	})
}

// acquire takes the job, or says why not.
func (h *Holder) acquire(ctx context.Context) error {
	now := h.now()
	doneBefore := int64(math.MaxInt64)
	if h.options.Interval > 0 {
		doneBefore = now.Add(-h.options.Interval).UnixMicro()
	}
	err := h.write(ctx, func(ctx context.Context, tx database.Tx) error {
		return h.acquireTx(ctx, tx, now, doneBefore)
	})
	h.renewed = now
	return err
}

func (h *Holder) acquireTx(ctx context.Context, tx database.Tx, now time.Time, doneBefore int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO job_lease (name, holder, process, lease_time, begin_time, done_time, progress)
		VALUES ($1, '', '', 0, 0, 0, $2) ON CONFLICT (name) DO NOTHING`, h.name, []byte{})
	if err != nil {
		return err
	}
	// The conditions are part of the UPDATE, so of several runs that try at once only one changes the row.
	err = h.update(ctx, tx, `UPDATE job_lease SET holder = $2, process = $3, lease_time = $4, begin_time = $5
		WHERE name = $1 AND done_time <= $6 AND (holder = '' OR lease_time <= $5 OR ($7 AND process <> $3))`,
		h.name, h.id, h.options.Process, h.leaseEnd(now), now.UnixMicro(), doneBefore, h.options.Alone)
	var doneTime int64
	row := tx.QueryRowContext(ctx, `SELECT progress, done_time FROM job_lease WHERE name = $1`, h.name)
	if scanErr := row.Scan(&h.saved, &doneTime); scanErr != nil {
		return scanErr
	}
	if errors.Is(err, ErrLost) {
		err = ErrBusy
		if doneTime > doneBefore {
			err = ErrNotDue
		}
	}
	return err
}

// release gives the job back. A context that ended does not prevent it: otherwise the next run would wait for the lease.
func (h *Holder) release(ctx context.Context, finished bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	now := h.now().UnixMicro()
	return h.write(ctx, func(ctx context.Context, tx database.Tx) error {
		if finished && !h.options.Aside {
			return h.update(ctx, tx, `UPDATE job_lease SET holder = '', process = '', lease_time = $3, done_time = $3, progress = $4
				WHERE name = $1 AND holder = $2`, h.name, h.id, now, []byte{})
		}
		err := h.update(ctx, tx, `UPDATE job_lease SET holder = '', process = '', lease_time = $3 WHERE name = $1 AND holder = $2`, h.name, h.id, now)
		if errors.Is(err, ErrLost) && !finished {
			return nil // the run failed anyway, and its error says why
		}
		return err
	})
}

func (h *Holder) leaseEnd(now time.Time) int64 { return now.Add(h.options.Lease).UnixMicro() }

func (h *Holder) write(ctx context.Context, fn func(ctx context.Context, tx database.Tx) error) error {
	return h.db.Write(ctx, "job "+h.name, fn)
}

// update changes this holder's row; ErrLost if none exists.
func (h *Holder) update(ctx context.Context, tx database.Tx, query string, args ...any) error {
	result, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("job %s: %w", h.name, err)
	}
	rows, err := result.RowsAffected()
	if err == nil && rows == 0 {
		err = ErrLost
	}
	return err
}
