// Package table keeps the objects of a fake provider in the order of their creation.
package table

import (
	"errors"
	"slices"
)

// MaxRows bounds every table: a sandbox that is filled by mistake must say so and not eat the machine.
const MaxRows = 200_000

// ErrFull is returned by Insert when a table has MaxRows rows.
var ErrFull = errors.New("the sandbox holds 200000 objects of this kind; reset it or start a new one")

// Table is an ordered map. It is not safe for concurrent use: its fake has a lock.
type Table[T any] struct {
	rows  map[string]T
	order []string
}

// New returns an empty table.
func New[T any]() *Table[T] { return &Table[T]{rows: map[string]T{}} }

// Get returns the row with that identifier.
func (t *Table[T]) Get(id string) (T, bool) {
	row, ok := t.rows[id]
	return row, ok
}

// Insert adds a row behind the others, or replaces the one with that identifier where it stands.
func (t *Table[T]) Insert(id string, row T) error {
	if _, ok := t.rows[id]; !ok {
		if len(t.order) >= MaxRows {
			return ErrFull
		}
		t.order = append(t.order, id)
	}
	t.rows[id] = row
	return nil
}

// Delete removes a row.
func (t *Table[T]) Delete(id string) {
	if _, ok := t.rows[id]; !ok {
		return
	}
	delete(t.rows, id)
	t.order = slices.DeleteFunc(t.order, func(s string) bool { return s == id })
}

// Len is the number of rows.
func (t *Table[T]) Len() int { return len(t.order) }

// All returns the rows that keep wants, oldest first; a nil keep wants all.
func (t *Table[T]) All(keep func(T) bool) []T {
	out := make([]T, 0, len(t.order))
	for _, id := range t.order {
		if row := t.rows[id]; keep == nil || keep(row) {
			out = append(out, row)
		}
	}
	return out
}
