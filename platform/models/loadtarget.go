package models

import (
	"cmp"
	"net/url"
	"regexp"
	"strconv"
	"time"
)

// maxRoutes bounds the routes of a model, and maxTargets the targets of a file.
const maxRoutes, maxTargets = 16, 256

var (
	targetName  = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)
	settingName = regexp.MustCompile(`^[A-Z][A-Z0-9_]{2,127}$`)
	tierName    = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)
	apiVersion  = regexp.MustCompile(`^[0-9A-Za-z.-]{1,32}$`)
)

// targetRow is a target as the file writes it.
type targetRow struct {
	Kind             string   `yaml:"kind"`
	BaseURL          string   `yaml:"base_url"`
	Keys             []string `yaml:"keys"`
	APIVersion       string   `yaml:"api_version"`
	Organization     string   `yaml:"organization"`
	ConnectTimeout   string   `yaml:"connect_timeout"`
	FirstByteTimeout string   `yaml:"first_byte_timeout"`
	IdleTimeout      string   `yaml:"idle_timeout"`
	MaxConcurrent    *int     `yaml:"max_concurrent"`
}

// routeRow is a route as the file writes it.
type routeRow struct {
	Target          string  `yaml:"target"`
	Model           string  `yaml:"model"`
	Priority        *int    `yaml:"priority"`
	Weight          *int    `yaml:"weight"`
	OutputBound     string  `yaml:"output_bound"`
	AskUsage        *bool   `yaml:"ask_usage"`
	EndsWithoutDone *bool   `yaml:"ends_without_done"`
	ChatOnly        *bool   `yaml:"chat_only"`
	Input           *string `yaml:"input"`
	CachedInput     *string `yaml:"cached_input"`
	Output          *string `yaml:"output"`
}

// reading is a file on its way to a list.
type reading struct {
	lines    lines
	mistakes []error
	images   map[string]int64 // see knownImages; nil until they are needed
}

func (f *reading) wrong(path, what string, args ...any) {
	f.mistakes = append(f.mistakes, f.lines.mistake(path, what, args...))
}

func (f *reading) target(name string, r targetRow) *Target {
	at := "targets/" + name + "/"
	wrong := func(field, what string, args ...any) {
		f.wrong(at+field, "target %s: "+field+" "+what, append([]any{name}, args...)...)
	}
	t := &Target{Name: name, Kind: r.Kind, Keys: r.Keys, APIVersion: r.APIVersion, Organization: r.Organization}
	switch {
	case name == DefaultTarget:
		f.wrong("targets/"+name, "target %s: the name is taken by the settings OPENAI_BASE_URL and OPENAI_API_KEY; choose another one", name)
	case !targetName.MatchString(name):
		f.wrong("targets/"+name, "target %q: the name must have 1 to 63 small letters, digits, dots, dashes and underscores", shorten(name))
	}
	switch r.Kind {
	case TargetOpenAI, TargetAzure, TargetCompatible:
	default:
		wrong("kind", "must be %s, %s or %s, got %q", TargetOpenAI, TargetAzure, TargetCompatible, r.Kind)
	}
	u, err := url.Parse(r.BaseURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		// The value is not shown: it may hold a password.
		wrong("base_url", "must be an http or https address without user, query and fragment")
		u = &url.URL{}
	}
	t.BaseURL = u
	for i, key := range r.Keys {
		if !settingName.MatchString(key) { // not shown: it may be the key itself
			f.wrong(at+"keys/"+strconv.Itoa(i), "target %s: keys must list names of settings, such as AZURE_OPENAI_KEY, and never a key itself", name)
		}
	}
	if r.Kind != TargetCompatible && len(r.Keys) == 0 {
		wrong("keys", "is missing; name the setting that holds the key")
	}
	if r.APIVersion != "" && (r.Kind != TargetAzure || !apiVersion.MatchString(r.APIVersion)) {
		wrong("api_version", "belongs to the kind azure and looks like 2024-10-21")
	}
	timeout := func(field, text string, least time.Duration) time.Duration {
		if text == "" {
			return 0
		}
		d, err := time.ParseDuration(text)
		if err != nil || d < least || d > time.Hour {
			wrong(field, "must be a duration from %s to 1h, such as 30s, got %q", least, text)
		}
		return d
	}
	t.ConnectTimeout = timeout("connect_timeout", r.ConnectTimeout, time.Millisecond)
	t.FirstByteTimeout = timeout("first_byte_timeout", r.FirstByteTimeout, time.Millisecond)
	t.IdleTimeout = timeout("idle_timeout", r.IdleTimeout, time.Millisecond)
	if r.MaxConcurrent != nil {
		if t.MaxConcurrent = *r.MaxConcurrent; t.MaxConcurrent < 1 {
			wrong("max_concurrent", "must be at least 1, got %d", t.MaxConcurrent)
		}
	}
	return t
}

