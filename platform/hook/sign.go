// Package hook sends webhooks by the Standard Webhooks specification: each attempt has the same id, a time and signatures of both with the body.
package hook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of the specification.
const (
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderSignature = "Webhook-Signature"
)

const (
	prefix = "whsec_"
	// minKey and maxKey are the bounds of the specification, in bytes.
	minKey, maxKey = 24, 64
)

// ErrSetting is the error of an address or a secret that no attempt can use until it is changed. It shows neither.
var ErrSetting = errors.New("the receiver's address or secret is not valid")

// errSecret does not show the secret.
const errSecret = settingError("must be whsec_ and 24 to 64 bytes in base64")

// settingError is an ErrSetting.
type settingError string

func (e settingError) Error() string { return string(e) }

// Is reports whether the target is ErrSetting.
func (settingError) Is(target error) bool { return target == ErrSetting }

// CheckSecret reports a secret that cannot sign.
func CheckSecret(secret string) error {
	_, err := key(secret)
	return err
}

func key(secret string) ([]byte, error) {
	text, ok := strings.CutPrefix(secret, prefix)
	raw, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(raw) < minKey || len(raw) > maxKey {
		return nil, errSecret
	}
	return raw, nil
}

// Sign sets the headers of an attempt, with one signature for each secret.
func Sign(h http.Header, secrets []string, id string, at time.Time, body []byte) error {
	if len(secrets) == 0 {
		return errSecret
	}
	stamp := strconv.FormatInt(at.Unix(), 10)
	signatures := make([]string, 0, len(secrets))
	for _, secret := range secrets {
		raw, err := key(secret)
		if err != nil {
			return err
		}
		mac := hmac.New(sha256.New, raw)
		_, _ = mac.Write([]byte(id + "." + stamp + "."))
		_, _ = mac.Write(body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	h.Set(HeaderID, id)
	h.Set(HeaderTimestamp, stamp)
	h.Set(HeaderSignature, strings.Join(signatures, " "))
	return nil
}
