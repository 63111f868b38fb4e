// Package stripesig verifies the signatures of Stripe's webhooks: hex HMAC-SHA-256 over "timestamp.body".
package stripesig

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/trivet-dev/trivet/platform/webhook"
)

const (
	// Header is the name of the signature header, in lower case.
	Header = "stripe-signature"
	// Tolerance is the maximum difference between a signature's time and now, in both directions, inclusive.
	Tolerance = 5 * time.Minute

	secretPrefix = "whsec_"
	minSecret    = len(secretPrefix) + 8
	maxStamp     = 12 // digits of seconds
	maxParts     = 64
)

// Verdict is the reason why a webhook is refused.
type Verdict = webhook.Verdict

// The verdicts.
const (
	Missing   = webhook.Missing
	Malformed = webhook.Malformed
	Stale     = webhook.Stale
	Future    = webhook.Future
	Mismatch  = webhook.Mismatch
)

// ErrSecret says that a secret is not "whsec_" and at least 8 characters without spaces.
var ErrSecret = errors.New(`is not "whsec_" and at least 8 characters without spaces`)

// Verifier verifies signatures with the live secrets.
type Verifier struct {
	secrets atomic.Pointer[[][]byte]
	now     func() time.Time
}

// New takes the live secrets. The error wraps ErrSecret and says which secret is wrong, without quoting it.
func New(secrets []string, now func() time.Time) (*Verifier, error) {
	v := &Verifier{now: now}
	return v, v.Replace(secrets)
}

// Replace puts other live secrets in place of the present ones, unless one of them is wrong; the error is that of New.
func (v *Verifier) Replace(secrets []string) error {
	keys := make([][]byte, 0, len(secrets))
	for i, secret := range secrets {
		if !strings.HasPrefix(secret, secretPrefix) || len(secret) < minSecret || strings.ContainsAny(secret, " \t\r\n") {
			return fmt.Errorf("secret %d %w", i+1, ErrSecret)
		}
		keys = append(keys, []byte(secret)) // Stripe signs with the whole text, its prefix included
	}
	v.secrets.Store(&keys)
	return nil
}

// Verify accepts a body if one of its signatures matches one of the secrets and its time is within Tolerance of now. Header
// names are in lower case. The error is a Verdict.
func (v *Verifier) Verify(headers map[string]string, body []byte) error {
	header := headers[Header]
	if header == "" {
		return Missing
	}
	stamp, given, err := parse(header)
	if err != nil {
		return err
	}
	seconds, err := strconv.ParseUint(stamp, 10, 63)
	if err != nil || len(stamp) > maxStamp {
		return Malformed
	}
	if err := v.timely(time.Unix(int64(seconds), 0)); err != nil {
		return err
	}
	if !v.matches(given, stamp, body) {
		return Mismatch
	}
	return nil
}

// parse reads the time and the v1 signatures as Stripe writes them: lower-case digits, no spaces. It ignores other versions. It
// refuses two times, because it would be unclear which one was signed.
func parse(header string) (stamp string, given [][]byte, err error) {
	parts := strings.Split(header, ",")
	if len(parts) > maxParts {
		return "", nil, Malformed
	}
	for _, part := range parts {
		switch name, value, _ := strings.Cut(part, "="); name {
		case "t":
			if stamp != "" && stamp != value {
				return "", nil, Malformed
			}
			stamp = value
		case "v1":
			signature, err := hex.DecodeString(value)
			if err == nil && len(signature) == sha256.Size && value == strings.ToLower(value) {
				given = append(given, signature)
			}
		}
	}
	return stamp, given, nil
}

func (v *Verifier) timely(at time.Time) error {
	switch now := v.now(); {
	case at.Before(now.Add(-Tolerance)):
		return Stale
	case at.After(now.Add(Tolerance)):
		return Future
	}
	return nil
}

// matches compares every signature with every secret, so that the time does not depend on which one matches.
func (v *Verifier) matches(given [][]byte, stamp string, body []byte) bool {
	found := false
	for _, secret := range *v.secrets.Load() {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(stamp + "."))
		mac.Write(body)
		want := mac.Sum(nil)
		for _, signature := range given {
			found = hmac.Equal(want, signature) || found
		}
	}
	return found
}