// routes reads the targets of a model.
func (f *reading) routes(m Model, rows []routeRow, targets map[string]targetRow) []Route {
	seen := map[string]bool{}
	var out []Route
	for i, r := range rows {
		at := "models/" + m.ID + "/targets/" + strconv.Itoa(i) + "/"
		if _, known := targets[r.Target]; !known && r.Target != DefaultTarget {
			f.wrong(at+"target", "model %s: target %q is not defined under targets", m.ID, shorten(r.Target))
		}
		if seen[r.Target] {
			f.wrong(at+"target", "model %s: target %q is listed twice", m.ID, shorten(r.Target))
		}
		seen[r.Target] = true
		out = append(out, f.route(at, m, r))
	}
	if len(out) > maxRoutes {
		f.wrong("models/"+m.ID+"/targets", "model %s: targets must be at most %d, got %d", m.ID, maxRoutes, len(out))
	}
	return out
}

func (f *reading) route(at string, m Model, r routeRow) Route {
	out := Route{Target: r.Target, Name: r.Model, Priority: 1, Weight: 1, Model: m}
	number := func(field string, from *int, into *int, most int) {
		if from == nil {
			return
		}
		if *into = *from; *into < 1 || *into > most {
			f.wrong(at+field, "model %s: %s must be from 1 to %d, got %d", m.ID, field, most, *into)
		}
	}
	number("priority", r.Priority, &out.Priority, 100)
	number("weight", r.Weight, &out.Weight, 1000)
	if len(r.Model) > 128 {
		f.wrong(at+"model", "model %s: model must have at most 128 bytes", m.ID)
	}
	switch r.OutputBound {
	case "", BoundNew, BoundOld, BoundNone:
		out.Model.OutputBound = cmp.Or(r.OutputBound, m.OutputBound)
	default:
		f.wrong(at+"output_bound", "model %s: output_bound must be %s, %s or %s, got %q", m.ID, BoundNew, BoundOld, BoundNone, r.OutputBound)
	}
	if r.AskUsage != nil {
		out.Model.HidesUsage = !*r.AskUsage
	}
	if r.EndsWithoutDone != nil {
		out.Model.EndsWithoutDone = *r.EndsWithoutDone
	}
	if r.ChatOnly != nil {
		out.Model.ChatOnly = *r.ChatOnly
	}
	if r.ChatOnly != nil && m.Kind != KindChat {
		f.wrong(at+"chat_only", "model %s: chat_only is for the kind chat", m.ID)
	}
	if m.MaxOutputTokens == 0 && (r.OutputBound != "" || r.AskUsage != nil || r.EndsWithoutDone != nil || r.Output != nil) {
		f.wrong(at+"target", "model %s: the model is not streamed and has no output: remove output, output_bound, ask_usage and ends_without_done", m.ID)
	}
	for _, price := range []struct {
		field string
		value *string
	}{{"input", r.Input}, {"cached_input", r.CachedInput}, {"output", r.Output}} {
		if price.value != nil { // the ledger holds and bills at the model's price, whichever target serves
			f.wrong(at+price.field, "model %s: %s cannot be set for a target; remove it, and set the price of the model to that of its dearest target", m.ID, price.field)
		}
	}
	return out
}
