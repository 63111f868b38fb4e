package sandbox

import (
	"net/http"
	"slices"
	"time"

	"github.com/trivet-dev/trivet/sandbox/fault"
)

// wireFault is a fault in the control API.
type wireFault struct {
	ID          string     `json:"id,omitempty"`
	Provider    string     `json:"provider"`
	Kind        fault.Kind `json:"kind"`
	Method      string     `json:"method,omitempty"`
	Path        string     `json:"path,omitempty"`
	Count       int        `json:"count,omitempty"`
	DelayMs     int64      `json:"delay_ms,omitempty"`
	Status      int        `json:"status,omitempty"`
	RetryAfter  int64      `json:"retry_after,omitempty"` // seconds
	Body        string     `json:"body,omitempty"`
	AfterChunks int        `json:"after_chunks,omitempty"`
}

func toWire(provider string, f fault.Fault) wireFault {
	return wireFault{
		ID: f.ID, Provider: provider, Kind: f.Kind, Method: f.Method, Path: f.Path, Count: f.Count, DelayMs: f.Delay.Milliseconds(),
		Status: f.Status, RetryAfter: int64(f.RetryAfter / time.Second), Body: f.Body, AfterChunks: f.AfterChunks,
	}
}

func (f wireFault) fault() fault.Fault {
	return fault.Fault{
		Kind: f.Kind, Method: f.Method, Path: f.Path, Count: f.Count, Delay: time.Duration(f.DelayMs) * time.Millisecond,
		Status: f.Status, RetryAfter: time.Duration(f.RetryAfter) * time.Second, Body: f.Body, AfterChunks: f.AfterChunks,
	}
}

func (s *Sandbox) addFault(w http.ResponseWriter, r *http.Request) {
	var in wireFault
	if !read(w, r, &in) {
		return
	}
	set, ok := s.faults()[in.Provider]
	if !ok {
		refuse(w, http.StatusBadRequest, unknown(in.Provider, providerNames()))
		return
	}
	if in.ID != "" {
		refuse(w, http.StatusBadRequest, "leave out id: the sandbox assigns it")
		return
	}
	added, err := set.Add(in.fault())
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	reply(w, http.StatusCreated, toWire(in.Provider, added))
}

func (s *Sandbox) listFaults(w http.ResponseWriter, _ *http.Request) {
	out := []wireFault{}
	for _, provider := range providerNames() {
		for _, f := range s.faults()[provider].List() {
			out = append(out, toWire(provider, f))
		}
	}
	reply(w, http.StatusOK, map[string]any{"faults": out})
}

// clearFaults removes all faults, or those of ?provider=.
func (s *Sandbox) clearFaults(w http.ResponseWriter, r *http.Request) {
	provider := r.URL.Query().Get("provider")
	if provider != "" && !slices.Contains(providerNames(), provider) {
		refuse(w, http.StatusBadRequest, unknown(provider, providerNames()))
		return
	}
	n := 0
	for name, set := range s.faults() {
		if provider == "" || provider == name {
			n += set.Clear()
		}
	}
	reply(w, http.StatusOK, map[string]int{"removed": n})
}

func (s *Sandbox) removeFault(w http.ResponseWriter, r *http.Request) {
	for _, set := range s.faults() {
		if set.Remove(r.PathValue("id")) {
			reply(w, http.StatusOK, map[string]int{"removed": 1})
			return
		}
	}
	refuse(w, http.StatusNotFound, "fault "+r.PathValue("id")+" not found")
}
