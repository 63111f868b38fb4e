package sandbox

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/trivet-dev/trivet/platform/integration"
	"github.com/trivet-dev/trivet/sandbox/webhook"
)

// senderNames are the providers that send webhooks.
func senderNames() []string { return integration.Names(integration.WithWebhooks()) }

// unknown says which providers there are.
func unknown(provider string, known []string) string {
	last := len(known) - 1
	return fmt.Sprintf("provider %q is unknown; use %s or %s", provider, strings.Join(known[:last], ", "), known[last])
}

func (s *Sandbox) controlWebhooks(mux *http.ServeMux) {
	mux.HandleFunc("POST /control/webhooks", s.addEndpoint)
	mux.HandleFunc("GET /control/webhooks", s.listEndpoints)
	mux.HandleFunc("DELETE /control/webhooks/{id}", s.removeEndpoint)
	mux.HandleFunc("POST /control/webhooks/{id}/rotate", s.rotateEndpoint)
	mux.HandleFunc("GET /control/webhooks/settings", s.webhookSettings)
	mux.HandleFunc("PATCH /control/webhooks/settings", s.changeWebhookSettings)
	mux.HandleFunc("POST /control/webhooks/flush", s.flushWebhooks)
	mux.HandleFunc("POST /control/webhooks/send", s.sendWebhook)
	mux.HandleFunc("GET /control/webhooks/deliveries", s.listDeliveries)
	mux.HandleFunc("POST /control/webhooks/deliveries/{id}/resend", s.resendDelivery)
}

// sender returns the one of a provider, or answers 400.
func (s *Sandbox) sender(w http.ResponseWriter, provider string) *webhook.Sender {
	found, ok := s.senders[provider]
	if !ok {
		refuse(w, http.StatusBadRequest, unknown(provider, senderNames()))
		return nil
	}
	return found
}

// chosen returns the providers that ?provider= or a field selects: all of them when it is empty. If the name is unknown,
// it answers 400 and returns nil.
func (s *Sandbox) chosen(w http.ResponseWriter, provider string) []string {
	if provider == "" {
		return senderNames()
	}
	if s.sender(w, provider) == nil {
		return nil
	}
	return []string{provider}
}

// owner returns the sender that created an identifier.
func (s *Sandbox) owner(id string) (string, *webhook.Sender) {
	provider, _, _ := strings.Cut(id, "-")
	return provider, s.senders[provider]
}

func (s *Sandbox) addEndpoint(w http.ResponseWriter, r *http.Request) {
	var in wireEndpoint
	if !read(w, r, &in) {
		return
	}
	sender := s.sender(w, in.Provider)
	if sender == nil {
		return
	}
	if in.ID != "" || (in.Secret != "") == (len(in.Secrets) > 0) {
		refuse(w, http.StatusBadRequest, "set either secret or secrets, and leave out id: the sandbox assigns it")
		return
	}
	if in.Secret != "" {
		in.Secrets = []string{in.Secret}
	}
	added, err := sender.Add(webhook.Endpoint{URL: in.URL, Secrets: in.Secrets, Types: in.Types})
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	reply(w, http.StatusCreated, endpointToWire(in.Provider, added))
}

func (s *Sandbox) listEndpoints(w http.ResponseWriter, _ *http.Request) {
	out := []wireEndpoint{}
	for _, provider := range senderNames() {
		for _, e := range s.senders[provider].Endpoints() {
			out = append(out, endpointToWire(provider, e))
		}
	}
	reply(w, http.StatusOK, map[string]any{"webhooks": out})
}

func (s *Sandbox) removeEndpoint(w http.ResponseWriter, r *http.Request) {
	if _, sender := s.owner(r.PathValue("id")); sender == nil || !sender.Remove(r.PathValue("id")) {
		refuse(w, http.StatusNotFound, "webhook endpoint "+r.PathValue("id")+" not found")
		return
	}
	reply(w, http.StatusOK, map[string]int{"removed": 1})
}

