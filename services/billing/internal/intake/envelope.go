package intake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/trivet-dev/trivet/services/billing/internal/plain"
)

// Event is what is needed of one of Stripe's events: an event is a hint that an object changed. It is read without the
// SDK, which refuses events of other API versions and thin ones.
type Event struct {
	// ID is Stripe's, evt_….
	ID string
	// Type is such as "customer.updated".
	Type string
	// ObjectID is the object's; empty when the object has none, such as a balance.
	ObjectID string
	// Livemode tells whether it happened in live mode; nil when the event does not say.
	Livemode *bool
	// Account is the connected account that it happened in; empty for one's own.
	Account string
	// Payload is what is kept of the event: no more than ids, types and times.
	Payload []byte
}

// Hint is an event's payload as it is kept.
type Hint struct {
	ID         string          `json:"id"`
	Type       string          `json:"type"`
	APIVersion string          `json:"api_version,omitempty"`
	Created    json.RawMessage `json:"created,omitempty"` // seconds of a snapshot, text of a thin event
	Livemode   *bool           `json:"livemode,omitempty"`
	Account    string          `json:"account,omitempty"`
	// Thin is true for an event of API v2, which carries no object.
	Thin bool `json:"thin,omitempty"`
	// Object is the object that it is about.
	Object Object `json:"object"`
}

// Object names a Stripe object.
type Object struct {
	ID string `json:"id,omitempty"`
	// Kind is such as "customer".
	Kind string `json:"kind,omitempty"`
	// Without are kinds of objects of which a charge said that it has none: "refund", "dispute".
	Without []string `json:"without,omitempty"`
}

// envelope has the fields of both forms.
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

// thinObject is the object of an event that carries none.
const thinObject = "v2.core.event"

// maxText bounds ids and types, in bytes; Stripe's are far shorter.
const maxText = 255

// ParseEvent reads an event, a snapshot or a thin one, of any API version. The error says what is wrong, and shows nothing
// of the body.
func ParseEvent(body []byte) (Event, error) {
	h, err := ParseHint(body)
	if err != nil {
		return Event{}, err
	}
	payload, err := encode(h)
	if err != nil {
		return Event{}, fmt.Errorf("the event can't be kept: %w", err)
	}
	return Event{ID: h.ID, Type: h.Type, ObjectID: h.Object.ID, Livemode: h.Livemode, Account: h.Account, Payload: payload}, nil
}

// ParseHint reads what is kept of an event. The error is as ParseEvent's.
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
		h.Account = e.Context // a thin event's word for it
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

// idOf is the id of an event that can't be read otherwise; empty when that can't be read either.
func idOf(body []byte) string {
	var e struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(body, &e) != nil || check("id", e.ID, true) != nil {
		return ""
	}
	return e.ID
}

// object is what the event is about. Of a snapshot's object only a few fields count, so one that can't be read is as none.
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

// without spares most charges, which are paid and that's all, from being asked for refunds and disputes.
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

// decode reads a JSON object. The decoder's own errors may quote the body.
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
		return fmt.Errorf("the field %q has a type that no event of Stripe's has", mistyped.Field)
	default:
		return errors.New("the body is not JSON")
	}
}

// encode is json.Marshal without what is for HTML: <, > and & would take six bytes each.
func encode(v any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

// check allows what can be stored, listed and logged.
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
