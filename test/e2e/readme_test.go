package e2e

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The tour of the README is run as it stands; what it shows must have the shape of what comes, and the texts of its errors.
func TestREADMETour(t *testing.T) {
	in := allInOne(t, "TRIVET_SANDBOX_PACE=20ms")
	dir, err := programs()
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	require.NoError(t, err)
	script := strings.NewReplacer("localhost:8080", strings.TrimPrefix(in.edge, "http://"), "bin/trivet", filepath.Join(dir, "trivet"))
	steps := tour(string(text))
	require.Greater(t, len(steps), 5)
	environment := []string{"PATH=" + os.Getenv("PATH"), "TRIVET_SANDBOX_ADDR=" + strings.TrimPrefix(in.sandbox, "http://")}
	setup := ""
	for _, s := range steps {
		if strings.HasPrefix(s.command, "TOKEN=") {
			setup += s.command + "\n"
			continue
		}
		cmd := exec.Command("bash", "-euo", "pipefail", "-c", script.Replace(setup+s.command))
		cmd.Env = environment
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s\n%s", s.command, out)
		require.Equal(t, shape(t, s.output), shape(t, string(out)), "$ %s\n%s", s.command, out)
	}
}

type tourStep struct{ command, output string }

// tour reads the console blocks: lines after "$ " are commands, what follows is what they print.
func tour(readme string) []tourStep {
	var steps []tourStep
	for _, block := range strings.Split(readme, "```console\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		continued := false
		for line := range strings.Lines(block) {
			command, isCommand := strings.CutPrefix(line, "$ ")
			switch last := len(steps) - 1; {
			case isCommand:
				steps = append(steps, tourStep{command: command})
			case continued:
				steps[last].command += line
				command = line
			default:
				steps[last].output += line
				continue
			}
			continued = strings.HasSuffix(strings.TrimSpace(command), "\\")
		}
	}
	return steps
}

// shape is what stays the same from run to run: which fields stand where, and the texts of errors.
func shape(t *testing.T, text string) string {
	t.Helper()
	var out []string
	for line := range strings.Lines(text) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "data: ")
		if line == "" || line == "[DONE]" {
			continue
		}
		var v any
		require.NoError(t, json.Unmarshal([]byte(line), &v), "%q", line)
		out = append(out, fields(v))
	}
	return strings.Join(out, "\n")
}

func fields(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			part := name + fields(v[name])
			if text, isText := v[name].(string); isText && (name == "error" || name == "message" || name == "code") {
				part += strconv.Quote(text)
			}
			parts = append(parts, part)
		}
		return "{" + strings.Join(parts, " ") + "}"
	case []any:
		if len(v) == 0 {
			return "[]"
		}
		return "[" + fields(v[0]) + "]"
	default:
		return ""
	}
}
