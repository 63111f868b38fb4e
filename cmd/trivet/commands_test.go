package main

import (
	"bytes"
	"io"
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
		"serv":                 `unknown command "serv"`,
		"users lst":            `unknown command "lst" for "trivet users"; did you mean list?`,
		"users bogus":          `unknown command "bogus" for "trivet users"`,
		"events bogus":         `unknown command "bogus" for "trivet events"`,
		"help bogus":           "unknown command \"bogus\" for \"trivet\"\nRun 'trivet --help' for the list",
		"help event":           `unknown command "event" for "trivet"; did you mean events?`,
		"help events lst":      `unknown command "lst" for "trivet events"; did you mean list?`,
		"users list extra":     `unknown command "extra"`,
		"version extra":        `unknown command "extra"`,
		"dev --allow":          "unknown flag",
		"users erase":          "trivet users erase needs 1 argument, got 0\nUsage: trivet users erase ID",
		"plans migrate a b c":  "trivet plans migrate needs 2 arguments, got 3\nUsage: trivet plans migrate FROM TO",
		"users list --limit x": `invalid argument "x" for "--limit" flag: a whole number is needed`,
		"users list --limit 99999999999999999999": "the number is too large or too small",
		"users list --json=ja":                    `invalid argument "ja" for "--json" flag: write true or false`,
		"events redrive":                          "give the ids of events",
		"events redrive evt_1 --state dead":       "give the ids of events",
		"apikeys update key_1":                    "nothing to change: give --name or a limit",
		"events list --state nope":                "--state is one of",
		"events list --source nope":               "--source is clerk or",
		"users list --limit 0":                    "--limit must be 1 to",
		"keys rotate a b --dir c":                 "a b is unknown",
		"--allow":                                 "unknown flag: --allow\nRun 'trivet --help' for the flags",
		"token":                                   "--user is required",
		"users list --limit":                      "flag needs an argument",
		"ready foo":                               `"foo" is not an address such as http://127.0.0.1:9091/readyz`,
		"ready ftp://x/":                          `"ftp://x/" is not an address`,
	} {
		var out, errs bytes.Buffer
		err := run(t.Context(), strings.Fields(args), program{env: noSettings(), stdout: &out, stderr: &errs})
		require.ErrorContains(t, err, says, args)
		require.Equal(t, 2, exitStatus(err), args)
	}
}

// An empty account would be the operator's own.
func TestEmptyArgumentsFail(t *testing.T) {
	for _, args := range [][]string{{"billing", "overage", ""}, {"billing", "notices", " "}, {"plans", "migrate", "pro@1", ""}, {"users", "erase", ""}} {
		err := run(t.Context(), args, program{env: noSettings(), stdout: io.Discard, stderr: io.Discard})
		require.ErrorContains(t, err, "got an empty argument", args)
		require.Equal(t, 2, exitStatus(err), args)
	}
}

func TestHelpIsThatOfTheCommand(t *testing.T) {
	for args, says := range map[string]string{"help": "Trivet is the back end", "help events list": "trivet events list [flags]", "help help": "trivet help [COMMAND]"} {
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), strings.Fields(args), program{env: noSettings(), stdout: &out, stderr: io.Discard}), args)
		require.Contains(t, out.String(), says, args)
	}
}

func TestNumbersThatMakeNoSenseAreRefused(t *testing.T) {
	for args, says := range map[string]string{
		"token --user user_alice --ttl soon": `--ttl is "soon"`,
		"token --user user_alice --ttl -1s":  `--ttl is "-1s"`,
		"token --user user_alice --ttl 0s":   `--ttl is "0s"`,
		"apikeys list --limit 0":             "--limit must be 1 to 100000, not 0",
		"users erasures --limit 100001":      "--limit must be 1 to 100000, not 100001",
	} {
		err := run(t.Context(), strings.Fields(args), program{env: noSettings(), stdout: io.Discard, stderr: io.Discard})
		require.ErrorContains(t, err, says, args)
		require.Equal(t, 2, exitStatus(err), args)
	}
}

// The edge's text often says what its details say.
func TestRefusalsSayEachProblemOnce(t *testing.T) {
	for raw, want := range map[string]string{
		`{"error":"from must be a plan.","details":[{"field":"from","problem":"must be a plan"}]}`: "from must be a plan.",
		`{"error":"No such model.","details":[{"field":"model","problem":"is not in the list"}]}`:  "No such model. (model is not in the list)",
	} {
		require.EqualError(t, refused("400", []byte(raw)), want)
	}
}

func TestTokenRefusesIDsThatAuthWouldNotTake(t *testing.T) {
	for flag, args := range map[string][]string{
		"--user is \"bad user\"": {"token", "--user", "bad user"},
		"--user is \"zoë\"":      {"token", "--user", "zoë"},
		"--org is \"org\\n\"":    {"token", "--user", "user_alice", "--org", "org\n"},
	} {
		err := run(t.Context(), args, program{env: noSettings(), stdout: io.Discard, stderr: io.Discard})
		require.ErrorContains(t, err, flag)
		require.Equal(t, 2, exitStatus(err))
	}
}

// A command line that is right, and a command that fails.
func TestFailuresOfCommandsExitWithOne(t *testing.T) {
	for args, says := range map[string]string{
		"plans validate no-such-file.yaml": "no-such-file.yaml",
		"ready http://127.0.0.1:1/":        "connection refused",
	} {
		err := run(t.Context(), strings.Fields(args), program{env: noSettings(), stdout: io.Discard, stderr: io.Discard})
		require.ErrorContains(t, err, says, args)
		require.Equal(t, 1, exitStatus(err), args)
	}
}

func TestVersion(t *testing.T) {
	for _, args := range []string{"version", "--version"} {
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), []string{args}, program{env: noSettings(), stdout: &out, stderr: &out}))
		require.Regexp(t, `^trivet \S+`, out.String())
	}
}
