package stripe_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox/stripe"
)

// TestCursors walks a list in both directions, with pages that fit exactly and that do not.
func TestCursors(t *testing.T) {
	s := serve(t, stripe.Config{})
	var ids []string // newest first
	for i := range 7 {
		r := s.do(t, "POST", "/v1/customers", fmt.Sprintf("name=%d", i))
		var made struct{ ID string }
		require.NoError(t, json.Unmarshal([]byte(r.body), &made))
		ids = append([]string{made.ID}, ids...)
	}
	get := func(query string) (got []string, more bool) {
		r := s.do(t, "GET", "/v1/customers?"+query, "")
		require.Equal(t, http.StatusOK, r.status, r.body)
		var page struct {
			Data    []struct{ ID string }
			HasMore bool `json:"has_more"`
		}
		require.NoError(t, json.Unmarshal([]byte(r.body), &page))
		for _, row := range page.Data {
			got = append(got, row.ID)
		}
		return got, page.HasMore
	}
	for name, test := range map[string]struct {
		query string
		want  []string
		more  bool
	}{
		"all":                        {"limit=100", ids, false},
		"exactly all":                {"limit=7", ids, false},
		"one less":                   {"limit=6", ids[:6], true},
		"one":                        {"limit=1", ids[:1], true},
		"after the first":            {"limit=3&starting_after=" + ids[0], ids[1:4], true},
		"to the end exactly":         {"limit=3&starting_after=" + ids[3], ids[4:], false},
		"after the last":             {"limit=3&starting_after=" + ids[6], nil, false},
		"before the last":            {"limit=3&ending_before=" + ids[6], ids[3:6], true},
		"to the beginning exactly":   {"limit=3&ending_before=" + ids[3], ids[:3], false},
		"fewer before":               {"limit=3&ending_before=" + ids[2], ids[:2], false},
		"before the first":           {"limit=3&ending_before=" + ids[0], nil, false},
		"more before than are asked": {"limit=2&ending_before=" + ids[3], ids[1:3], true},
	} {
		got, more := get(test.query)
		require.Equal(t, test.want, got, name)
		require.Equal(t, test.more, more, name)
	}
	for _, query := range []string{"limit=0", "limit=101", "limit=-1", "limit=x", "starting_after=cus_other", "ending_before=cus_other", "starting_after=" + ids[0] + "&ending_before=" + ids[1]} {
		require.Equal(t, http.StatusBadRequest, s.do(t, "GET", "/v1/customers?"+query, "").status, query)
	}
}
