package auth_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
)

// BenchmarkAuthenticate is what the edge waits for about once a minute and caller: the token from memory, the caller's
// standing from SQLite, three passports signed.
func BenchmarkAuthenticate(b *testing.B) {
	f := startWith(b, nil, noop.Meter{})
	token := f.clerk.Token(b, time.Now(), map[string]any{"exp": time.Now().Add(time.Hour).Unix()})
	key := f.newKey(b, f.as(b, token), &authv1.CreateApiKeyRequest{}).GetSecret()
	for name, credential := range map[string]string{"session": token, "api key": key} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := f.authenticate(b, credential)
				require.NoError(b, err)
			}
		})
	}
}
