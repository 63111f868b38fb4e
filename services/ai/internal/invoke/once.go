package invoke

import (
	"github.com/trivet-dev/trivet/platform/idempotency"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// once is the caller's idempotency key for billing, which makes at most one call under it. Both are empty without a key.
type once struct{ key, digest string }

// onceOf reads the caller's idempotency key. An API key and a person, or two of them, never share one.
func onceOf(claims *passport.Claims, req *wire.Request, headers map[string]string) (once, error) {
	value, sent := headers[idempotency.Header]
	if !sent {
		return once{}, nil
	}
	key, err := idempotency.Of([]string{value})
	if err != nil {
		return once{}, err
	}
	caller := "user/" + claims.UserID
	if claims.APIKeyID != "" {
		caller = "key/" + claims.APIKeyID
	}
	return once{key: idempotency.Digest(caller, key), digest: idempotency.Digest(append([][]byte{[]byte(req.Endpoint.String())}, req.Content()...)...)}, nil
}