func (s *Sandbox) rotateEndpoint(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Secret  string `json:"secret"`
		KeepOld bool   `json:"keep_old"`
	}
	if !read(w, r, &in) {
		return
	}
	provider, sender := s.owner(r.PathValue("id"))
	if sender == nil {
		refuse(w, http.StatusNotFound, "webhook endpoint "+r.PathValue("id")+" not found")
		return
	}
	e, err := sender.Rotate(r.PathValue("id"), in.Secret, in.KeepOld)
	if err != nil {
		refuse(w, statusOf(err), err.Error())
		return
	}
	reply(w, http.StatusOK, endpointToWire(provider, e))
}

func (s *Sandbox) webhookSettings(w http.ResponseWriter, _ *http.Request) {
	out := []wireSettings{}
	for _, provider := range senderNames() {
		out = append(out, settingsToWire(provider, s.senders[provider].Settings()))
	}
	reply(w, http.StatusOK, map[string]any{"settings": out})
}

func (s *Sandbox) changeWebhookSettings(w http.ResponseWriter, r *http.Request) {
	var in wireSettings
	if !read(w, r, &in) {
		return
	}
	providers := s.chosen(w, in.Provider)
	if providers == nil {
		return
	}
	if err := in.check(); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	for _, provider := range providers {
		if err := s.senders[provider].Change(in.onto(s.senders[provider].Settings())); err != nil {
			refuse(w, http.StatusBadRequest, err.Error())
			return
		}
	}
	s.webhookSettings(w, r)
}

// flushWebhooks sends all pending deliveries, of both providers or of ?provider=, and answers after one attempt of each.
func (s *Sandbox) flushWebhooks(w http.ResponseWriter, r *http.Request) {
	providers := s.chosen(w, r.URL.Query().Get("provider"))
	if providers == nil {
		return
	}
	report, err := s.flush(r.Context(), providers)
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	reply(w, http.StatusOK, report)
}

// FlushWebhooks sends all pending deliveries of both providers, and returns after one attempt of each. It fails when ctx
// ends or the sandbox is closed.
func (s *Sandbox) FlushWebhooks(ctx context.Context) (webhook.Report, error) {
	return s.flush(ctx, senderNames())
}

func (s *Sandbox) flush(ctx context.Context, providers []string) (webhook.Report, error) {
	var all webhook.Report
	for _, provider := range providers {
		one, err := s.senders[provider].Flush(ctx)
		if err != nil {
			return all, err
		}
		all.Delivered += one.Delivered
		all.Failed += one.Failed
	}
	return all, nil
}

// listDeliveries answers the latest deliveries and how many are in each state. It takes ?provider=, state, type,
// subject, event and limit.
func (s *Sandbox) listDeliveries(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	providers := s.chosen(w, q.Get("provider"))
	if providers == nil {
		return
	}
	f := webhook.Filter{State: webhook.State(q.Get("state")), Type: q.Get("type"), Subject: q.Get("subject"), EventID: q.Get("event")}
	if !f.State.Known() {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("state %q is unknown; use %s", f.State, webhook.StateNames()))
		return
	}
	if raw := q.Get("limit"); raw != "" {
		n, err := strconv.Atoi(raw)
		if err != nil || n < 1 || n > webhook.MaxFinished {
			refuse(w, http.StatusBadRequest, fmt.Sprintf("limit must be 1 to %d", webhook.MaxFinished))
			return
		}
		f.Limit = n
	}
	list, counts := []wireDelivery{}, map[webhook.State]int{}
	for _, provider := range providers {
		for _, d := range s.senders[provider].Deliveries(f) {
			list = append(list, deliveryToWire(provider, d))
		}
		for state, n := range s.senders[provider].Counts() {
			counts[state] += n
		}
	}
	slices.SortStableFunc(list, func(a, b wireDelivery) int { return b.CreatedAt.Compare(a.CreatedAt) })
	if f.Limit == 0 {
		f.Limit = 100
	}
	reply(w, http.StatusOK, map[string]any{"counts": counts, "deliveries": list[:min(len(list), f.Limit)]})
}

func (s *Sandbox) resendDelivery(w http.ResponseWriter, r *http.Request) {
	provider, sender := s.owner(r.PathValue("id"))
	if sender == nil {
		refuse(w, http.StatusNotFound, "delivery "+r.PathValue("id")+" not found")
		return
	}
	d, err := sender.Resend(r.PathValue("id"))
	if err != nil {
		refuse(w, statusOf(err), err.Error())
		return
	}
	reply(w, http.StatusOK, deliveryToWire(provider, d))
}
