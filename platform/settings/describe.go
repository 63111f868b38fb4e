package settings

import (
	"fmt"
	"reflect"
	"slices"
)

// Doc describes one setting, for the table in the documentation.
type Doc struct {
	Name     string
	Alias    string   // a second name; "" if none exists
	Type     string   // "text", "true or false", "number", "duration", "size", "address", "list", "secret", "secrets"
	Default  string   // "" if none exists
	Help     string   // one line
	Secret   bool     // never printed
	Required []string // modes that need it, or "always"; empty when optional
	OneOf    []string // allowed values; empty when any
}

// Describe lists the settings of the given structs (values or pointers) in their order, each name once. Two structs
// that name the same setting must agree on its type and default: a difference is an error.
func Describe(structs ...any) ([]Doc, error) {
	var docs []Doc
	for _, s := range structs {
		t := reflect.TypeOf(s)
		if t != nil && t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t == nil || t.Kind() != reflect.Struct {
			return nil, fmt.Errorf("settings: Describe needs structs, not %T", s)
		}
		err := walk(reflect.New(t).Elem(), func(f field) error {
			return add(&docs, describe(f))
		})
		if err != nil {
			return nil, fmt.Errorf("settings: %s: %w", t, err)
		}
	}
	return docs, nil
}

func add(docs *[]Doc, doc Doc) error {
	at := slices.IndexFunc(*docs, func(d Doc) bool { return d.Name == doc.Name })
	if at < 0 {
		*docs = append(*docs, doc)
		return nil
	}
	known := &(*docs)[at]
	if known.Type != doc.Type || known.Default != doc.Default {
		return fmt.Errorf("%s is %s (default %q) here and %s (default %q) elsewhere",
			doc.Name, doc.Type, doc.Default, known.Type, known.Default)
	}
	for _, mode := range doc.Required {
		if !slices.Contains(known.Required, mode) {
			known.Required = append(known.Required, mode)
		}
	}
	return nil
}

func describe(f field) Doc {
	return Doc{
		Name: f.name, Alias: f.alias, Type: typeName(f.value.Type()), Default: f.fallback, Help: f.help,
		Secret: f.secret(), Required: f.required, OneOf: f.oneof,
	}
}

func typeName(t reflect.Type) string {
	switch {
	case t == secretType:
		return "secret"
	case t == secretsType:
		return "secrets"
	case t == urlType:
		return "address"
	case t == reflect.TypeFor[ByteSize]():
		return "size"
	case t.String() == "time.Duration":
		return "duration"
	case reflect.PointerTo(t).Implements(textType):
		return "text"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "list"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "number"
	default:
		return "text"
	}
}
