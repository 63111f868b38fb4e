package settings_test

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/settings"
)

type providerConfig struct {
	Key      settings.Secrets `env:"P_SECRET" alias:"P_OTHER_NAME" begins:"sk_live_,sk_test_" help:"a key"`
	Hook     settings.Secret  `env:"P_HOOK" begins:"whsec_" wanted:"webhooks are refused" help:"a webhook secret"`
	Issuer   string           `env:"P_ISSUER" help:"an issuer"`
	Database settings.Secret  `env:"P_DATABASE" help:"a database"`
}

func TestProductionRefusesWhatCannotBeReal(t *testing.T) {
	for name, tc := range map[string]struct {
		env         map[string]string
		production  string // what production says; "" for nothing
		development string
	}{
		"real":                         {env: map[string]string{"P_SECRET": "sk_live_abc", "P_HOOK": "whsec_abc"}},
		"a test key":                   {env: map[string]string{"P_SECRET": "sk_test_abc"}},
		"the sandbox's key":            {env: map[string]string{"P_SECRET": "sk_test_trivetsandbox"}, production: "P_SECRET: is the sandbox's Stripe key"},
		"behind a real one":            {env: map[string]string{"P_SECRET": "sk_live_abc, sk_test_trivetsandbox"}, production: "P_SECRET: is the sandbox's Stripe key"},
		"by its second name":           {env: map[string]string{"P_OTHER_NAME": "sk_test_trivetsandbox"}, production: "P_SECRET: is the sandbox's Stripe key"},
		"in a setting of another kind": {env: map[string]string{"P_ISSUER": "https://trivet-sandbox-0.clerk.accounts.dev"}, production: "P_ISSUER: is the sandbox's Clerk instance"},
		"another form":                 {env: map[string]string{"P_SECRET": "abc"}, production: "P_SECRET: cannot be real: a real value begins with sk_live_ or sk_test_"},
		"nothing but the beginning":    {env: map[string]string{"P_SECRET": "sk_live_"}, production: "P_SECRET: cannot be real"},
		"another form of one of two":   {env: map[string]string{"P_SECRET": "sk_live_abc,x"}, production: "P_SECRET: cannot be real"},
		"an example":                   {env: map[string]string{"P_SECRET": "sk_test_..."}, production: "P_SECRET: holds a placeholder", development: "P_SECRET: holds a placeholder"},
		"compose's password":           {env: map[string]string{"P_DATABASE": "postgres://trivet:trivet@db/trivet"}, production: "P_DATABASE: has the password of docker-compose.yml"},
		"another password":             {env: map[string]string{"P_DATABASE": "postgres://trivet:secret@db/trivet"}},
		"both names":                   {env: map[string]string{"P_SECRET": "sk_live_abc", "P_OTHER_NAME": "sk_live_abc"}, production: "P_SECRET: is set twice, also by P_OTHER_NAME", development: "is set twice"},
	} {
		t.Run(name, func(t *testing.T) {
			for mode, says := range map[string]string{settings.Production: tc.production, "": tc.development} {
				var c providerConfig
				err := settings.Load(lookup(tc.env), &c, mode)
				if says == "" {
					require.NoError(t, err, mode)
					continue
				}
				require.ErrorContains(t, err, says, mode)
				for _, value := range tc.env {
					if value == "sk_live_" {
						continue // the message names it as the beginning of real ones
					}
					require.NotContains(t, err.Error(), value, "a value is never quoted")
				}
			}
		})
	}
}

func TestNotices(t *testing.T) {
	var c providerConfig
	require.NoError(t, settings.Load(lookup(map[string]string{"P_SECRET": "sk_live_a,sk_test_b"}), &c))
	got, err := settings.Notices(&struct{ Inner providerConfig }{c})
	require.NoError(t, err)
	require.Equal(t, []settings.Notice{
		{Level: slog.LevelWarn, Name: "P_SECRET", Text: "P_SECRET is a test key: test keys reach no real users and no real money"},
		{Level: slog.LevelError, Name: "P_HOOK", Text: "P_HOOK is not set: webhooks are refused"},
	}, got)
	require.NoError(t, settings.Load(lookup(map[string]string{"P_SECRET": "sk_live_a", "P_HOOK": "whsec_x"}), &c))
	got, err = settings.Notices(c)
	require.NoError(t, err)
	require.Empty(t, got)
	_, err = settings.Notices(7)
	require.Error(t, err)
}

type hooks struct {
	Text string `env:"H_TEXT" help:"a text"`
}

func (hooks) Validate(modes settings.Modes) error {
	found := []error{settings.Invalid("H_ALWAYS", "always", "")}
	for _, mode := range []string{settings.Serve, settings.Production} {
		if modes.Has(mode) {
			found = append(found, settings.Invalid("H_"+mode, mode, ""))
		}
	}
	return settings.Join(found...)
}

func TestValidateKnowsTheModes(t *testing.T) {
	for _, tc := range []struct {
		modes []string
		want  []string
	}{
		{nil, []string{"H_ALWAYS"}},
		{[]string{settings.Split}, []string{"H_ALWAYS"}},
		{[]string{settings.Serve}, []string{"H_ALWAYS", "H_serve"}},
		{[]string{settings.Production}, []string{"H_ALWAYS", "H_production"}},
		{[]string{settings.Serve, settings.Production}, []string{"H_ALWAYS", "H_serve", "H_production"}},
	} {
		var found *settings.Error
		require.ErrorAs(t, settings.Load(lookup(nil), &hooks{}, tc.modes...), &found)
		var names []string
		for _, p := range found.Problems {
			names = append(names, p.Name)
		}
		require.Equal(t, tc.want, names, tc.modes)
	}
}

type oldHook struct {
	Text string `env:"H_TEXT" help:"a text"`
}

func (*oldHook) Validate() error { return nil }

func TestAValidateThatWouldNotBeCalledIsAMistakeOfTheProgram(t *testing.T) {
	require.ErrorContains(t, settings.Load(lookup(nil), &struct{ Inner oldHook }{}), "must take settings.Modes")
}
