package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/paging"
)

// Filter chooses events; what is zero chooses all.
type Filter struct {
	Source, Type, Subject string
	State                 State
	// Since leaves out events that were put before.
	Since time.Time
	// PageSize is the number of events of a page; see paging.Size.
	PageSize int32
	// PageToken is Page.NextPageToken of the page before, with the same filter.
	PageToken string
}

// Page is a part of a list.
type Page struct {
	// Events are without payloads.
	Events []Record
	// NextPageToken is empty on the last page.
	NextPageToken string
}

// list is what page tokens are bound to.
func (f Filter) list() paging.List {
	return paging.List{Name: "inbox events", Filters: []string{
		f.Source, f.Type, f.Subject, string(f.State), strconv.FormatInt(f.Since.UnixMicro(), 10),
	}}
}

// List returns events, newest first. Errors: one that wraps paging.ErrToken, and the store's.
func (in *Inbox) List(ctx context.Context, f Filter) (Page, error) {
	where, args, err := f.where()
	if err != nil {
		return Page{}, err
	}
	size := paging.Size(f.PageSize)
	query := `SELECT ` + columns + ` FROM inbox_event` + where + ` ORDER BY seq DESC LIMIT ` + strconv.Itoa(size+1)
	rows, err := in.db.Reader().QueryContext(ctx, query, args...)
	if err != nil {
		return Page{}, err
	}
	events, err := scanRecords(rows)
	if err != nil {
		return Page{}, err
	}
	events, next := paging.Cut(f.list(), events, size, func(r Record) paging.Cursor {
		return paging.Cursor{ID: strconv.FormatInt(r.Sequence, 10)}
	})
	return Page{Events: events, NextPageToken: next}, nil
}

// where is the only SQL that depends on what is asked for; values are always arguments.
func (f Filter) where() (text string, args []any, err error) {
	var terms []string
	add := func(term string, arg any) {
		args = append(args, arg)
		terms = append(terms, term+" $"+strconv.Itoa(len(args)))
	}
	if f.Source != "" {
		add("source =", f.Source)
	}
	if f.Type != "" {
		add("type =", f.Type)
	}
	if f.Subject != "" {
		add("subject =", f.Subject)
	}
	if !f.Since.IsZero() {
		add("put_time >=", f.Since.UnixMicro())
	}
	after, err := f.list().Cursor(f.PageToken)
	if err != nil {
		return "", nil, err
	}
	if after.ID != "" {
		sequence, err := strconv.ParseInt(after.ID, 10, 64)
		if err != nil {
			return "", nil, paging.Invalid()
		}
		add("seq <", sequence)
	}
	switch f.State {
	case "":
	case Dead, Done, Ignored:
		terms = append(terms, "state = '"+string(f.State)+"'")
	case Pending, Leased:
		terms = append(terms, "state = '"+string(f.State)+"' AND "+active)
	default:
		return "", nil, fmt.Errorf("inbox: State is %q, must be pending, leased, done, dead or ignored", f.State)
	}
	if len(terms) == 0 {
		return "", nil, nil
	}
	return " WHERE " + strings.Join(terms, " AND "), args, nil
}

// Get returns an event with its failures, and with its payload as Options.Redact leaves it. Errors: ErrNotFound, and the store's.
func (in *Inbox) Get(ctx context.Context, source, id string) (Record, error) {
	row := in.db.Reader().QueryRowContext(ctx, `SELECT `+columns+` FROM inbox_event WHERE source = $1 AND id = $2`, source, id)
	r, err := scanRecord(row.Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return Record{}, ErrNotFound
	}
	if err == nil {
		r.Failures, err = in.failures(ctx, r.Sequence)
	}
	if err != nil || in.options.Redact == nil {
		return r, err
	}
	err = in.db.Reader().QueryRowContext(ctx, `SELECT payload FROM inbox_payload WHERE seq = $1`, r.Sequence).Scan(&r.Payload)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return r, nil // deleted, as its time was over
	case err == nil:
		r.Payload = in.options.Redact(r.Event)
	}
	return r, err
}

