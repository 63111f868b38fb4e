package table_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox/internal/table"
)

type row struct {
	Name string `json:"name"`
}

func open(t *testing.T, path string) (*table.Store, *table.Table[row]) {
	t.Helper()
	s := table.NewStore(path)
	rows := table.New[row](s, "rows")
	require.NoError(t, s.Load())
	return s, rows
}

func TestTableKeepsTheOrderOfCreation(t *testing.T) {
	_, rows := open(t, "")
	for _, id := range []string{"b", "a", "c"} {
		require.NoError(t, rows.Insert(id, row{id}))
	}
	require.NoError(t, rows.Insert("b", row{"changed"}))
	require.NoError(t, rows.Delete("a"))
	require.NoError(t, rows.Delete("never was"))
	require.Equal(t, []row{{"changed"}, {"c"}}, rows.All(nil))
	found, ok := rows.Find(func(r row) bool { return r.Name == "c" })
	require.True(t, ok)
	require.Equal(t, row{"c"}, found)
}

func TestStoreSurvivesARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "rows.jsonl")
	_, first := open(t, path) // never closed: a process that is killed closes nothing
	require.NoError(t, first.Insert("a", row{"one"}))
	require.NoError(t, first.Insert("b", row{"two"}))
	require.NoError(t, first.Insert("a", row{"three"}))
	require.NoError(t, first.Delete("b"))
	require.NoError(t, first.Insert("c", row{"four"}))

	store, second := open(t, path)
	require.Equal(t, []row{{"three"}, {"four"}}, second.All(nil))
	require.NoError(t, store.Reset())
	require.NoError(t, second.Insert("d", row{"five"}))
	require.NoError(t, store.Close())

	_, third := open(t, path)
	require.Equal(t, []row{{"five"}}, third.All(nil))
}

func TestStoreReadsATruncatedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rows.jsonl")
	good := `{"table":"rows","id":"a","row":{"name":"one"}}` + "\n" + `{"table":"of another version","id":"x","row":{}}` + "\n"
	require.NoError(t, os.WriteFile(path, []byte(good+`{"table":"rows","id":"b","ro`), 0o600))
	_, rows := open(t, path)
	require.Equal(t, []row{{"one"}}, rows.All(nil))

	require.NoError(t, os.WriteFile(path, []byte("damaged\n"+good), 0o600))
	s := table.NewStore(path)
	table.New[row](s, "rows")
	err := s.Load()
	require.ErrorContains(t, err, "line 1")
	require.ErrorContains(t, err, "delete the file")
}

func TestStoreIsCompacted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rows.jsonl")
	_, rows := open(t, path)
	for range 25_000 {
		require.NoError(t, rows.Insert("a", row{"again"}))
	}
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Less(t, strings.Count(string(raw), "\n"), 11_000)
	require.Equal(t, 1, rows.Len())
}
