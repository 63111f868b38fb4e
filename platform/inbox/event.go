package inbox

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// State is where an event stands between arrival and effect.
type State string

// The states.
const (
	Pending State = "pending" // waits for a worker, or for its next attempt
	Leased  State = "leased"  // a worker is on it
	Done    State = "done"    // its effect is committed, or it has none
	Dead    State = "dead"    // given up; Redrive makes it pending
	Ignored State = "ignored" // kept, but not ours to handle
)

// Event is what is put.
type Event struct {
	// Source names where it comes from or what it is for, such as "stripe" or "meter": lower-case letters, digits, - and _,
	// at most 32.
	Source string
	// ID is unique within the source: the provider's, or a deterministic one. 1 to 255 bytes.
	ID string
	// Type is the provider's or one's own; at most 255 bytes.
	Type string
	// Subject is the object that the event is about; events of one subject are handled in order. At most 255 bytes. When it
	// is empty the event's id stands in: it is in order with no other.
	Subject string
	// Payload is what the handler needs, at most Options.MaxPayload bytes.
	Payload []byte
	// State is Pending (the default), or Dead or Ignored for what is kept but can't or need not be handled.
	State State
	// LastError says why it is dead or ignored, without personal data or secrets.
	LastError string

	trace string // the traceparent of what put it; "" when it was not traced
}

// Record is an event as it is stored.
type Record struct {
	Event
	// Sequence is the order of arrival: higher is later.
	Sequence int64
	// Attempts counts those begun, the present one included.
	Attempts int
	// PutTime is when it was stored.
	PutTime time.Time
	// DueTime is that of the next attempt, or of the present one; zero when there will be none.
	DueTime time.Time
	// EndTime is when it became done, dead or ignored; zero until then.
	EndTime time.Time
	// Failures are the attempts that failed, oldest first; only the latest are kept, and only Get reads them.
	Failures []Failure
}

// Failure is an attempt that failed.
type Failure struct {
	// Attempt counts from 1, and anew after a redrive.
	Attempt int
	// BeginTime and EndTime are when it began, and when it was known to have failed.
	BeginTime, EndTime time.Time
	// Error says why.
	Error string
}

// Errors of putting and reading.
var (
	// ErrInvalid is wrapped by the error of a Put that can never succeed; it says which field is wrong.
	ErrInvalid = errors.New("inbox: the event cannot be stored")
	// ErrNotFound is returned for an event that is not there.
	ErrNotFound = errors.New("inbox: event not found")
)

const (
	maxText  = 255
	maxError = 1024
)

// clean checks an event and fills in its defaults.
func (e Event) clean(maxPayload int) (Event, error) {
	if e.State == "" {
		e.State = Pending
	}
	if e.Subject == "" {
		e.Subject = e.ID
	}
	e.LastError = clip(e.LastError)
	err := checkSource(e.Source)
	if e.ID == "" {
		err = errors.Join(err, errors.New("ID is empty"))
	}
	err = errors.Join(err, checkText("ID", e.ID), checkText("Type", e.Type), checkText("Subject", e.Subject))
	if len(e.Payload) > maxPayload {
		err = errors.Join(err, fmt.Errorf("the payload has %d bytes, the maximum is %d", len(e.Payload), maxPayload))
	}
	if e.State != Pending && e.State != Dead && e.State != Ignored {
		err = errors.Join(err, fmt.Errorf("State is %q, must be pending, dead or ignored", e.State))
	}
	if err != nil {
		return e, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return e, nil
}

func checkSource(source string) error {
	ok := source != "" && len(source) <= 32
	for _, c := range source {
		ok = ok && (c == '_' || c == '-' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9')
	}
	if !ok {
		return fmt.Errorf("inbox: Source is %.40q, must be 1 to 32 lower-case letters, digits, - and _", source)
	}
	return nil
}

// checkText allows what PostgreSQL can store as text.
func checkText(field, text string) error {
	if len(text) > maxText || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return fmt.Errorf("%s is %.40q, must be UTF-8 without NUL of at most %d bytes", field, text, maxText)
	}
	return nil
}

// clip makes an error's text storable.
func clip(text string) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "�"), "\x00", "�")
	if len(text) <= maxError {
		return text
	}
	return strings.ToValidUTF8(text[:maxError-3], "") + "…"
}
