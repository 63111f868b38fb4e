package models

import (
	"maps"
	"slices"
)

// tokenRow is a set of prices of tokens as the file writes it.
type tokenRow struct {
	Above       int64     `yaml:"above"`
	Input       *string   `yaml:"input"`
	CachedInput *string   `yaml:"cached_input"`
	Output      *string   `yaml:"output"`
	LongContext *tokenRow `yaml:"long_context"`
}

// priceRow is what a model costs besides its tokens of text, as the file writes it.
type priceRow struct {
	AudioInput      *string             `yaml:"audio_input"`
	ImageInput      *string             `yaml:"image_input"`
	AudioOutput     *string             `yaml:"audio_output"`
	ImageOutput     *string             `yaml:"image_output"`
	LongContext     *tokenRow           `yaml:"long_context"`
	Tiers           map[string]tokenRow `yaml:"service_tiers"`
	Images          map[string]string   `yaml:"images"`
	Minute          *string             `yaml:"minute"`
	Characters      *string             `yaml:"characters"`
	Tools           map[string]string   `yaml:"tools"`
	MaxAudioSeconds int64               `yaml:"max_audio_seconds"`
}

// empty reports whether the file has no such price.
func (r priceRow) empty() bool {
	return r.AudioInput == nil && r.ImageInput == nil && r.AudioOutput == nil && r.ImageOutput == nil && r.LongContext == nil && len(r.Tiers) == 0 &&
		len(r.Images) == 0 && r.Minute == nil && r.Characters == nil && len(r.Tools) == 0 && r.MaxAudioSeconds == 0
}

// prices reads what a model costs besides its tokens of text; nil for nothing.
func (f *reading) prices(m Model, r priceRow) *Prices {
	if r.empty() {
		return nil
	}
	at := "models/" + m.ID + "/"
	p := &Prices{
		AudioInput: f.price(at+"audio_input", m.ID, r.AudioInput, m.InputPrice), ImageInput: f.price(at+"image_input", m.ID, r.ImageInput, m.InputPrice),
		AudioOutput: f.price(at+"audio_output", m.ID, r.AudioOutput, m.OutputPrice), ImageOutput: f.price(at+"image_output", m.ID, r.ImageOutput, m.OutputPrice),
		Minute: f.price(at+"minute", m.ID, r.Minute, 0), Characters: f.price(at+"characters", m.ID, r.Characters, 0),
		Images: f.priceTable(at+"images", m.ID, r.Images), Tools: f.priceTable(at+"tools", m.ID, r.Tools), MaxAudioSeconds: r.MaxAudioSeconds,
	}
	p.Long = f.long(at+"long_context/", m, r.LongContext)
	for _, tier := range slices.Sorted(maps.Keys(r.Tiers)) {
		row, path := r.Tiers[tier], at+"service_tiers/"+tier+"/"
		if p.Tiers == nil {
			p.Tiers = map[string]TokenPrices{}
		}
		t := TokenPrices{Input: f.required(path+"input", m.ID, row.Input), Output: f.required(path+"output", m.ID, row.Output)}
		t.CachedInput, t.Long = f.price(path+"cached_input", m.ID, row.CachedInput, t.Input), f.long(path+"long_context/", m, row.LongContext)
		p.Tiers[tier] = t
		switch {
		case !tierName.MatchString(tier) || tier == "auto" || tier == "default":
			f.wrong(at+"service_tiers/"+tier, "model %s: service_tiers: %q cannot have prices; name a tier such as flex or priority", m.ID, shorten(tier))
		case row.Above != 0:
			f.wrong(path+"above", "model %s: above belongs under long_context", m.ID)
		case (t.Long == nil) != (p.Long == nil):
			f.wrong(at+"service_tiers/"+tier, "model %s: service_tiers: %s must have a long_context if the model has one, and only then", m.ID, tier)
		}
	}
	return p
}

// required reads a price that must be there.
func (f *reading) required(path, id string, text *string) int64 {
	if text == nil {
		f.wrong(path, "model %s: %s is missing; write \"0\" for a free one", id, path[len("models/"+id+"/"):])
	}
	return f.price(path, id, text, 0)
}

