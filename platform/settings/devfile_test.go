package settings_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/settings"
)

func TestDevFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".dev.vars")
	require.NoError(t, os.WriteFile(path, []byte(`# a comment
PLAIN=value # and why
QUOTED="with space"
SINGLE='pa$word'
export EXPORTED=yes
OVER=below
BELOW_FILE=/below
TOP=/hidden
`), 0o600))
	env := map[string]string{"OVER": "top", "BELOW": "top", "TOP_FILE": "/top"}
	get, err := settings.Env{Get: lookup(env)}.WithFile(path)
	require.NoError(t, err)
	for name, want := range map[string]string{
		"PLAIN": "value", "QUOTED": "with space", "SINGLE": "pa$word", "EXPORTED": "yes", "OVER": "top",
		"BELOW": "top", "BELOW_FILE": "", "TOP": "", "TOP_FILE": "/top", "NONE": "",
	} {
		require.Equal(t, want, get.Get(name), name)
	}
}

func TestDevFileMissing(t *testing.T) {
	get, err := settings.Env{Get: lookup(map[string]string{"A": "1"})}.WithFile(filepath.Join(t.TempDir(), "none"))
	require.NoError(t, err)
	require.Equal(t, "1", get.Get("A"))
	require.Empty(t, get.File, "no file was read")
}

func TestDevFileMistakesNameTheLineAndHideIt(t *testing.T) {
	for name, tc := range map[string]struct{ text, says string }{
		"no equals":  {"A=1\nsk-hunter2\n", "line 2"},
		"open quote": {"A=1\nKEY=\"hunter2\n", "line"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), ".dev.vars")
			require.NoError(t, os.WriteFile(path, []byte(tc.text), 0o600))
			_, err := settings.Env{Get: lookup(nil)}.WithFile(path)
			require.ErrorContains(t, err, tc.says)
			require.NotContains(t, err.Error(), hidden)
		})
	}
	_, err := settings.Env{Get: lookup(nil)}.WithFile(t.TempDir())
	require.ErrorContains(t, err, "read the settings file")
}
