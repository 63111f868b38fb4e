package allinone_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/internal/allinone"
)

func TestTheAddressOfTheEdge(t *testing.T) {
	for given, want := range map[string]string{
		"":                         "http://127.0.0.1:8080",
		"http://127.0.0.1:1":       "http://127.0.0.1:1",
		"https://api.example.com/": "https://api.example.com",
		" https://[::1]:8080\n":    "https://[::1]:8080",
	} {
		s, err := allinone.Operator(lookupOf(map[string]string{"TRIVET_URL": given}))
		require.NoError(t, err, given)
		require.Equal(t, want, s.URL)
	}
}

// Errors show the address, so one with a password is refused, without showing it.
func TestWhatIsNotTheAddressOfTheEdge(t *testing.T) {
	for _, given := range []string{
		"localhost:8080", "127.0.0.1", "ftp://x", "http://", "http://u:hunter2@h", "http://u@h", "http://h/api", "http://h?a=hunter2", "http://h#x", "http://h:x/", "://", "http://h\x7f",
	} {
		_, err := allinone.Operator(lookupOf(map[string]string{"TRIVET_URL": given}))
		require.ErrorContains(t, err, "TRIVET_URL: is not the address of an edge; write http:// or https:// and a host", given)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestWhatIsNotAToken(t *testing.T) {
	for _, given := range []string{"hunter2 b", "hunter2\nb", "hunter2é"} {
		_, err := allinone.Operator(lookupOf(map[string]string{"TRIVET_TOKEN": given}))
		require.ErrorContains(t, err, "TRIVET_TOKEN: has white space", given)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func lookupOf(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}
