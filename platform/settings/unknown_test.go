package settings_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/settings"
)

func TestUnknownSuggestsWhatWasMeant(t *testing.T) {
	for name, meant := range map[string]string{
		"TRIVET_HTP_ADDR": "TRIVET_HTTP_ADDR", "TRIVET_LOG_LEVEL": "LOG_LEVEL", "OPENAI_APIKEY": "OPENAI_API_KEY", "STRIPE_KEY": "STRIPE_SECRET_KEY",
		"CORS_ALLOWED_ORIGIN": "CORS_ALLOWED_ORIGINS", "CLERK_SECERT_KEY": "CLERK_SECRET_KEY", "CLERKSECRETKEY": "CLERK_SECRET_KEY",
		"DATABSE_URL": "DATABASE_URL", "openai_api_key": "OPENAI_API_KEY", "OPENAI_API_BASE": "OPENAI_BASE_URL", "HTTP_ADDR": "TRIVET_HTTP_ADDR",
		"OPENAI_APIKEY_FILE": "OPENAI_API_KEY_FILE", "MODEL_FILE": "MODELS_FILE", "STRIPE_WEBHOOK_SECRETS": "STRIPE_WEBHOOK_SECRET",
	} {
		found := settings.Unknown([]string{name})
		require.Len(t, found, 1, name)
		require.Equal(t, name, found[0].Name)
		require.Equal(t, "did you mean "+meant+"?", found[0].Fix, name)
	}
	found := settings.Unknown([]string{"TRIVET_FLYING_SPEED"})
	require.Len(t, found, 1)
	require.Contains(t, found[0].Fix, "docs/settings.md")
}

func TestOtherNamesAreNobodysBusiness(t *testing.T) {
	for _, name := range []string{
		"PATH", "HOME", "LOG_LEVEL", "LOG_FILE", "OPENAI_API_KEY_FILE", "DATABASE_URL", "CLERK_SIGN_IN_URL", "VITE_CLERK_PUBLISHABLE_KEY", "REDIS_URL",
		"CLERK_WEBHOOK_SIGNING_SECRET", "TRIVET_SERVICE_HOST", "TRIVET_PORT_9090_TCP_ADDR", "TRIVET_GATEWAY_SERVICE_PORT_HTTP", "POSTGRES_PASSWORD", "PORT",
		"TOKEN", "ENV",
	} {
		require.Empty(t, settings.Unknown([]string{name}), name)
	}
	require.Equal(t, []string{"PATH", "VITE_X"}, settings.Strangers([]string{"VITE_X", "LOG_LEVEL", "PATH", "TRIVET_HTP_ADDR"}))
}

// Every setting with one letter changed is noticed, unless the name is short.
func TestOneWrongLetterIsNoticed(t *testing.T) {
	for _, name := range settings.Known() {
		if len(name) < 12 {
			continue
		}
		wrong := name[:len(name)-2] + "_" + name[len(name)-2:] + "Q"
		require.NotEmpty(t, settings.Unknown([]string{wrong}), wrong)
		require.NotEmpty(t, settings.Unknown([]string{name[:5] + name[6:]}), name)
	}
}

func TestEnvRefusesTheFileAndSuspectsTheEnvironment(t *testing.T) {
	env := settings.Env{Get: lookup(nil), Names: []string{"TRIVET_HTP_ADDR"}, File: ".dev.vars", FileNames: []string{"CORS_ALLOWED_ORIGIN", "LOG_LEVEL", "VITE_X"}}
	require.EqualError(t, env.Refused(), "1 setting is wrong:\n  .dev.vars: CORS_ALLOWED_ORIGIN: is not a setting; did you mean CORS_ALLOWED_ORIGINS?")
	require.Len(t, env.Suspects(), 1)
	require.NoError(t, settings.Env{Get: lookup(nil), FileNames: []string{"VITE_X"}}.Refused())
	require.NotEmpty(t, settings.Environment().Names)

	// The price list may name further keys.
	env = settings.Env{Get: lookup(nil), Names: []string{"OPENAI_API_KEY_2"}, File: ".dev.vars", FileNames: []string{"OPENAI_API_KEY_3", "OPENAI_API_KEY_2_FILE"}}
	require.ErrorContains(t, env.Refused(), "OPENAI_API_KEY_3")
	env.Also = []string{"OPENAI_API_KEY_2", "OPENAI_API_KEY_3"}
	require.NoError(t, env.Refused())
	require.Empty(t, env.Suspects())
	require.Empty(t, settings.Strangers(env.FileNames, env.Also...))
}
