package stripe

import (
	"fmt"
	"slices"

	"github.com/trivet-dev/trivet/sandbox/internal/table"
)

// The API's own bounds of a page.
const (
	defaultLimit = 10
	maxLimit     = 100
)

// list is Stripe's list object.
type list[T any] struct {
	Object  string `json:"object"`
	Data    []T    `json:"data"`
	HasMore bool   `json:"has_more"`
	URL     string `json:"url"`
}

// cursor is the place in a list where a page begins.
type cursor struct {
	limit         int
	after, before string
}

func (f *form) cursor() cursor {
	c := cursor{limit: defaultLimit}
	if n := f.integer("limit"); n != nil {
		if *n < 1 || *n > maxLimit {
			f.fail(invalidRequest("limit", "parameter_invalid_integer", fmt.Sprintf("This value must be between 1 and %d (inclusive).", maxLimit)))
		}
		c.limit = int(min(max(*n, 1), maxLimit))
	}
	c.after, _ = f.text("starting_after")
	c.before, _ = f.text("ending_before")
	if c.after != "" && c.before != "" {
		f.fail(invalidRequest("ending_before", "parameters_exclusive", "You cannot specify both starting_after and ending_before."))
	}
	return c
}

// within reads created, or created[gt], [gte], [lt] and [lte], in seconds.
func (f *form) within(key string) func(int64) bool {
	exact := (*int64)(nil)
	if _, plain := f.values[key]; plain {
		exact = f.integer(key)
	}
	var gt, gte, lt, lte *int64
	if c := f.child(key); c != nil {
		gt, gte, lt, lte = c.integer("gt"), c.integer("gte"), c.integer("lt"), c.integer("lte")
	}
	return func(t int64) bool {
		return (exact == nil || t == *exact) && (gt == nil || t > *gt) && (gte == nil || t >= *gte) &&
			(lt == nil || t < *lt) && (lte == nil || t <= *lte)
	}
}

// paginate makes a page of the rows that keep wants, newest first.
func paginate[T any](rows *table.Table[T], c cursor, kind, url string, id func(T) string, keep func(T) bool) (list[T], *apiError) {
	for param, cursor := range map[string]string{"starting_after": c.after, "ending_before": c.before} {
		if _, ok := rows.Get(cursor); cursor != "" && !ok {
			return list[T]{}, noSuchParam(kind, param, cursor)
		}
	}
	all := rows.All(func(row T) bool { return keep(row) || id(row) == c.after || id(row) == c.before })
	slices.Reverse(all)
	return cut(all, c, url, id), nil
}

// paginateRows makes a page of rows that stand in their own order.
func paginateRows[T any](rows []T, c cursor, kind, url string, id func(T) string) (list[T], *apiError) {
	for param, cursor := range map[string]string{"starting_after": c.after, "ending_before": c.before} {
		if cursor != "" && !slices.ContainsFunc(rows, func(row T) bool { return id(row) == cursor }) {
			return list[T]{}, noSuchParam(kind, param, cursor)
		}
	}
	return cut(rows, c, url, id), nil
}

// cut is the page of all rows that the cursor names.
func cut[T any](all []T, c cursor, url string, id func(T) string) list[T] {
	at := func(cursor string) int {
		return slices.IndexFunc(all, func(row T) bool { return id(row) == cursor })
	}
	var from, to int
	switch {
	case c.after != "":
		from = at(c.after) + 1
		to = min(from+c.limit, len(all))
	case c.before != "":
		to = at(c.before)
		from = max(to-c.limit, 0)
	default:
		to = min(c.limit, len(all))
	}
	more := to < len(all)
	if c.before != "" {
		more = from > 0
	}
	return list[T]{Object: "list", Data: all[from:to], HasMore: more, URL: url}
}
