package hook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Attempt is one attempt to deliver.
type Attempt struct {
	// URL is the receiver's address. It is often a secret, so that no error shows it.
	URL string
	// Secrets sign, the newest first.
	Secrets []string
	// ID is that of the message: the same for each attempt.
	ID   string
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
	if err != nil {
		return errors.New("the receiver's address is not one")
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "Trivet-Webhook/1.0")
	if err := Sign(request.Header, a.Secrets, a.ID, a.At, a.Body); err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return withoutURL(err, a.URL)
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, drained))
	if response.StatusCode >= http.StatusOK && response.StatusCode < http.StatusMultipleChoices {
		return nil
	}
	return &RefusedError{Status: response.StatusCode, After: retryAfter(response.Header)}
}

// withoutURL keeps the address out of an error.
func withoutURL(err error, address string) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	if strings.Contains(err.Error(), address) {
		return errors.New(strings.ReplaceAll(err.Error(), address, "the receiver"))
	}
	return err
}

func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.ParseUint(h.Get("Retry-After"), 10, 31)
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, maxRetryAfter)
}
