package settings_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/settings"
)

const hidden = "hunter2"

type holder struct {
	Public  settings.Secret
	List    settings.Secrets
	private settings.Secret
	Pointer *settings.Secret
}

func TestSecretNeverPrints(t *testing.T) {
	s := settings.NewSecret(hidden)
	h := holder{Public: s, List: settings.NewSecrets(hidden, hidden), private: s, Pointer: &s}
	require.Equal(t, hidden, h.private.Reveal())
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p"} {
		for _, value := range []any{s, &s, h, &h, h.List, map[string]settings.Secret{"k": s}, []any{s}} {
			require.NotContains(t, fmt.Sprintf(verb, value), hidden, verb)
			require.NotContains(t, fmt.Sprintf(verb, value), fmt.Sprintf("%x", hidden), verb)
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		require.Equal(t, "[redacted]", fmt.Sprintf(verb, s), verb)
	}
}

func TestSecretNeverEncodes(t *testing.T) {
	s := settings.NewSecret(hidden)
	h := holder{Public: s, List: settings.NewSecrets(hidden), private: s, Pointer: &s}
	raw, err := json.Marshal(map[string]any{"s": s, "h": h, "keyed": map[settings.Secret]int{s: 1}})
	require.NoError(t, err)
	require.NotContains(t, string(raw), hidden)
	require.Contains(t, string(raw), `"s":"[redacted]"`)

	text, err := s.MarshalText()
	require.NoError(t, err)
	require.Equal(t, "[redacted]", string(text))

	var out bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
		slog.New(handler).Info("x", "secret", s, "pointer", &s, "list", h.List, "holder", h, "group", slog.GroupValue(slog.Any("s", s)))
	}
	require.NotContains(t, out.String(), hidden)
	require.Contains(t, out.String(), "[redacted]")
}

func TestSecretsOrder(t *testing.T) {
	keys := settings.NewSecrets("new", "", "old")
	require.True(t, keys.IsSet())
	require.Equal(t, []string{"new", "old"}, keys.Reveal())
	require.False(t, settings.Secrets(nil).Newest().IsSet())
	require.Empty(t, settings.Secret{}.Reveal())
}
