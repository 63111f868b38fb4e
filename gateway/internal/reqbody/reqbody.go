// Package reqbody reads complete request bodies, within limits of size and time, before any service is called.
package reqbody

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// firstBuffer limits how much memory a Content-Length alone makes the edge allocate.
const firstBuffer = 64 << 10

// Reader reads bodies.
type Reader struct {
	// Max is the maximum size of a body in bytes.
	Max int64
	// Timeout is how long a body may take to arrive.
	Timeout time.Duration
}

// TooLarge returns BODY_TOO_LARGE when the request announces a body above the limit, else nil.
func (b Reader) TooLarge(r *http.Request) error {
	if r.ContentLength > b.Max {
		return b.tooLarge()
	}
	return nil
}

// Require is JSON for routes that need a body. It also returns MALFORMED_BODY for an empty body.
func (b Reader) Require(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := b.JSON(w, r)
	if err == nil && len(body) == 0 {
		return nil, malformed("The request body is empty. Send a JSON object.")
	}
	return body, err
}

// RequireBytes is Read for routes that need a body that is not JSON. It also returns MALFORMED_BODY for an empty body.
func (b Reader) RequireBytes(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := b.Read(w, r)
	if err == nil && len(body) == 0 {
		return nil, malformed("The request body is empty. Send a form.")
	}
	return body, err
}

// Read returns the complete body, or what has come of it and an error: BODY_TOO_LARGE, MALFORMED_BODY (cut off, too slow),
// UNSUPPORTED_ENCODING.
func (b Reader) Read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := b.whole(w, r)
	if err != nil {
		// The rest of the body may still arrive, so this connection cannot be reused.
		w.Header().Set("Connection", "close")
	}
	return body, err
}

func (b Reader) whole(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if err := b.TooLarge(r); err != nil {
		return nil, err
	}
	if enc := r.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return nil, errs.New(errorsv1.ErrorReason_ERROR_REASON_UNSUPPORTED_ENCODING, "The request body has the encoding %s. Send uncompressed JSON.", shown(enc)).
			Field("content-encoding", "is not supported")
	}
	control := http.NewResponseController(w)
	// The recorders of tests have no deadlines.
	_ = control.SetReadDeadline(time.Now().Add(b.Timeout))
	body, err := b.read(w, r)
	if err != nil {
		return body, err
	}
	// A deadline that stays set would cancel the request's context in the middle of a long response.
	_ = control.SetReadDeadline(time.Time{})
	return body, nil
}

func (b Reader) read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	src := r.Body
	if r.ContentLength < 0 { // a body with a length ends there, and TooLarge has seen it
		src = http.MaxBytesReader(w, r.Body, b.Max)
	}
	size := int64(512)
	if r.ContentLength > 0 {
		// One extra byte lets the read that finds the end fit into this buffer.
		size = min(r.ContentLength+1, firstBuffer)
	}
	buf := make([]byte, 0, size)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := src.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case errors.Is(err, io.EOF):
			return buf, nil
		case err != nil:
			return buf, b.failure(err)
		}
	}
}

func (b Reader) failure(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return b.tooLarge()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return malformed("The request body did not arrive within %s. Send the request again.", b.Timeout).Cause(err)
	}
	return malformed("The request body is incomplete. Send the request again.").Cause(err)
}

func (b Reader) tooLarge() error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_BODY_TOO_LARGE, "The request body exceeds the limit of %d bytes.", b.Max).
		Field("body", "is too large")
}

func malformed(format string, args ...any) *errs.Error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, format, args...)
}

// shown returns a header's value in a form that an error can carry.
func shown(value string) string {
	return strconv.QuoteToASCII(value[:min(len(value), 32)])
}
