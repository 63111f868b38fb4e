package paging_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/paging"
)

func byName(name string) paging.Cursor { return paging.Cursor{ID: name} }

func TestWindow(t *testing.T) {
	list := paging.List{Name: "plans"}
	all := []string{"free", "pro", "team", "max", "old"}
	for size, pages := range map[int][][]string{
		1: {{"free"}, {"pro"}, {"team"}, {"max"}, {"old"}},
		2: {{"free", "pro"}, {"team", "max"}, {"old"}},
		4: {{"free", "pro", "team", "max"}, {"old"}},
		5: {all},
		9: {all},
	} {
		token := ""
		for i, want := range pages {
			got, next, err := paging.Window(list, all, size, token, byName)
			require.NoError(t, err)
			require.Equal(t, want, got, "size %d, page %d", size, i)
			require.Equal(t, i == len(pages)-1, next == "", "the last page has no token")
			token = next
		}
	}
}

func TestWindowWithoutObjects(t *testing.T) {
	got, next, err := paging.Window(paging.List{Name: "plans"}, []string{}, 5, "", byName)
	require.NoError(t, err)
	require.Empty(t, got)
	require.Empty(t, next)
}

func TestWindowRefusesTokens(t *testing.T) {
	list := paging.List{Name: "plans"}
	all := []string{"free", "pro", "team"}
	_, token, err := paging.Window(list, all, 2, "", byName)
	require.NoError(t, err)
	for name, ask := range map[string]struct {
		list  paging.List
		all   []string
		token string
	}{
		"not a token":              {list, all, "abc"},
		"of another list":          {paging.List{Name: "models"}, all, token},
		"with other filters":       {paging.List{Name: "plans", Filters: []string{"x"}}, all, token},
		"its object is gone":       {list, slices.Delete(slices.Clone(all), 1, 2), token},
		"its list is empty by now": {list, nil, token},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := paging.Window(ask.list, ask.all, 2, ask.token, byName)
			require.ErrorIs(t, err, paging.ErrToken)
		})
	}
}

func TestLongSize(t *testing.T) {
	for asked, want := range map[int32]int{0: 500, -1: 500, 1: 1, 50: 50, 500: 500, 501: 500, 1 << 30: 500} {
		require.Equal(t, want, paging.LongSize(asked), asked)
	}
}
