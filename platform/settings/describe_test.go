package settings_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/settings"
)

func TestDescribe(t *testing.T) {
	docs, err := settings.Describe(config{}, &pair{}, &config{})
	require.NoError(t, err)
	byName := map[string]settings.Doc{}
	for _, d := range docs {
		require.NotContains(t, byName, d.Name, "listed twice")
		byName[d.Name] = d
	}
	require.Equal(t, settings.Doc{
		Name: "T_KEY", Type: "secret", Help: "a key", Secret: true, Required: []string{"serve"},
	}, byName["T_KEY"])
	require.Equal(t, settings.Doc{
		Name: "T_MODE", Type: "text", Default: "fast", Help: "a mode", OneOf: []string{"fast", "slow"},
	}, byName["T_MODE"])
	types := map[string]string{}
	for name, d := range byName {
		types[name] = d.Type
	}
	require.Equal(t, map[string]string{
		"T_NAME": "text", "T_ON": "true or false", "T_COUNT": "number", "T_BIG": "number", "T_WAIT": "duration",
		"T_ORIGINS": "list", "T_BASE": "address", "T_LEVEL": "text", "T_MODE": "text", "T_KEY": "secret",
		"T_KEYS": "secrets", "T_ALWAYS": "text", "T_SIZE": "size", "P_CERT": "text", "P_KEY": "text", "P_N": "number",
	}, types)
}

func TestDescribeRefusesContradictions(t *testing.T) {
	type other struct {
		Name string `env:"T_NAME" default:"else" help:"a name"`
	}
	_, err := settings.Describe(config{}, other{})
	require.ErrorContains(t, err, `T_NAME is text (default "else") here and text (default "trivet") elsewhere`)

	type stricter struct {
		Key settings.Secret `env:"T_KEY" required:"serve,doctor" help:"a key"`
	}
	docs, err := settings.Describe(config{}, stricter{})
	require.NoError(t, err)
	for _, d := range docs {
		if d.Name == "T_KEY" {
			require.Equal(t, []string{"serve", "doctor"}, d.Required)
		}
	}
	_, err = settings.Describe(nil)
	require.ErrorContains(t, err, "needs structs")
}

func TestByteSize(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0", "512": "512", "1024": "1KiB", "1500": "1500", "64KiB": "64KiB", "20 MiB": "20MiB", "1GiB": "1GiB",
		"1MB": "1000000", "3B": "3", "8GiB": "8GiB",
	} {
		got, err := settings.ParseByteSize(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got.String(), text)
	}
	for _, text := range []string{"", "x", "-1", "1.5MiB", "MiB", "9999999999GiB", "1TiB"} {
		_, err := settings.ParseByteSize(text)
		require.Error(t, err, text)
	}
}
