// Package table keeps the objects of a fake provider in the order of their creation, in memory and, when asked,
// in a file that survives the process.
package table

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// MaxRows bounds every table, so that a sandbox that is filled by mistake fails instead of exhausting memory.
const MaxRows = 200_000

// ErrFull is returned by Insert when a table has MaxRows rows.
var ErrFull = errors.New("the sandbox holds 200000 objects of this kind; reset it or start a new one")

// Table is an ordered map. It is not safe for concurrent use: its fake has a lock.
type Table[T any] struct {
	name  string
	store *Store
	rows  map[string]T
	order []string
}

// New adds an empty table to a store. The rows come with [Store.Load].
func New[T any](s *Store, name string) *Table[T] {
	t := &Table[T]{name: name, store: s, rows: map[string]T{}}
	s.tables = append(s.tables, t)
	return t
}

// Get returns the row with that identifier.
func (t *Table[T]) Get(id string) (T, bool) {
	row, ok := t.rows[id]
	return row, ok
}

// Insert appends a row, or replaces the row with that identifier in place. It returns [ErrFull] or an error of the file.
func (t *Table[T]) Insert(id string, row T) error {
	if _, ok := t.rows[id]; !ok {
		if len(t.order) >= MaxRows {
			return ErrFull
		}
		t.order = append(t.order, id)
	}
	t.rows[id] = row
	return t.store.append(record{Table: t.name, ID: id}, row)
}

// Delete removes a row. Removing a missing row succeeds.
func (t *Table[T]) Delete(id string) error {
	if _, ok := t.rows[id]; !ok {
		return nil
	}
	t.remove(id)
	return t.store.append(record{Table: t.name, ID: id, Deleted: true}, nil)
}

func (t *Table[T]) remove(id string) {
	delete(t.rows, id)
	if at := slices.Index(t.order, id); at >= 0 {
		t.order = slices.Delete(t.order, at, at+1)
	}
}

// DropOldest removes the n oldest rows.
func (t *Table[T]) DropOldest(n int) error {
	gone := t.order[:min(n, len(t.order))]
	t.order = slices.Clone(t.order[len(gone):])
	for _, id := range gone {
		delete(t.rows, id)
		if err := t.store.append(record{Table: t.name, ID: id, Deleted: true}, nil); err != nil {
			return err
		}
	}
	return nil
}

// Len is the number of rows.
func (t *Table[T]) Len() int { return len(t.order) }

// All returns the rows for which keep is true, oldest first. A nil keep selects all. The result is never nil.
func (t *Table[T]) All(keep func(T) bool) []T {
	out := []T{}
	for _, id := range t.order {
		if row := t.rows[id]; keep == nil || keep(row) {
			out = append(out, row)
		}
	}
	return out
}

// Find returns the oldest row that is wanted.
func (t *Table[T]) Find(wanted func(T) bool) (T, bool) {
	for _, id := range t.order {
		if row := t.rows[id]; wanted(row) {
			return row, true
		}
	}
	var none T
	return none, false
}

func (t *Table[T]) label() string { return t.name }

func (t *Table[T]) clear() {
	t.rows, t.order = map[string]T{}, nil
}

// replay applies a record of the file.
func (t *Table[T]) replay(r record) error {
	if r.Deleted {
		t.remove(r.ID)
		return nil
	}
	var row T
	if err := json.Unmarshal(r.Row, &row); err != nil {
		return fmt.Errorf("%s %s: %w", t.name, r.ID, err)
	}
	if _, ok := t.rows[r.ID]; !ok {
		t.order = append(t.order, r.ID)
	}
	t.rows[r.ID] = row
	return nil
}

func (t *Table[T]) dump(write func(record, any) error) error {
	for _, id := range t.order {
		if err := write(record{Table: t.name, ID: id}, t.rows[id]); err != nil {
			return err
		}
	}
	return nil
}
