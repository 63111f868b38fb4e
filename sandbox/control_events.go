package sandbox

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/trivet-dev/trivet/sandbox/webhook"
)

// statusOf is 404 for what is unknown, and 400 for the rest.
func statusOf(err error) int {
	if errors.Is(err, webhook.ErrUnknown) {
		return http.StatusNotFound
	}
	return http.StatusBadRequest
}

// madeEvent is an event that no change caused: with an unknown type, from another instance, or with a body that is not
// an event.
type madeEvent struct {
	Provider string          `json:"provider"`
	ID       string          `json:"id"`
	Type     string          `json:"type"`
	Subject  string          `json:"subject"`
	Data     json.RawMessage `json:"data"`
	Instance string          `json:"instance_id"`
	Raw      *string         `json:"raw"` // the whole body, without an envelope
}

// sendWebhook signs and delivers an event that no change caused.
func (s *Sandbox) sendWebhook(w http.ResponseWriter, r *http.Request) {
	var in madeEvent
	if !read(w, r, &in) {
		return
	}
	sender := s.sender(w, in.Provider)
	if sender == nil {
		return
	}
	if (in.Raw == nil) == (in.Data == nil) || (in.Raw == nil && in.Type == "") {
		refuse(w, http.StatusBadRequest, "set type and data, or set raw to the whole body")
		return
	}
	var e webhook.Event
	if in.Provider == "clerk" {
		e = s.clerk.MakeEvent(in.Type, in.Subject, in.Data, in.Instance)
	} else {
		e = s.stripe.MakeEvent(in.Type, in.Subject, in.Data)
	}
	if in.ID != "" {
		e.ID = in.ID
	}
	if in.Raw != nil {
		e.Body = []byte(*in.Raw)
	}
	sender.Send(e)
	reply(w, http.StatusAccepted, map[string]string{"event_id": e.ID})
}
