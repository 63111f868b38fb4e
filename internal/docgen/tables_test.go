package docgen_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/internal/allinone"
	"github.com/trivet-dev/trivet/internal/docgen"
)

func TestDocumentedTablesAreWhatTheCodeSays(t *testing.T) {
	for _, table := range docgen.Tables(allinone.Settings(), allinone.ServiceSettings()) {
		t.Run(table.File+" "+table.Name, func(t *testing.T) {
			committed, err := os.ReadFile(filepath.Join("..", "..", table.File))
			require.NoError(t, err)
			made, err := table.Make()
			require.NoError(t, err)
			want, err := docgen.Replace(string(committed), table.Name, made)
			require.NoError(t, err)
			require.Equal(t, want, string(committed), "run `make docs` and commit")
		})
	}
}

func TestEveryReasonIsExplained(t *testing.T) {
	rows := strings.Count(docgen.Errors(), "\n") - 2
	require.Equal(t, len(errorsv1.ErrorReason_name)-1, rows)
	require.NotContains(t, docgen.Errors(), "|  |\n", "a reason has no explanation")
}

func TestReplaceNeedsItsMarkers(t *testing.T) {
	got, err := docgen.Replace("a\n<!-- x -->\nold\n<!-- /x -->\nb\n", "x", "new\n")
	require.NoError(t, err)
	require.Equal(t, "a\n<!-- x -->\nnew\n<!-- /x -->\nb\n", got)
	_, err = docgen.Replace("a", "x", "new")
	require.ErrorContains(t, err, "<!-- x -->")
	_, err = docgen.Replace("<!-- x -->\n", "x", "new")
	require.ErrorContains(t, err, "<!-- /x -->")
}

func TestTheClientRetriesByTheDocumentedTable(t *testing.T) {
	committed, err := os.ReadFile(filepath.Join("..", "..", docgen.RetriesFile))
	require.NoError(t, err)
	require.Equal(t, docgen.Retries(), string(committed), "run `make docs` and commit")
}
