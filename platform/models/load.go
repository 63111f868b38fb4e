package models

import (
	"cmp"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/trivet-dev/trivet/platform/plain"
	"github.com/trivet-dev/trivet/platform/smallfile"
)

//go:embed models.yaml
var embedded []byte

// row is a model as the file writes it.
type row struct {
	Kind                string   `yaml:"kind"`
	Provider            string   `yaml:"provider"`
	Reasoning           bool     `yaml:"reasoning"`
	Vocabulary          string   `yaml:"vocabulary"`
	ChatOnly            bool     `yaml:"chat_only"`
	Aliases             []string `yaml:"aliases"`
	OutputBound         string   `yaml:"output_bound"`
	AskUsage            *bool    `yaml:"ask_usage"`
	EndsWithoutDone     bool     `yaml:"ends_without_done"`
	RefusedFields       []string `yaml:"refused_fields"`
	ContextTokens       int64    `yaml:"context_tokens"`
	MaxOutputTokens     int64    `yaml:"max_output_tokens"`
	DefaultOutputTokens int64    `yaml:"default_output_tokens"`
	MaxImageTokens      *int64   `yaml:"max_image_tokens"`
	Input               *string  `yaml:"input"`
	CachedInput         *string  `yaml:"cached_input"`
	Output              *string  `yaml:"output"`

	priceRow `yaml:",inline"`

	Targets []routeRow `yaml:"targets"`
}

// Default returns the embedded price list.
func Default() (*List, error) {
	return Parse(embedded)
}

// maxFile bounds MODELS_FILE, in bytes. A model takes about 500.
const maxFile = 8 << 20

// Load reads the price list of MODELS_FILE, or the embedded one when path is "".
func Load(path string) (*List, error) {
	if path == "" {
		return Default()
	}
	data, err := smallfile.Read(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("MODELS_FILE: %w", err)
	}
	list, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("MODELS_FILE %s: %w", path, err)
	}
	list.content.Load().source = sha256.Sum256(data)
	return list, nil
}

// Parse reads a price list and reports every mistake at once, each with its line, its model or target, and its field.
func Parse(data []byte) (*List, error) {
	file, err := readDocument(data)
	if err != nil {
		return nil, err
	}
	var root yaml.Node
	_ = yaml.Unmarshal(data, &root) // it was read before
	f := &reading{lines: linesOf(&root)}
	f.decimals(&root)
	targets := make(map[string]*Target, len(file.Targets))
	for _, name := range slices.Sorted(maps.Keys(file.Targets)) {
		targets[name] = f.target(name, file.Targets[name])
	}
	if len(targets) > maxTargets {
		f.wrong("targets", "targets must be at most %d, got %d", maxTargets, len(targets))
	}
	ids := slices.Sorted(maps.Keys(file.Models))
	names := make(map[string]string, len(ids))
	for _, id := range ids {
		names[id] = id
	}
	all := make([]Model, 0, len(ids))
	for _, id := range ids {
		m := f.model(id, file.Models[id])
		m.MaxImageTokens = f.imageTokens(id, file.Models[id], file.Targets)
		for _, alias := range m.Aliases {
			if other, taken := names[alias]; taken {
				f.wrong("models/"+id+"/aliases", "model %s: alias %q already names the model %s", id, alias, other)
			}
			names[alias] = id
		}
		m.Routes = f.routes(m, file.Models[id].Targets, file.Targets)
		all = append(all, m)
	}
	if err := errors.Join(f.mistakes...); err != nil {
		return nil, err
	}
	return newList(all, targets), nil
}

func (f *reading) model(id string, r row) Model {
	m := Model{
		ID: id, Kind: r.Kind, Provider: r.Provider, Reasoning: r.Reasoning,
		Vocabulary: cmp.Or(r.Vocabulary, VocabularyBytes), Aliases: r.Aliases, ChatOnly: r.ChatOnly, EndsWithoutDone: r.EndsWithoutDone,
		OutputBound: cmp.Or(r.OutputBound, BoundNew), HidesUsage: r.AskUsage != nil && !*r.AskUsage, RefusedFields: r.RefusedFields, ContextTokens: r.ContextTokens,
		MaxOutputTokens: r.MaxOutputTokens, DefaultOutputTokens: r.DefaultOutputTokens,
	}
	f.shape(id, r)
	at := "models/" + id + "/"
	m.InputPrice = f.price(at+"input", id, r.Input, 0)
	m.CachedInputPrice = f.price(at+"cached_input", id, r.CachedInput, m.InputPrice)
	m.OutputPrice = f.price(at+"output", id, r.Output, 0)
	f.mediaShape(id, r)
	m.Prices = f.prices(m, r.priceRow)
	return m
}

