package serve_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/platform/settings"
)

func lookup(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

func TestProductionRefusesDevFile(t *testing.T) {
	t.Chdir(t.TempDir())
	production := lookup(map[string]string{"TRIVET_ENV": "production"})
	require.NoError(t, serve.RefuseDevFile(production))
	require.NoError(t, os.WriteFile(serve.DevFile, []byte("OPENAI_API_KEY=sk-of-a-developer"), 0o600))
	err := serve.RefuseDevFile(production)
	require.ErrorContains(t, err, "start in a folder without .dev.vars")
	require.NotContains(t, err.Error(), "sk-of")
	require.NoError(t, serve.RefuseDevFile(lookup(nil)))
}

// A key that the price list names is a setting, although its name is nearly that of another one.
func TestKeysOfTargetsAreSettings(t *testing.T) {
	list := filepath.Join(t.TempDir(), "models.yaml")
	require.NoError(t, os.WriteFile(list, []byte(`
targets:
  second: {kind: compatible, base_url: https://api.example.com/v1, keys: [OPENAI_API_KEY_2]}
models:
  m: {kind: chat, provider: x, context_tokens: 10, max_output_tokens: 5, default_output_tokens: 5, input: "1", output: "2", targets: [{target: second}]}
`), 0o600))
	for path, refused := range map[string]bool{"": true, "nowhere.yaml": true, list: false} {
		env := settings.Env{Get: lookup(map[string]string{"MODELS_FILE": path}), File: serve.DevFile, FileNames: []string{"OPENAI_API_KEY_2"}}
		require.Equal(t, refused, serve.KnowTargets(env).Refused() != nil, path)
	}
}
