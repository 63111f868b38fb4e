package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/internal/docgen"
	"github.com/trivet-dev/trivet/platform/skip"
)

// TestClientsOfOpenAI drives the edge with the clients that people use, and compares what works with the table in
// INTEGRATIONS.md. They need a newer Node.js than other tests, which comes from npm.
func TestClientsOfOpenAI(t *testing.T) {
	folder, err := filepath.Abs(filepath.Join("..", "sdk"))
	require.NoError(t, err)
	program := filepath.Join(folder, "clients", "node_modules", "node", "bin", "node")
	_, err = os.Stat(program)
	skip.Unless(t, "OpenAI's clients for Node.js", err, "run `make test/sdk/clients/node_modules` (needs Node.js)")
	in := allInOne(t)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	command := exec.CommandContext(ctx, program, filepath.Join(folder, "clients.mjs"), in.edge+"/v1", in.token("user_clients", nil), in.sandbox)
	var trouble strings.Builder
	command.Stderr = &trouble
	out, err := command.Output()
	require.NoError(t, err, "%s\n%s", out, trouble.String())

	page := filepath.Join("..", "..", "INTEGRATIONS.md")
	committed, err := os.ReadFile(page)
	require.NoError(t, err)
	want, err := docgen.Replace(string(committed), "clients", clientTable(t, string(out)))
	require.NoError(t, err)
	if os.Getenv("TRIVET_WRITE_DOCS") != "" {
		require.NoError(t, os.WriteFile(page, []byte(want), 0o600))
		return
	}
	require.Equal(t, want, string(committed), "run `TRIVET_WRITE_DOCS=1 go test ./test/e2e -run TestClientsOfOpenAI` and commit")
}

// clientTable makes a table of lines such as "cell|chat|openai 7.59.0|yes".
func clientTable(t *testing.T, out string) string {
	t.Helper()
	var features, clients []string
	results := map[[2]string]string{}
	for line := range strings.Lines(out) {
		cell := strings.Split(strings.TrimSpace(line), "|")
		if len(cell) != 4 || cell[0] != "cell" {
			continue
		}
		if !slices.Contains(features, cell[1]) {
			features = append(features, cell[1])
		}
		if !slices.Contains(clients, cell[2]) {
			clients = append(clients, cell[2])
		}
		results[[2]string{cell[1], cell[2]}] = cell[3]
	}
	require.NotEmpty(t, features)
	var b strings.Builder
	b.WriteString("| |")
	for _, client := range clients {
		name, version, _ := strings.Cut(client, " ")
		b.WriteString(" `" + name + "` " + version + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(clients)) + "\n")
	for _, feature := range features {
		b.WriteString("| " + feature + " |")
		for _, client := range clients {
			b.WriteString(" " + results[[2]string{feature, client}] + " |")
		}
		b.WriteString("\n")
	}
	return b.String()
}
