package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Signer returns the headers of one attempt: identifier, time and one signature per secret. The error says which
// secret is malformed, without showing it.
type Signer func(secrets []string, id string, at time.Time, body []byte) (http.Header, error)

// Svix signs as Clerk's sender does: svix-id, svix-timestamp and svix-signature, base64 of HMAC-SHA256 over
// "id.timestamp.body" under the base64 key behind "whsec_".
func Svix(secrets []string, id string, at time.Time, body []byte) (http.Header, error) {
	stamp := strconv.FormatInt(at.Unix(), 10)
	var signatures []string
	for _, secret := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil || len(key) == 0 {
			return nil, errors.New(`a Svix secret must be "whsec_" and base64`)
		}
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(sum(key, id, ".", stamp, ".", string(body))))
	}
	h := http.Header{}
	h.Set("Svix-Id", id)
	h.Set("Svix-Timestamp", stamp)
	h.Set("Svix-Signature", strings.Join(signatures, " "))
	return h, nil
}

// Stripe signs as Stripe does: "Stripe-Signature: t=…,v1=…", hex of HMAC-SHA256 over "t.body" under the whole secret.
func Stripe(secrets []string, _ string, at time.Time, body []byte) (http.Header, error) {
	stamp := strconv.FormatInt(at.Unix(), 10)
	value := "t=" + stamp
	for _, secret := range secrets {
		if secret == "" {
			return nil, errors.New("a Stripe secret must not be empty")
		}
		value += ",v1=" + hex.EncodeToString(sum([]byte(secret), stamp, ".", string(body)))
	}
	h := http.Header{}
	h.Set("Stripe-Signature", value)
	return h, nil
}

func sum(key []byte, parts ...string) []byte {
	mac := hmac.New(sha256.New, key)
	for _, p := range parts {
		mac.Write([]byte(p))
	}
	return mac.Sum(nil)
}

// SvixSchedule is the time before each attempt: at once, and again for 27 hours.
func SvixSchedule() []time.Duration {
	return []time.Duration{
		0, 5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour,
	}
}

// StripeSchedule is the time before each attempt: at once, and again, ever more rarely, for 3 days.
func StripeSchedule() []time.Duration {
	return []time.Duration{
		0, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 12 * time.Hour, 12 * time.Hour,
		12 * time.Hour, 12 * time.Hour,
	}
}
