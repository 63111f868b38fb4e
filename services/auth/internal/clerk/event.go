package clerk

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Event is a webhook from Clerk, reduced to what is needed.
type Event struct {
	// Type is such as "user.updated".
	Type string
	// InstanceID is the Clerk instance's; empty when the event does not tell.
	InstanceID string
	// Subject is the id of the object that the event is about. For a membership it is the ids of the organization and the user,
	// or the membership's own id when the event has nothing else.
	Subject string
	// Payload is the event as JSON, with the fields that applying it needs, or with an outline of its object when
	// nothing needs it. Personal data that nobody needs is not in it, and never the text of a message.
	Payload []byte
}

// ErrMalformed says that a body is not an event from Clerk.
var ErrMalformed = errors.New("clerk: the body is not an event")

// envelope is what all events have in common.
type envelope struct {
	Type       string          `json:"type"`
	Object     string          `json:"object,omitempty"`
	InstanceID string          `json:"instance_id,omitempty"`
	Timestamp  int64           `json:"timestamp,omitempty"` // ms
	Data       json.RawMessage `json:"data"`
}

// received is an envelope as it comes: fields that applying an event does not need are not a reason to refuse it.
type received struct {
	Type       string          `json:"type"`
	Object     json.RawMessage `json:"object"`
	InstanceID string          `json:"instance_id"`
	Timestamp  json.RawMessage `json:"timestamp"`
	Data       json.RawMessage `json:"data"`
}

// envelope is what is kept. An object that is not a name, and a time that is not an integer, count as missing.
func (r received) envelope() envelope {
	e := envelope{Type: r.Type, InstanceID: r.InstanceID, Data: r.Data}
	if json.Unmarshal(r.Object, &e.Object) != nil || !isName(e.Object) {
		e.Object = ""
	}
	if json.Unmarshal(r.Timestamp, &e.Timestamp) != nil {
		e.Timestamp = 0
	}
	return e
}

// ids are the fields that name what an event is about.
type ids struct {
	ID           string `json:"id"`
	Organization struct {
		ID string `json:"id"`
	} `json:"organization"`
	User struct {
		ID string `json:"user_id"`
	} `json:"public_user_data"`
}

// isWhose reports whether they name the organization and the user of a membership.
func (o ids) isWhose() bool { return isName(o.Organization.ID) && isName(o.User.ID) }

// maxName is the maximum length of ids and types in bytes; ListEvents and GetEvent have the same limit.
const maxName = 128

// ParseEvent reads a body whose signature is valid. The error is ErrMalformed.
func ParseEvent(body []byte) (Event, error) {
	if !utf8.Valid(body) {
		return Event{}, fmt.Errorf("%w: not UTF-8", ErrMalformed)
	}
	var came received
	if err := json.Unmarshal(body, &came); err != nil {
		return Event{}, fmt.Errorf("%w: %s", ErrMalformed, problem(err))
	}
	e := came.envelope()
	if !isName(e.Type) || e.InstanceID != "" && !isName(e.InstanceID) {
		return Event{}, fmt.Errorf("%w: its type or its instance is not a valid name", ErrMalformed)
	}
	family, _, _ := strings.Cut(e.Type, ".")
	needs, applied := needed[family]
	if applied {
		e.Data = pick(e.Data, needs)
	} else {
		e.Data = outline(e.Data)
	}
	subject, err := subjectOf(e.Type, e.Data, applied)
	if err != nil {
		return Event{}, err
	}
	payload, err := encode(e)
	if err != nil {
		return Event{}, fmt.Errorf("%w: %s", ErrMalformed, problem(err))
	}
	return Event{Type: e.Type, InstanceID: e.InstanceID, Subject: subject, Payload: payload}, nil
}

// subjectOf reads what is kept of an object, which is less than came. It is empty for an object without an id, of a kind
// that is not applied.
func subjectOf(kind string, data json.RawMessage, applied bool) (string, error) {
	var of ids
	if err := json.Unmarshal(data, &of); err != nil && applied {
		return "", fmt.Errorf("%w: data: %s", ErrMalformed, problem(err))
	}
	member := strings.HasPrefix(kind, familyMembership+".")
	if member && of.isWhose() {
		return MembershipSubject(of.Organization.ID, of.User.ID), nil
	}
	switch {
	case isName(of.ID) && (!member || kind == membershipDeleted):
		return of.ID, nil
	case applied:
		return "", fmt.Errorf("%w: data has no id", ErrMalformed)
	}
	return "", nil
}

// MembershipSubject is the subject of a membership's events: memberships have ids of their own at Clerk, and a person
// who joins again gets another one.
func MembershipSubject(organizationID, userID string) string { return organizationID + ":" + userID }

// isName keeps ids and types to what both databases, logs and addresses can carry.
func isName(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

// problem is an error of encoding/json without what it quotes of the body.
func problem(err error) string {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("invalid JSON at byte %d", syntax.Offset)
	}
	if shape, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Sprintf("field %q has another type than Clerk documents", shape.Field)
	}
	return "cannot be read"
}
