package models

import (
	"net/url"
	"time"
)

// Kinds of targets.
const (
	// TargetOpenAI is OpenAI itself.
	TargetOpenAI = "openai"
	// TargetAzure is a resource of Azure OpenAI.
	TargetAzure = "azure"
	// TargetCompatible is any other server that speaks OpenAI's format.
	TargetCompatible = "compatible"
)

// DefaultTarget names the target of the settings OPENAI_BASE_URL and OPENAI_API_KEY. A model that lists no targets is
// served by it.
const DefaultTarget = "openai"

// Target is a server that models are called at.
type Target struct {
	// Name names the target in routes, metrics and records.
	Name string
	// Kind is TargetOpenAI, TargetAzure or TargetCompatible.
	Kind string
	// BaseURL is where the API is, such as https://api.groq.com/openai/v1. Of Azure it is the resource's endpoint.
	BaseURL *url.URL
	// Keys are the names of the settings that hold the API keys. Calls take turns among them.
	Keys []string
	// APIVersion is Azure's api-version. With one the model's name is the name of a deployment in the path.
	APIVersion string
	// Organization is OpenAI's organization to bill; may be empty.
	Organization string
	// ConnectTimeout, FirstByteTimeout and IdleTimeout are 0 where the settings of the default target count.
	ConnectTimeout, FirstByteTimeout, IdleTimeout time.Duration
	// MaxConcurrent is the maximum of concurrent calls; 0 where the setting of the default target counts.
	MaxConcurrent int
}

// Equal reports whether two targets are the same in all that they say.
func (t *Target) Equal(o *Target) bool {
	if len(t.Keys) != len(o.Keys) || t.BaseURL.String() != o.BaseURL.String() {
		return false
	}
	for i, key := range t.Keys {
		if key != o.Keys[i] {
			return false
		}
	}
	a, b := *t, *o
	a.BaseURL, b.BaseURL, a.Keys, b.Keys = nil, nil, nil, nil
	return a.Name == b.Name && a.Kind == b.Kind && a.APIVersion == b.APIVersion && a.Organization == b.Organization &&
		a.ConnectTimeout == b.ConnectTimeout && a.FirstByteTimeout == b.FirstByteTimeout && a.IdleTimeout == b.IdleTimeout &&
		a.MaxConcurrent == b.MaxConcurrent
}

// Route is a target that may serve a model.
type Route struct {
	// Target is the target's name.
	Target string
	// Name is the model's name there; "" where it is the name that the request uses.
	Name string
	// Priority ranks the routes of a model: those of the lowest number are tried first.
	Priority int
	// Weight is the route's share of the calls among routes of the same priority.
	Weight int
	// Model is the model as this target serves it, with its own prices and its own way to bound the output. It has no
	// routes.
	Model Model
}

// Route returns the route to a target; nil when the model has none.
func (m *Model) Route(target string) *Route {
	for i := range m.Routes {
		if m.Routes[i].Target == target {
			return &m.Routes[i]
		}
	}
	return nil
}

// Dearest returns the model at the highest price that one of its routes may charge. A hold at this price covers a call
// whichever target serves it.
func (m Model) Dearest() Model {
	for i, r := range m.Routes {
		if i == 0 {
			m.InputPrice, m.CachedInputPrice, m.OutputPrice = r.Model.InputPrice, r.Model.CachedInputPrice, r.Model.OutputPrice
			m.OutputBound = r.Model.OutputBound
			continue
		}
		m.InputPrice = max(m.InputPrice, r.Model.InputPrice)
		m.CachedInputPrice = max(m.CachedInputPrice, r.Model.CachedInputPrice)
		m.OutputPrice = max(m.OutputPrice, r.Model.OutputPrice)
		if r.Model.OutputBound == BoundNone { // nothing tells that target when to stop
			m.OutputBound = BoundNone
		}
	}
	return m
}

// PricedAt returns the model at the price of the target that served a call, but never above the price that the call was
// held at. A target that the list does not have any more is charged at the price of the hold.
func (m Model) PricedAt(target string, held Model) Model {
	if r := m.Route(target); r != nil {
		held.InputPrice = min(held.InputPrice, r.Model.InputPrice)
		held.CachedInputPrice = min(held.CachedInputPrice, r.Model.CachedInputPrice)
		held.OutputPrice = min(held.OutputPrice, r.Model.OutputPrice)
	}
	return held
}
