// Package settings fills typed structs from environment variables and reports every mistake at once.
//
// A service declares its settings as one struct:
//
//	type Config struct {
//		Issuer  string          `env:"CLERK_ISSUER" required:"serve" help:"Clerk's frontend API address"`
//		Keys    settings.Secrets `env:"CLERK_SECRET_KEY" required:"serve" help:"backend API key"`
//		Timeout time.Duration   `env:"CLERK_TIMEOUT" default:"5s" min:"100ms" help:"longest wait for Clerk"`
//		Level   string          `env:"LOG_LEVEL" default:"info" oneof:"debug,info,warn,error" help:"least level logged"`
//	}
//
// Tags: env (the name; "-" leaves a field alone), default, help, oneof (comma list), min and max (numbers, durations,
// sizes), required ("always", or a comma list of the modes given to Load, such as "serve"), alias (a second name),
// begins (comma list: how a real value begins; checked in the mode Production) and wanted (what does not work without
// the setting; see Notices).
//
// Types: string, bool, integers, time.Duration, []string (comma list), *url.URL, ByteSize, Secret, Secrets (comma
// list, newest first), anything with UnmarshalText, and nested structs. An empty variable counts as not set. For every
// setting NAME, NAME_FILE may name a file that holds the value instead. A struct with a method Validate(Modes) error has it
// called after its fields are filled. It checks what tags cannot say, and reports all mistakes at once.
package settings

import (
	"fmt"
	"reflect"
	"slices"
)

// Modes say what the process is about to do; they are the modes given to Load. None means that it may be anything, such as
// printing a token: then only what is set is checked.
type Modes []string

const (
	// Serve is the mode of a process that serves with the real providers: what it cannot work without must be set.
	Serve = "serve"
	// Split is the mode of a process of one service.
	Split = "split"
	// Production is the mode that refuses values that everybody knows or that no provider can have made.
	Production = "production"
)

// Has reports whether a mode is among them.
func (m Modes) Has(mode string) bool { return slices.Contains(m, mode) }

// Always is the value of the tag required for settings that every mode needs.
const Always = "always"

// Load fills the struct that into points to. The lookup getenv is os.Getenv, or DevFile's. Modes say what the process
// is about to do: a setting tagged required:"serve" must be set when modes holds "serve". The error is an *Error with
// every mistake; on error the struct may be filled in part.
func Load(getenv func(string) string, into any, modes ...string) error {
	target := reflect.ValueOf(into)
	if target.Kind() != reflect.Pointer || target.IsNil() || target.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("settings: Load needs a pointer to a struct, not %T", into)
	}
	l := loader{getenv: getenv, modes: modes}
	err := l.fill(target.Elem())
	if err == nil {
		err = l.validate(target.Elem())
	}
	if err != nil {
		return fmt.Errorf("settings: %T: %w", into, err)
	}
	return Join(l.found...)
}

// ReadSecrets reads one setting, by its name or another one that may be empty, as Load does for a field of the type Secrets
// with the tags env and alias.
func ReadSecrets(getenv func(string) string, name, alias string) (Secrets, error) {
	var out Secrets
	l := loader{getenv: getenv}
	f := field{value: reflect.ValueOf(&out).Elem(), name: name, alias: alias}
	if raw, ok := l.lookup(f); ok && raw != "" {
		if err := l.set(f, raw); err != nil {
			return nil, err
		}
	}
	return out, Join(l.found...)
}

type loader struct {
	getenv func(string) string
	modes  Modes
	found  []error
}

// fill sets every field; its error is a mistake in the program's struct, not in the settings.
func (l *loader) fill(target reflect.Value) error {
	return walk(target, func(f field) error {
		raw, ok := l.lookup(f)
		if !ok {
			return nil
		}
		if raw == "" {
			if l.required(f.required) {
				l.report(f, "is not set", fix(f))
				return nil
			}
			raw = f.fallback
		}
		if raw == "" {
			return nil
		}
		return l.set(f, raw)
	})
}

func (l *loader) set(f field, raw string) error {
	bad, err := assign(f, raw)
	if err != nil {
		return err
	}
	if bad == "" {
		bad = l.unfit(f)
	}
	if bad != "" {
		l.report(f, bad, fix(f))
	}
	return nil
}

func (l *loader) required(tag []string) bool {
	return slices.ContainsFunc(tag, func(m string) bool { return m == Always || l.modes.Has(m) })
}

func (l *loader) report(f field, what, fix string) {
	l.found = append(l.found, Problem{Name: f.name, What: what, Fix: fix})
}

// validate calls the Validate hooks, inner structs first. What they say about a setting that is already reported is
// left out: it would only be a consequence. The error is a mistake in the program.
func (l *loader) validate(target reflect.Value) (err error) {
	reported := map[string]bool{}
	for _, p := range problems(Join(l.found...)) {
		reported[p.Name] = true
	}
	each(target, func(v reflect.Value) {
		switch hook := v.Addr().Interface().(type) {
		case interface{ Validate(modes Modes) error }:
			for _, p := range problems(hook.Validate(l.modes)) {
				if p.Name == "" || !reported[p.Name] {
					l.found = append(l.found, p)
				}
			}
		case interface{ Validate() error }:
			err = fmt.Errorf("%T.Validate is not called: it must take settings.Modes", hook)
		}
	})
	return err
}

// fix says how to correct a setting, from its help text.
func fix(f field) string {
	text := "set " + f.name
	if len(f.oneof) > 0 {
		text += " to one of " + list(f.oneof)
	}
	if f.secret() {
		text += " or " + f.name + "_FILE"
	}
	if f.help != "" {
		text += " (" + f.help + ")"
	}
	return text
}
