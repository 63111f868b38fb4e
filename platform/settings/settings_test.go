package settings_test

import (
	"errors"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/settings"
)

type inner struct {
	Size settings.ByteSize `env:"T_SIZE" default:"1MiB" max:"20MiB" help:"a size"`
}

type config struct {
	Name    string           `env:"T_NAME" default:"trivet" help:"a name"`
	On      bool             `env:"T_ON" default:"true" help:"a switch"`
	Count   int              `env:"T_COUNT" default:"3" min:"1" max:"10" help:"a count"`
	Big     int64            `env:"T_BIG" help:"a big count"`
	Wait    time.Duration    `env:"T_WAIT" default:"5s" min:"1s" help:"a wait"`
	Origins []string         `env:"T_ORIGINS" help:"a list"`
	Base    *url.URL         `env:"T_BASE" default:"https://example.com/v1" help:"an address"`
	Level   slog.Level       `env:"T_LEVEL" default:"info" help:"a level"`
	Mode    string           `env:"T_MODE" default:"fast" oneof:"fast,slow" help:"a mode"`
	Key     settings.Secret  `env:"T_KEY" required:"serve" help:"a key"`
	Keys    settings.Secrets `env:"T_KEYS" required:"serve" help:"rotating keys"`
	Always  string           `env:"T_ALWAYS" required:"always" help:"needed"`
	Inner   inner
	Clock   func() time.Time `env:"-"`
}

func lookup(m map[string]string) func(string) string { return func(k string) string { return m[k] } }

func TestLoadDefaults(t *testing.T) {
	var c config
	require.NoError(t, settings.Load(lookup(map[string]string{"T_ALWAYS": "x"}), &c))
	require.Equal(t, "trivet", c.Name)
	require.True(t, c.On)
	require.Equal(t, 3, c.Count)
	require.Zero(t, c.Big)
	require.Equal(t, 5*time.Second, c.Wait)
	require.Empty(t, c.Origins)
	require.Equal(t, "https://example.com/v1", c.Base.String())
	require.Equal(t, slog.LevelInfo, c.Level)
	require.False(t, c.Key.IsSet())
	require.False(t, c.Keys.IsSet())
	require.Equal(t, settings.ByteSize(1<<20), c.Inner.Size)
}

// An empty list of origins or of secrets would allow what the setting was to restrict, so a value without content is a mistake.
func TestBlankValuesAreRefused(t *testing.T) {
	for name, value := range map[string]string{
		"T_NAME": " ", "T_ORIGINS": " , ", "T_KEY": "\t", "T_KEYS": ",,", "T_COUNT": " ", "T_WAIT": " ", "T_BASE": " ", "T_ON": " ", "T_SIZE": " ", "T_LEVEL": " ", "T_MODE": " ",
	} {
		var c config
		err := settings.Load(lookup(map[string]string{"T_ALWAYS": "x", name: value}), &c)
		require.ErrorContains(t, err, name+": is blank", name)
	}
	_, err := settings.ReadSecrets(lookup(map[string]string{"T_KEYS": " , "}), "T_KEYS", "")
	require.ErrorContains(t, err, "T_KEYS: is blank")
}

// White space around an id, such as the line break that was copied with it, would make the id match nothing.
func TestTextIsTrimmed(t *testing.T) {
	var c config
	require.NoError(t, settings.Load(lookup(map[string]string{"T_ALWAYS": " ins_1\n", "T_MODE": " slow\n"}), &c))
	require.Equal(t, "ins_1", c.Always)
	require.Equal(t, "slow", c.Mode)
}

func TestLoadValues(t *testing.T) {
	var c config
	require.NoError(t, settings.Load(lookup(map[string]string{
		"T_NAME": "n", "T_ON": "false", "T_COUNT": "10", "T_BIG": "-9000000000", "T_WAIT": "1m", "T_ORIGINS": " a, b ,,c",
		"T_BASE": "http://127.0.0.1:1", "T_LEVEL": "debug", "T_MODE": "slow", "T_KEY": "k1", "T_KEYS": "new, old",
		"T_ALWAYS": "x", "T_SIZE": "64KiB",
	}), &c, "serve"))
	require.Equal(t, "n", c.Name)
	require.False(t, c.On)
	require.Equal(t, 10, c.Count)
	require.Equal(t, int64(-9000000000), c.Big)
	require.Equal(t, time.Minute, c.Wait)
	require.Equal(t, []string{"a", "b", "c"}, c.Origins)
	require.Equal(t, slog.LevelDebug, c.Level)
	require.Equal(t, "k1", c.Key.Reveal())
	require.Equal(t, []string{"new", "old"}, c.Keys.Reveal())
	require.Equal(t, "new", c.Keys.Newest().Reveal())
	require.Equal(t, settings.ByteSize(64<<10), c.Inner.Size)
}

