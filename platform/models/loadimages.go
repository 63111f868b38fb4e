package models

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// imageTokens reads the most tokens of one image that a model sees. A file that does not say it has that of the embedded list for
// the same models; 0 stands for models that nobody knows.
func (f *reading) imageTokens(id string, r row, targets map[string]targetRow) int64 {
	wrong := func(format string, args ...any) {
		f.wrong("models/"+id+"/max_image_tokens", "model %s: max_image_tokens "+format, append([]any{id}, args...)...)
	}
	switch {
	case r.MaxImageTokens == nil && (r.Kind == KindChat || r.Kind == KindImage && r.ImageOutput != nil):
		return f.knownImages(id, r.Targets, targets)
	case r.MaxImageTokens == nil:
		return 0
	case r.Kind == KindImage && r.ImageOutput == nil:
		wrong("is not for a model with a price for each image")
	case r.Kind != KindChat && r.Kind != KindImage:
		wrong("is not for the kind %s", r.Kind)
	case *r.MaxImageTokens < 1 || *r.MaxImageTokens > r.ContextTokens:
		wrong("must be from 1 to context_tokens, got %d", *r.MaxImageTokens)
	}
	return *r.MaxImageTokens
}

// knownImages finds the models that serve a row by their names at the targets, and returns the highest number of the embedded list; 0
// if it lacks one of them.
func (f *reading) knownImages(id string, routes []routeRow, targets map[string]targetRow) (most int64) {
	if len(routes) == 0 {
		routes = []routeRow{{}}
	}
	if f.images == nil {
		f.images = embeddedImages()
	}
	for _, r := range routes {
		name := id
		if r.Model != "" && targets[r.Target].Kind != TargetAzure { // there it is the name of a deployment
			name = r.Model[strings.LastIndexByte(r.Model, '/')+1:] // such as openai/gpt-4o
		}
		tokens := f.images[name]
		if tokens == 0 {
			return 0
		}
		most = max(most, tokens)
	}
	return most
}

// embeddedImages are the tokens of an image by the names of the embedded list's models.
func embeddedImages() map[string]int64 {
	var file struct {
		Models map[string]struct {
			Aliases        []string `yaml:"aliases"`
			MaxImageTokens int64    `yaml:"max_image_tokens"`
		} `yaml:"models"`
	}
	out := map[string]int64{}
	if yaml.Unmarshal(embedded, &file) != nil {
		return out
	}
	for id, m := range file.Models {
		out[id] = m.MaxImageTokens
		for _, alias := range m.Aliases {
			out[alias] = m.MaxImageTokens
		}
	}
	return out
}
