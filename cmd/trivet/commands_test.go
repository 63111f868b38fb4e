package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/settings"
)

func noSettings() settings.Env { return settings.Env{Get: func(string) string { return "" }} }

// every calls visit for each command.
func every(cmd *cobra.Command, visit func(*cobra.Command)) {
	visit(cmd)
	for _, sub := range cmd.Commands() {
		every(sub, visit)
	}
}

func TestEveryCommandsHelpHasAnExample(t *testing.T) {
	seen := 0
	every(newRoot(program{env: noSettings()}), func(cmd *cobra.Command) {
		seen++
		require.NotEmpty(t, cmd.Short, cmd.CommandPath())
		require.Contains(t, cmd.Example, cmd.CommandPath(), "the example of %s", cmd.CommandPath())
	})
	require.Greater(t, seen, 15)
}

func TestUnknownCommandsFail(t *testing.T) {
	for args, says := range map[string]string{
		"serv":               `unknown command "serv"`,
		"users lst":          `unknown command "lst" for "trivet users"; did you mean list?`,
		"users bogus":        `unknown command "bogus" for "trivet users"`,
		"events bogus":       `unknown command "bogus" for "trivet events"`,
		"users list extra":   `unknown command "extra"`,
		"version extra":      `unknown command "extra"`,
		"dev --allow":        "unknown flag",
		"users erase":        "accepts 1 arg",
		"token":              "--user is required",
		"users list --limit": "flag needs an argument",
	} {
		var out, errs bytes.Buffer
		err := run(t.Context(), strings.Fields(args), program{env: noSettings(), stdout: &out, stderr: &errs})
		require.ErrorContains(t, err, says, args)
	}
}

func TestVersion(t *testing.T) {
	for _, args := range []string{"version", "--version"} {
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), []string{args}, program{env: noSettings(), stdout: &out, stderr: &out}))
		require.Regexp(t, `^trivet \S+`, out.String())
	}
}
