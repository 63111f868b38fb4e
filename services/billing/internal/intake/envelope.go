package intake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/trivet-dev/trivet/platform/plain"
)

// Event is the part of a Stripe event that billing needs. An event is a hint that an object changed. It is parsed without
// the SDK, which refuses thin events and events of other API versions.
type Event struct {
	// ID is the id of the event, evt_….
	ID string
	// Type is the type of the event, such as "customer.updated".
	Type string
	// ObjectID is the id of the object; empty for objects without an id, such as a balance.
	ObjectID string
	// Livemode is true for live mode, and nil when the event does not say.
	Livemode *bool
	// Account is the connected account of the event; empty for our own account.
	Account string
	// Payload is the stored part of the event: ids, types and times.
	Payload []byte
}

// Hint is the stored payload of an event.
type Hint struct {
	ID         string          `json:"id"`
	Type       string          `json:"type"`
	APIVersion string          `json:"api_version,omitempty"`
	Created    json.RawMessage `json:"created,omitempty"` // seconds of a snapshot, text of a thin event
	Livemode   *bool           `json:"livemode,omitempty"`
	Account    string          `json:"account,omitempty"`
	// Thin is true for an event of API v2, which does not contain the object.
	Thin bool `json:"thin,omitempty"`
	// Object is the object that the event is about.
	Object Object `json:"object"`
}

// Object names a Stripe object.
type Object struct {
	ID string `json:"id,omitempty"`
	// Kind is the object's type, such as "customer".
	Kind string `json:"kind,omitempty"`
	// Without lists the kinds that a charge does not have: "refund", "dispute".
	Without []string `json:"without,omitempty"`
}

// envelope has the fields of snapshot events and thin events.
type envelope struct {
	ID            string          `json:"id"`
	Type          string          `json:"type"`
	APIVersion    json.RawMessage `json:"api_version"`
	Created       json.RawMessage `json:"created"`
	Livemode      *bool           `json:"livemode"`
	Account       string          `json:"account"`
	Context       string          `json:"context"`
	RelatedObject *struct {
		ID   string `json:"id"`
		Type string `json:"type"`
	} `json:"related_object"`
	Data struct {
		Object json.RawMessage `json:"object"`
	} `json:"data"`
	Object string `json:"object"`
}

// thinObject is the related object of a thin event.
const thinObject = "v2.core.event"

// maxText limits ids and types, in bytes. Stripe's ids and types are far shorter.
const maxText = 255

// ParseEvent reads a snapshot event or a thin event of any API version. The error says what is wrong and never quotes the
// body.
func ParseEvent(body []byte) (Event, error) {
	h, err := ParseHint(body)
	if err != nil {
		return Event{}, err
	}
	payload, err := encode(h)
	if err != nil {
		return Event{}, fmt.Errorf("the event cannot be stored: %w", err)
	}
	return Event{ID: h.ID, Type: h.Type, ObjectID: h.Object.ID, Livemode: h.Livemode, Account: h.Account, Payload: payload}, nil
}

// ParseHint reads the stored payload of an event. The error never quotes the body.
func ParseHint(body []byte) (Hint, error) {
	var e envelope
	if err := decode(body, &e); err != nil {
		return Hint{}, err
	}
	h := Hint{ID: e.ID, Type: e.Type, Livemode: e.Livemode, Account: e.Account, Thin: e.Object == thinObject}
	if json.Unmarshal(e.APIVersion, &h.APIVersion) != nil || check("api_version", h.APIVersion, false) != nil {
		h.APIVersion = "" // nothing depends on it
	}
	if h.Account == "" {
		h.Account = e.Context // the name of the field in a thin event
	}
	if len(e.Created) <= maxText && !bytes.ContainsAny(e.Created, "{[") {
		h.Created = e.Created
	}
	h.Object = object(e)
	if err := errors.Join(
		check("id", h.ID, true), check("type", h.Type, true), check("account", h.Account, false),
		check("the object's id", h.Object.ID, false), check("the object's type", h.Object.Kind, false),
	); err != nil {
		return Hint{}, err
	}
	return h, nil
}

// idOf returns the id of an otherwise unreadable event, or "" when the id is unreadable too.
func idOf(body []byte) string {
	var e struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(body, &e) != nil || check("id", e.ID, true) != nil {
		return ""
	}
	return e.ID
}

// object returns the object that the event is about. Only a few fields of a snapshot's object count, so an unreadable object
// is treated as missing.
func object(e envelope) Object {
	if e.RelatedObject != nil {
		return Object{ID: e.RelatedObject.ID, Kind: e.RelatedObject.Type}
	}
	var o struct {
		ID     string `json:"id"`
		Object string `json:"object"`
	}
	if len(e.Data.Object) == 0 || json.Unmarshal(e.Data.Object, &o) != nil {
		return Object{}
	}
	return Object{ID: o.ID, Kind: o.Object, Without: without(e.Type, o.Object, e.Data.Object)}
}

// without avoids fetching refunds and disputes for most charges, which have neither.
func without(eventType, kind string, raw json.RawMessage) (none []string) {
	if kind != "charge" {
		return nil
	}
	var charge struct {
		Refunded *json.Number `json:"amount_refunded"`
		Disputed *bool        `json:"disputed"`
	}
	if json.Unmarshal(raw, &charge) != nil {
		return nil
	}
	if charge.Refunded != nil && *charge.Refunded == "0" && eventType != "charge.refunded" {
		none = append(none, "refund")
	}
	if charge.Disputed != nil && !*charge.Disputed {
		none = append(none, "dispute")
	}
	return none
}

// decode reads a JSON object. It replaces the decoder's errors, which may quote the body.
func decode(body []byte, into *envelope) error {
	if !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) {
		return errors.New("the body is not a JSON object")
	}
	err := json.Unmarshal(body, into)
	syntax, broken := errors.AsType[*json.SyntaxError](err)
	mistyped, other := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case err == nil:
		return nil
	case broken:
		return fmt.Errorf("the body is not JSON from byte %d on", syntax.Offset)
	case other:
		return fmt.Errorf("the field %q has another type than Stripe documents", mistyped.Field)
	default:
		return errors.New("the body is not JSON")
	}
}

// encode is json.Marshal without HTML escaping, which takes six bytes for each <, > and &.
func encode(v any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

// check accepts text that is safe to store, list and log.
func check(name, text string, needed bool) error {
	if needed && text == "" {
		return fmt.Errorf("the event has no %s", name)
	}
	switch {
	case len(text) > maxText:
		return fmt.Errorf("%s is longer than %d bytes", name, maxText)
	case !plain.Printable(text):
		return fmt.Errorf("%s has control characters or characters that change the direction of text", name)
	}
	return nil
}
