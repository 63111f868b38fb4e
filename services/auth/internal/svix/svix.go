// Package svix verifies the signatures of webhooks that Svix sends for Clerk: HMAC-SHA-256 over "id.timestamp.body".
package svix

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/trivet-dev/trivet/platform/webhook"
)

const (
	// Tolerance is how far a signature's time may lie from now, in both directions, the bound included.
	Tolerance = 5 * time.Minute

	secretPrefix  = "whsec_"
	minKey        = 16 // bytes; Svix makes 24
	maxID         = 128
	maxStamp      = 12 // digits of seconds
	maxSignatures = 64
)

// Verdict is why a webhook is refused.
type Verdict = webhook.Verdict

// The verdicts.
const (
	Missing   = webhook.Missing
	Malformed = webhook.Malformed
	Stale     = webhook.Stale
	Future    = webhook.Future
	Mismatch  = webhook.Mismatch
)

// ErrSecret says that a secret is not "whsec_" and base64 of at least 16 bytes.
var ErrSecret = errors.New(`is not "whsec_" and the base64 of at least 16 bytes`)

// Verifier verifies signatures with any of the live secrets.
type Verifier struct {
	keys atomic.Pointer[[][]byte]
	now  func() time.Time
}

// New makes a verifier of the live secrets. The error wraps ErrSecret and says which secret is wrong, without showing it.
func New(secrets []string, now func() time.Time) (*Verifier, error) {
	v := &Verifier{now: now}
	return v, v.Replace(secrets)
}

// Replace puts other live secrets in place of the present ones, unless one of them is wrong; the error is that of New.
func (v *Verifier) Replace(secrets []string) error {
	keys := make([][]byte, 0, len(secrets))
	for i, secret := range secrets {
		encoded, ok := strings.CutPrefix(secret, secretPrefix)
		key, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil || len(key) < minKey {
			return fmt.Errorf("secret %d %w", i+1, ErrSecret)
		}
		keys = append(keys, key)
	}
	v.keys.Store(&keys)
	return nil
}

// Verify returns the id that Svix gave the message; it is the same at each attempt. Header names are in lower case:
// svix-id, svix-timestamp and svix-signature, or the same with webhook-. The error is a Verdict.
func (v *Verifier) Verify(headers map[string]string, body []byte) (id string, err error) {
	id, stamp, signatures := pick(headers)
	if id == "" || stamp == "" || signatures == "" {
		return "", Missing
	}
	seconds, err := strconv.ParseUint(stamp, 10, 63)
	if err != nil || len(stamp) > maxStamp || !isID(id) {
		return "", Malformed
	}
	if err := v.timely(time.Unix(int64(seconds), 0)); err != nil {
		return "", err
	}
	given, err := decode(signatures)
	if err != nil {
		return "", err
	}
	if !v.matches(given, id, stamp, body) {
		return "", Mismatch
	}
	return id, nil
}

// pick takes all headers of one family: a mix of both is not a signature.
func pick(headers map[string]string) (id, stamp, signatures string) {
	for _, family := range []string{"svix-", "webhook-"} {
		id, stamp, signatures = headers[family+"id"], headers[family+"timestamp"], headers[family+"signature"]
		if id != "" || stamp != "" || signatures != "" {
			break
		}
	}
	return id, stamp, signatures
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

// isID keeps ids to what can be stored, listed and logged; a "." would blur where the id ends in what was signed.
func isID(id string) bool {
	for _, c := range []byte(id) {
		if c <= ' ' || c > '~' || c == '.' {
			return false
		}
	}
	return len(id) <= maxID
}

// decode reads the signatures of version 1; others are for other verifiers.
func decode(list string) ([][]byte, error) {
	var found [][]byte
	fields := strings.Fields(list)
	if len(fields) > maxSignatures {
		return nil, Malformed
	}
	for _, one := range fields {
		encoded, ok := strings.CutPrefix(one, "v1,")
		if !ok {
			continue
		}
		signature, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if err == nil && len(signature) == sha256.Size {
			found = append(found, signature)
		}
	}
	return found, nil
}

// matches compares each with each, whatever it has found already.
func (v *Verifier) matches(given [][]byte, id, stamp string, body []byte) bool {
	found := false
	for _, key := range *v.keys.Load() {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + stamp + "."))
		mac.Write(body)
		want := mac.Sum(nil)
		for _, signature := range given {
			found = hmac.Equal(want, signature) || found
		}
	}
	return found
}
