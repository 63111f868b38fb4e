package clerk

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// The API's own bounds of a page.
const (
	defaultLimit = 10
	maxLimit     = 500
)

// paging reads limit and offset.
func paging(q url.Values) (limit, offset int, err error) {
	limit = defaultLimit
	for name, into := range map[string]*int{"limit": &limit, "offset": &offset} {
		raw := q.Get(name)
		if raw == "" {
			continue
		}
		n, convErr := strconv.Atoi(raw)
		if convErr != nil || n < 0 {
			return 0, 0, invalid(name, "form_param_format_invalid", "must be a non-negative number.")
		}
		*into = n
	}
	if limit < 1 || limit > maxLimit {
		return 0, 0, invalid("limit", "form_param_format_invalid", "must be between 1 and 500.")
	}
	return limit, offset, nil
}

// cut returns one page of list.
func cut[T any](list []T, limit, offset int) []T {
	offset = min(offset, len(list))
	return list[offset:min(offset+limit, len(list))]
}

// matchesAny reports whether a filter ("email_address" or "email_address[]") is absent or has one of the values.
func matchesAny(q url.Values, name string, values ...string) bool {
	wanted := slices.Concat(q[name], q[name+"[]"])
	if len(wanted) == 0 {
		return true
	}
	return slices.ContainsFunc(values, func(v string) bool { return slices.Contains(wanted, v) })
}

// contains reports whether a text filter is absent or occurs in one of the values, in any case.
func contains(q url.Values, name string, values ...string) bool {
	wanted := strings.ToLower(q.Get(name))
	if wanted == "" {
		return true
	}
	return slices.ContainsFunc(values, func(v string) bool { return strings.Contains(strings.ToLower(v), wanted) })
}

// between reports whether a time lies between NAME_after and NAME_before, in milliseconds.
func between(q url.Values, name string, ms int64) bool {
	after, errAfter := strconv.ParseInt(q.Get(name+"_after"), 10, 64)
	before, errBefore := strconv.ParseInt(q.Get(name+"_before"), 10, 64)
	return (errAfter != nil || ms >= after) && (errBefore != nil || ms <= before)
}

// order sorts by order_by: a field with "+" (ascending) or "-" before it, newest first when none is given.
// Equal rows are ordered by fallback, so that pages never overlap.
func order[T any](list []T, q url.Values, fields map[string]func(T) int64, texts map[string]func(T) string, id func(T) string) error {
	by := cmp.Or(q.Get("order_by"), "-created_at")
	name := strings.TrimLeft(by, "+- ")
	sign := 1
	if strings.HasPrefix(by, "-") {
		sign = -1
	}
	number, isNumber := fields[name]
	text, isText := texts[name]
	if !isNumber && !isText {
		return invalid("order_by", "form_param_value_invalid", "does not match one of the allowed values.")
	}
	slices.SortStableFunc(list, func(a, b T) int {
		c := 0
		if isNumber {
			c = cmp.Compare(number(a), number(b))
		} else {
			c = cmp.Compare(text(a), text(b))
		}
		if c == 0 {
			c = cmp.Compare(id(a), id(b))
		}
		return sign * c
	})
	return nil
}
