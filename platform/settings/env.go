package settings

import (
	"os"
	"strings"
)

// Env is where settings come from.
type Env struct {
	// Get returns a variable's value, "" when it is not set.
	Get func(name string) string
	// Names are the variables that are set in the environment, for finding misspelled ones. It may be empty.
	Names []string
	// File is the settings file that was read, "" for none; FileNames are the names in it.
	File      string
	FileNames []string
	// Also are names that are settings because another setting says so, such as those of the keys of targets.
	Also []string
}

// Environment is the process's own.
func Environment() Env {
	all := os.Environ()
	e := Env{Get: os.Getenv, Names: make([]string, 0, len(all))}
	for _, pair := range all {
		if name, _, ok := strings.Cut(pair, "="); ok && name != "" {
			e.Names = append(e.Names, name)
		}
	}
	return e
}

// With returns an Env whose lookup is another, such as one with defaults below.
func (e Env) With(get func(string) string) Env {
	e.Get = get
	return e
}

// Refused are the names in the settings file that look like settings but are unknown: every line of that file is meant for
// Trivet, so that such a name is a mistake.
func (e Env) Refused() error {
	var found []error
	for _, p := range Unknown(e.FileNames, e.Also...) {
		p.Name = e.File + ": " + p.Name
		found = append(found, p)
	}
	return Join(found...)
}

// Suspects are the names in the environment that look like settings but are unknown. Other programs read the environment too,
// so that such a name is worth a warning only.
func (e Env) Suspects() []Problem { return Unknown(e.Names, e.Also...) }
