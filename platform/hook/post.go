package hook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/trivet-dev/trivet/platform/provider"
)

// Attempt is one attempt to deliver.
type Attempt struct {
	// URL is the receiver's address. It is often a secret, so that no error shows it.
	URL string
	// Secrets sign, the newest first.
	Secrets []string
	// ID is that of the message: the same for each attempt.
	ID string
	// At is when the attempt is made.
	At   time.Time
	Body []byte
}

// RefusedError is an answer that is not a success. It never shows the body of the answer.
type RefusedError struct {
	Status int
	// After is how long the receiver asks to wait; 0 when it does not.
	After time.Duration
}

func (e *RefusedError) Error() string { return fmt.Sprintf("the receiver answered %d", e.Status) }

// maxRetryAfter bounds what a receiver may ask for.
const maxRetryAfter = 24 * time.Hour

// drained is how much of an answer is read, so that its connection can be used again.
const drained = 4 << 10

// Post makes an attempt. Any answer from 200 to 299 is a success. A redirect is not followed, and counts as refused.
func Post(ctx context.Context, client *http.Client, a Attempt) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.URL, bytes.NewReader(a.Body))
	if err != nil || request.URL.Host == "" || request.URL.Scheme != "http" && request.URL.Scheme != "https" {
		return errAddress
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "Trivet-Webhook/1.0")
	if err := Sign(request.Header, a.Secrets, a.ID, a.At, a.Body); err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return unreachable(err)
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, drained))
	if response.StatusCode >= http.StatusOK && response.StatusCode < http.StatusMultipleChoices {
		return nil
	}
	return &RefusedError{Status: response.StatusCode, After: min(provider.RetryAfter(response.Header, a.At), maxRetryAfter)}
}

// unreachable says why a receiver did not answer. It passes on no text of Go's errors: they contain the receiver's host or parts of its answer.
func unreachable(err error) error {
	for _, known := range []error{ErrPrivate, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, known) {
			return known
		}
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return errors.New("the receiver's name cannot be resolved")
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return errors.New("the receiver's certificate is not valid")
	}
	if no, ok := errors.AsType[syscall.Errno](err); ok {
		return fmt.Errorf("cannot reach the receiver: %w", no)
	}
	return errors.New("cannot reach the receiver, or its answer is not HTTP")
}