func TestLoadMistakes(t *testing.T) {
	secret := "sk-very-secret"
	cases := map[string]struct {
		env  map[string]string
		name string
		says string
	}{
		"bad bool":       {map[string]string{"T_ON": "maybe"}, "T_ON", `"maybe" is neither true nor false`},
		"bad int":        {map[string]string{"T_COUNT": "ten"}, "T_COUNT", "not a whole number"},
		"int overflow":   {map[string]string{"T_BIG": "99999999999999999999"}, "T_BIG", "not a whole number in range"},
		"less than min":  {map[string]string{"T_COUNT": "0"}, "T_COUNT", "0 is less than 1"},
		"more than max":  {map[string]string{"T_COUNT": "11"}, "T_COUNT", "11 is more than 10"},
		"bad duration":   {map[string]string{"T_WAIT": "5"}, "T_WAIT", "not a duration"},
		"short duration": {map[string]string{"T_WAIT": "1ms"}, "T_WAIT", "1ms is less than 1s"},
		"bad url":        {map[string]string{"T_BASE": "example.com"}, "T_BASE", "not an address"},
		"no http":        {map[string]string{"T_BASE": "ftp://example.com"}, "T_BASE", "must be an http or https address"},
		"secret in url":  {map[string]string{"T_BASE": "https://u:" + secret + "@example.com"}, "T_BASE", "without user, query and fragment"},
		"query in url":   {map[string]string{"T_BASE": "https://example.com/v1?key=" + secret}, "T_BASE", "without user, query and fragment"},
		"url's fragment": {map[string]string{"T_BASE": "https://example.com/v1#x"}, "T_BASE", "without user, query and fragment"},
		"bad level":      {map[string]string{"T_LEVEL": "loud"}, "T_LEVEL", "not valid"},
		"bad choice":     {map[string]string{"T_MODE": "medium"}, "T_MODE", "set T_MODE to one of fast, slow"},
		"bad size":       {map[string]string{"T_SIZE": "huge"}, "T_SIZE", "not a size"},
		"too large":      {map[string]string{"T_SIZE": "1GiB"}, "T_SIZE", "1GiB is more than 20MiB"},
		"both":           {map[string]string{"T_KEY": secret, "T_KEY_FILE": "/x"}, "T_KEY", "is set twice, also by T_KEY_FILE"},
		"missing file":   {map[string]string{"T_NAME_FILE": "/no/such"}, "T_NAME", `no such file or directory ("/no/such")`},
		"secret in path": {map[string]string{"T_KEY_FILE": secret}, "T_KEY", "no such file"},
		"directory":      {map[string]string{"T_NAME_FILE": "/"}, "T_NAME", "is a directory"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.env["T_ALWAYS"] = "x"
			err := settings.Load(lookup(tc.env), &config{})
			var all *settings.Error
			require.ErrorAs(t, err, &all)
			require.Len(t, all.Problems, 1)
			require.Equal(t, tc.name, all.Problems[0].Name)
			require.ErrorContains(t, err, tc.says)
			require.NotContains(t, err.Error(), secret)
		})
	}
}

func TestLoadReportsAllAtOnce(t *testing.T) {
	err := settings.Load(lookup(map[string]string{"T_COUNT": "x", "T_WAIT": "y"}), &config{}, "serve")
	require.EqualError(t, err, `5 settings are wrong:
  T_COUNT: "x" is not a whole number in range; set T_COUNT (a count)
  T_WAIT: "y" is not a duration such as 250ms, 5s or 1h; set T_WAIT (a wait)
  T_KEY: is not set; set T_KEY or T_KEY_FILE (a key)
  T_KEYS: is not set; set T_KEYS or T_KEYS_FILE (rotating keys)
  T_ALWAYS: is not set; set T_ALWAYS (needed)`)
}

func TestLoadReadsFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(path, []byte("line one\nline two\r\n"), 0o600))
	var c config
	require.NoError(t, settings.Load(lookup(map[string]string{"T_KEY_FILE": path, "T_NAME_FILE": path, "T_ALWAYS": "x"}), &c))
	require.Equal(t, "line one\nline two", c.Key.Reveal())
	require.Equal(t, "line one\nline two", c.Name)

	require.NoError(t, os.WriteFile(path, []byte("\n"), 0o600))
	err := settings.Load(lookup(map[string]string{"T_KEY_FILE": path, "T_ALWAYS": "x"}), &c)
	require.ErrorContains(t, err, "it is empty")

	require.NoError(t, os.WriteFile(path, make([]byte, 1<<20+1), 0o600))
	err = settings.Load(lookup(map[string]string{"T_KEY_FILE": path, "T_ALWAYS": "x"}), &c)
	require.ErrorContains(t, err, "larger than 1 MiB")
}

type pair struct {
	Cert string `env:"P_CERT" help:"certificate"`
	Key  string `env:"P_KEY" oneof:"k" help:"its key"`
	In   deep
}

type deep struct {
	N int `env:"P_N" help:"n"`
}

func (d *deep) Validate(settings.Modes) error {
	if d.N < 0 {
		return errors.New("n must not be negative")
	}
	return nil
}

func (p pair) Validate(settings.Modes) error {
	var errs []error
	if (p.Cert == "") != (p.Key == "") {
		errs = append(errs, settings.Invalid("P_KEY", "needs P_CERT too", "set both or none"))
	}
	if p.Cert == "bad" {
		errs = append(errs, settings.Invalid("P_CERT", "is bad", ""))
	}
	return errors.Join(errs...)
}

func TestValidateHook(t *testing.T) {
	load := func(env map[string]string) error { return settings.Load(lookup(env), &pair{}) }
	require.NoError(t, load(nil))
	require.EqualError(t, load(map[string]string{"P_CERT": "bad", "P_N": "-1"}),
		"3 settings are wrong:\n  n must not be negative\n  P_KEY: needs P_CERT too; set both or none\n  P_CERT: is bad")

	// A consequence of a mistake already named is not a second mistake.
	err := load(map[string]string{"P_CERT": "c", "P_KEY": "other"})
	require.EqualError(t, err, "1 setting is wrong:\n  P_KEY: \"other\" is not allowed; set P_KEY to one of k (its key)")
}

func TestJoinNamesEachMistakeOnce(t *testing.T) {
	load := func() error { return settings.Load(lookup(nil), &config{}) }
	err := settings.Join(load(), nil, load(), errors.New("and this"))
	require.EqualError(t, err, "2 settings are wrong:\n  T_ALWAYS: is not set; set T_ALWAYS (needed)\n  and this")
	require.NoError(t, settings.Join(nil, nil))
}

func TestLoadRefusesWrongStructs(t *testing.T) {
	require.ErrorContains(t, settings.Load(lookup(nil), config{}), "pointer to a struct")
	require.ErrorContains(t, settings.Load(lookup(nil), (*config)(nil)), "pointer to a struct")
	require.ErrorContains(t, settings.Load(lookup(nil), &struct{ A string }{}), "field A has no env tag")
	require.ErrorContains(t, settings.Load(lookup(map[string]string{"F": "1"}), &struct {
		F float32 `env:"F"`
	}{}), "field F: type float32 is not supported")
	require.ErrorContains(t, settings.Load(lookup(map[string]string{"N": "1"}), &struct {
		N int `env:"N" min:"x"`
	}{}), "tag min")
}

func TestReadSecretsReadsOneSettingByEitherName(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte("from,file\n"), 0o600))
	for name, tc := range map[string]struct {
		env  map[string]string
		want []string
		err  string
	}{
		"not set":     {nil, []string{}, ""},
		"its name":    {map[string]string{"A": "new,old"}, []string{"new", "old"}, ""},
		"the alias":   {map[string]string{"B": "x"}, []string{"x"}, ""},
		"a file":      {map[string]string{"A_FILE": file}, []string{"from", "file"}, ""},
		"twice":       {map[string]string{"A": "x", "B": "y"}, nil, "A: is set twice, also by B"},
		"placeholder": {map[string]string{"A": "whsec_..."}, []string{"whsec_..."}, "A: holds a placeholder"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := settings.ReadSecrets(lookup(tc.env), "A", "B")
			if tc.err != "" {
				require.ErrorContains(t, err, tc.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.want, got.Reveal())
		})
	}
	got, err := settings.ReadSecrets(lookup(map[string]string{"": "x", "_FILE": "y"}), "A", "")
	require.NoError(t, err)
	require.False(t, got.IsSet(), "without an alias only the name counts")
}
