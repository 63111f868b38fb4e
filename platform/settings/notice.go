package settings

import (
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
)

// Notice is something about a setting that an operator should know. It does not keep the process from starting.
type Notice struct {
	// Level is Error when something does not work, and Warn when it is unusual.
	Level slog.Level
	// Name is the setting.
	Name string
	// Text says what is wrong and what to do.
	Text string
}

// Notices looks through a struct that Load filled for production: test keys, and settings whose tag wanted says what does
// not work without them.
func Notices(from any) ([]Notice, error) {
	target := reflect.Indirect(reflect.ValueOf(from))
	if target.Kind() != reflect.Struct {
		return nil, fmt.Errorf("settings: Notices needs a struct, not %T", from)
	}
	copied := reflect.New(target.Type()).Elem()
	copied.Set(target)
	var all []Notice
	err := walk(copied, func(f field) error {
		values := f.values()
		switch {
		case f.wanted != "" && len(values) == 0:
			all = append(all, Notice{slog.LevelError, f.name, f.name + " is not set: " + f.wanted})
		case slices.ContainsFunc(values, f.isTestKey):
			all = append(all, Notice{slog.LevelWarn, f.name, f.name + " is a test key: test keys reach no real users and no real money"})
		}
		return nil
	})
	return all, err
}

// isTestKey reports whether a value begins as the provider's test keys do.
func (f field) isTestKey(value string) bool {
	return slices.ContainsFunc(f.begins, func(p string) bool { return strings.HasSuffix(p, "_test_") && strings.HasPrefix(value, p) })
}
