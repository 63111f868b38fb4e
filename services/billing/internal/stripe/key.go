package stripe

import (
	"net/http"

	"github.com/trivet-dev/trivet/platform/settings"
)

// WithKey returns a client that sends the present secret key with each request, in place of the one that the SDK was made with.
func WithKey(client *http.Client, key *settings.Live) *http.Client {
	with := *client
	with.Transport = keyed{next: client.Transport, key: key}
	return &with
}

type keyed struct {
	next http.RoundTripper
	key  *settings.Live
}

// RoundTrip implements http.RoundTripper. A request without a key, such as one that follows a redirect to another host, gets none.
func (k keyed) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Authorization") == "" {
		return k.next.RoundTrip(r)
	}
	with := *r
	with.Header = r.Header.Clone()
	with.Header.Set("Authorization", "Bearer "+k.key.Newest().Reveal())
	return k.next.RoundTrip(&with)
}
