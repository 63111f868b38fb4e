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
	// Model is the model as this target serves it, with its own way to bound the output. It has no routes.
	Model Model
}

// AtAnyTarget returns the model as it must be held, because any of its targets may serve the call: one of them may not let
// its output be bounded.
func (m Model) AtAnyTarget() Model {
	for i, r := range m.Routes {
		if i == 0 || r.Model.OutputBound == BoundNone {
			m.OutputBound = r.Model.OutputBound
		}
	}
	return m
}