func (in *Inbox) failures(ctx context.Context, seq int64) (list []Failure, err error) {
	rows, err := in.db.Reader().QueryContext(ctx, in.sql.failures, seq)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var f Failure
		var begun, end int64
		if err := rows.Scan(&f.Attempt, &begun, &end, &f.Error); err != nil {
			return nil, err
		}
		f.BeginTime, f.EndTime = fromMicros(begun), fromMicros(end)
		list = append(list, f)
	}
	return list, rows.Err()
}

const redriveBatch = 200

// Redrive makes dead events of a source pending again, with all their attempts before them, and returns the ids of those
// that were not dead, or are not there. They are handled late: after events of their subjects that have passed them.
func (in *Inbox) Redrive(ctx context.Context, source string, ids []string) (redriven int64, skipped []string, err error) {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	for batch := range slices.Chunk(ids, redriveBatch) {
		var passed []string
		err = in.db.Write(ctx, "inbox redrive", func(ctx context.Context, tx database.Tx) error {
			passed = nil
			for _, id := range batch {
				n, err := exec(ctx, tx, redrive+`source = $2 AND id = $3`, in.now().UnixMicro(), source, id)
				if err != nil {
					return err
				}
				if n == 0 {
					passed = append(passed, id)
				}
			}
			tx.AfterCommit(func() { in.wakeFor(source) })
			return nil
		})
		if err != nil {
			return redriven, skipped, fmt.Errorf("after %d events were redriven: %w", redriven, err)
		}
		redriven += int64(len(batch) - len(passed))
		skipped = append(skipped, passed...)
	}
	return redriven, skipped, nil
}

// Attempts begin anew; the last error stays, for who looks.
const (
	redrive     = `UPDATE inbox_event SET state = 'pending', ready = TRUE, attempts = 0, due_time = $1, end_time = NULL WHERE state = 'dead' AND `
	redriveDead = redrive + `seq IN (
		SELECT seq FROM inbox_event WHERE source = $2 AND seq > $3 AND state = 'dead' ORDER BY seq LIMIT $4) RETURNING seq`
)

// RedriveAll redrives all dead events of a source.
func (in *Inbox) RedriveAll(ctx context.Context, source string) (redriven int64, err error) {
	after := int64(0) // onwards only: those that die again meanwhile are not taken twice
	for {
		var seqs []int64
		err = in.db.Write(ctx, "inbox redrive", func(ctx context.Context, tx database.Tx) error {
			if seqs, err = in.redriveAfter(ctx, tx, source, after); err != nil {
				return err
			}
			tx.AfterCommit(func() { in.wakeFor(source) })
			return nil
		})
		if err != nil {
			return redriven, fmt.Errorf("after %d events were redriven: %w", redriven, err)
		}
		if redriven += int64(len(seqs)); len(seqs) < redriveBatch {
			return redriven, nil
		}
		after = slices.Max(seqs)
	}
}

func (in *Inbox) redriveAfter(ctx context.Context, tx database.Tx, source string, after int64) (seqs []int64, err error) {
	rows, err := tx.QueryContext(ctx, redriveDead, in.now().UnixMicro(), source, after, redriveBatch)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var seq int64
		if err := rows.Scan(&seq); err != nil {
			return nil, err
		}
		seqs = append(seqs, seq)
	}
	return seqs, rows.Err()
}

// Count is how many events of a source are in a state.
type Count struct {
	Source string
	State  State // Pending, Leased or Dead; the others are not counted, as that would read them all
	Events int64
	// Oldest is when the first of them was put.
	Oldest time.Time
}

// Counts counts what is not at its end, and what is dead.
func (in *Inbox) Counts(ctx context.Context) (counts []Count, err error) {
	rows, err := in.db.Reader().QueryContext(ctx, countQuery)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var c Count
		var state string
		var oldest int64
		if err := rows.Scan(&c.Source, &state, &c.Events, &oldest); err != nil {
			return nil, err
		}
		c.State, c.Oldest = State(state), fromMicros(oldest)
		counts = append(counts, c)
	}
	return counts, rows.Err()
}

const countQuery = `SELECT c.source, c.state, c.events, e.put_time FROM (
		SELECT source, state, count(*) AS events, min(seq) AS first FROM inbox_event WHERE ` + active + ` GROUP BY source, state
		UNION ALL
		SELECT source, 'dead', count(*), min(seq) FROM inbox_event WHERE state = 'dead' GROUP BY source
	) AS c JOIN inbox_event AS e ON e.seq = c.first ORDER BY c.source, c.state`