// price reads the price at a path. A missing field has the price fallback.
func (f *reading) price(path, id string, text *string, fallback int64) int64 {
	if text == nil {
		return fallback
	}
	nanos, err := ParseDollars(*text)
	if err == nil && nanos > maxPriceDollars*1_000_000_000 {
		err = fmt.Errorf("%q is above the largest price of %d dollars", *text, maxPriceDollars)
	}
	if err != nil {
		f.wrong(path, "model %s: %s: %w", id, path[strings.LastIndexByte(path, '/')+1:], err)
	}
	return nanos
}

func isModelName(name string) bool {
	return name != "" && len(name) <= 128 && plain.Trimmed(name) && plain.Printable(name)
}

func (f *reading) shape(id string, r row) {
	// A text begins with the name of its field, at whose line the mistake is.
	wrong := func(format string, args ...any) {
		field, _, _ := strings.Cut(format, " ")
		f.wrong("models/"+id+"/"+field, "model %s: "+format, append([]any{id}, args...)...)
	}
	if !isModelName(id) {
		wrong("the name must have 1 to 128 bytes, no control characters, and no white space around it")
	}
	if r.Provider == "" {
		wrong("provider is missing")
	}
	if r.ContextTokens <= 0 || r.ContextTokens > math.MaxInt32 {
		wrong("context_tokens must be from 1 to %d, got %d", math.MaxInt32, r.ContextTokens)
	}
	if r.Input == nil {
		wrong("input is missing; write \"0\" for a free model")
	}
	switch r.Vocabulary {
	case "", VocabularyO200k, VocabularyCl100k, VocabularyBytes:
	default:
		wrong("vocabulary must be %s, %s or %s, got %q", VocabularyO200k, VocabularyCl100k, VocabularyBytes, r.Vocabulary)
	}
	switch r.OutputBound {
	case "", BoundNew, BoundOld, BoundNone:
	default:
		wrong("output_bound must be %s, %s or %s, got %q", BoundNew, BoundOld, BoundNone, r.OutputBound)
	}
	for _, alias := range r.Aliases {
		if !isModelName(alias) {
			wrong("an alias must have 1 to 128 bytes, no control characters, and no white space around it, got %q", shorten(alias))
		}
	}
	for _, field := range r.RefusedFields {
		if strings.TrimSpace(field) != field || field == "" {
			wrong("refused_fields must have names without white space around them, got %q", field)
		}
	}
	switch r.Kind {
	case KindChat, KindCompletion:
		if r.ChatOnly && r.Kind != KindChat {
			wrong("chat_only is for the kind chat")
		}
		if r.Output == nil {
			wrong("output is missing; write \"0\" for a free model")
		}
		if r.MaxOutputTokens <= 0 || r.MaxOutputTokens > r.ContextTokens {
			wrong("max_output_tokens must be from 1 to context_tokens, got %d", r.MaxOutputTokens)
		}
		if r.DefaultOutputTokens <= 0 || r.DefaultOutputTokens > r.MaxOutputTokens {
			wrong("default_output_tokens must be from 1 to max_output_tokens, got %d", r.DefaultOutputTokens)
		}
	case KindEmbedding:
		if r.OutputBound != "" || r.AskUsage != nil || r.EndsWithoutDone || r.ChatOnly {
			wrong("an embedding is not streamed and has no output: remove output_bound, ask_usage and ends_without_done")
		}
		if r.MaxOutputTokens != 0 || r.DefaultOutputTokens != 0 || r.Output != nil || r.Reasoning {
			wrong("an embedding has no output: remove output, max_output_tokens, default_output_tokens and reasoning")
		}
	case KindModeration:
		if r.OutputBound != "" || r.AskUsage != nil || r.EndsWithoutDone || r.MaxOutputTokens != 0 || r.DefaultOutputTokens != 0 || r.Output != nil || r.Reasoning {
			wrong("a moderation has no output: remove every field about output and reasoning")
		}
		if r.Input != nil && strings.Trim(*r.Input, "0.") != "" || r.CachedInput != nil {
			wrong("a moderation is free: input must be \"0\"")
		}
	case KindImage, KindSpeech, KindTranscription: // see mediaShape
	default:
		wrong("kind must be chat, completion, embedding, moderation, image, speech or transcription, got %q", r.Kind)
	}
}
