// Package idempotency reads the caller's idempotency key, which makes a request safe to repeat. The service that owns the
// object keeps a digest of the key, and of the request, in the transaction that creates the object.
package idempotency

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"time"

	"google.golang.org/grpc/metadata"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

const (
	// Header is the name of the HTTP header, and of the gRPC metadata, in lower case.
	Header = "idempotency-key"
	// MaxKey bounds a key, in characters.
	MaxKey = 255
	// Kept is how long a key belongs to its request.
	Kept = 24 * time.Hour
	// Retry is when a caller may ask again whose first request still runs.
	Retry = time.Second
)

// FromIncoming returns the key of a gRPC call; "" when the caller sent none. Its error is an *errs.Error.
func FromIncoming(ctx context.Context) (string, error) {
	return Of(metadata.ValueFromIncomingContext(ctx, Header))
}

// Of returns the key in the values of the header, or "" if the header is absent. Its error is an *errs.Error.
func Of(values []string) (string, error) {
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 || !valid(values[0]) {
		return "", errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT,
			"Invalid Idempotency-Key header: send one key of 1 to %d printable ASCII characters without spaces, such as a UUID.", MaxKey).
			Field("Idempotency-Key", "must be one key of 1 to 255 printable ASCII characters without spaces")
	}
	return values[0], nil
}

func valid(key string) bool {
	for _, b := range []byte(key) {
		if b <= ' ' || b > '~' {
			return false
		}
	}
	return key != "" && len(key) <= MaxKey
}

// encoding makes digests of 52 characters.
var encoding = base32.HexEncoding.WithPadding(base32.NoPadding)

// Digest stands for a list of texts: another list has another digest.
func Digest[T ~string | ~[]byte](parts ...T) string {
	h := sha256.New()
	for _, part := range parts {
		h.Write(binary.AppendUvarint(nil, uint64(len(part))))
		h.Write([]byte(part))
	}
	return encoding.EncodeToString(h.Sum(nil))
}

// Reused is the error for a key that was used for another request.
func Reused() *errs.Error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_IDEMPOTENCY_KEY_REUSED,
		"This Idempotency-Key was used for another request. Use a new key for each request.").
		Field("Idempotency-Key", "was used for another request")
}