func (f *reading) long(path string, m Model, r *tokenRow) *LongPrices {
	if r == nil {
		return nil
	}
	l := &LongPrices{Above: r.Above, Input: f.required(path+"input", m.ID, r.Input), Output: f.required(path+"output", m.ID, r.Output)}
	l.CachedInput = f.price(path+"cached_input", m.ID, r.CachedInput, l.Input)
	if r.Above <= 0 || r.Above >= m.ContextTokens || r.LongContext != nil {
		f.wrong(path+"above", "model %s: long_context: above must be at least 1 and less than context_tokens, got %d", m.ID, r.Above)
	}
	return l
}

// priceTable reads prices by name.
func (f *reading) priceTable(path, id string, rows map[string]string) map[string]int64 {
	if len(rows) == 0 {
		return nil
	}
	out := make(map[string]int64, len(rows))
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		text := rows[name]
		out[name] = f.price(path+"/"+name, id, &text, 0)
	}
	return out
}

// mediaShape checks what only the kinds have whose input or output is not text.
func (f *reading) mediaShape(id string, r row) {
	wrong := func(field, format string, args ...any) {
		f.wrong("models/"+id+"/"+field, "model %s: "+field+" "+format, append([]any{id}, args...)...)
	}
	p := r.priceRow
	only := func(field string, set bool, kinds ...string) {
		if set && !slices.Contains(kinds, r.Kind) {
			wrong(field, "is not for the kind %s", r.Kind)
		}
	}
	only("images", len(p.Images) > 0, KindImage)
	only("minute", p.Minute != nil, KindTranscription)
	only("max_audio_seconds", p.MaxAudioSeconds != 0, KindTranscription)
	only("characters", p.Characters != nil, KindSpeech)
	only("image_output", p.ImageOutput != nil, KindImage)
	only("image_input", p.ImageInput != nil, KindImage, KindChat)
	only("audio_input", p.AudioInput != nil, KindTranscription, KindChat)
	only("audio_output", p.AudioOutput != nil, KindChat)
	only("service_tiers", len(p.Tiers) > 0, KindChat, KindCompletion, KindEmbedding)
	only("long_context", p.LongContext != nil, KindChat)
	only("tools", len(p.Tools) > 0, KindChat)
	if r.OutputBound != "" || r.AskUsage != nil || r.EndsWithoutDone || r.Reasoning || r.ChatOnly || r.DefaultOutputTokens != 0 || len(r.RefusedFields) > 0 {
		switch r.Kind {
		case KindImage, KindSpeech, KindTranscription:
			wrong("kind", "is %s: remove every field about bounds, streams and reasoning", r.Kind)
		}
	}
	switch r.Kind {
	case KindImage:
		if (p.ImageOutput == nil) == (len(p.Images) == 0) {
			f.wrong("models/"+id+"/images", "model %s: set either images (a price for each quality and size) or image_output (a price for a million tokens)", id)
		}
		if (p.ImageOutput != nil) != (r.MaxOutputTokens > 0) || r.MaxOutputTokens > r.ContextTokens {
			wrong("max_output_tokens", "must be the most tokens of one image if image_output is set, and only then; got %d", r.MaxOutputTokens)
		}
	case KindSpeech:
		if p.Characters == nil || r.MaxOutputTokens != 0 || r.Output != nil {
			wrong("characters", "is needed, and output and max_output_tokens are not: speech is billed by the characters of its text")
		}
	case KindTranscription:
		if p.MaxAudioSeconds <= 0 || p.MaxAudioSeconds > maxAudioSeconds {
			wrong("max_audio_seconds", "must be from 1 to %d, got %d", maxAudioSeconds, p.MaxAudioSeconds)
		}
		if (p.Minute == nil) == (p.AudioInput == nil) {
			wrong("minute", "(or audio_input, but not both) must be set")
		}
		if (p.AudioInput != nil) != (r.MaxOutputTokens > 0 && r.Output != nil) || r.MaxOutputTokens > r.ContextTokens {
			wrong("max_output_tokens", "and output must be set if audio_input is, and only then; got %d", r.MaxOutputTokens)
		}
	}
}

// maxAudioSeconds is a day.
const maxAudioSeconds = 24 * 60 * 60
