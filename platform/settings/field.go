package settings

import (
	"encoding"
	"fmt"
	"net/url"
	"reflect"
	"strings"
)

// field is one setting: a struct field with the tag env.
type field struct {
	value    reflect.Value
	name     string
	fallback string
	help     string
	required []string
	oneof    []string
	min, max string
	alias    string   // another name, as the provider calls it
	begins   []string // how a value begins that the provider can have made
	wanted   string   // why production needs the setting although the process starts without it
}

var (
	secretType  = reflect.TypeFor[Secret]()
	secretsType = reflect.TypeFor[Secrets]()
	urlType     = reflect.TypeFor[*url.URL]()
	textType    = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// names are those that the setting may be given by.
func (f field) names() []string {
	if f.alias == "" {
		return []string{f.name}
	}
	return []string{f.name, f.alias}
}

func (f field) secret() bool {
	t := f.value.Type()
	return t == secretType || t == secretsType
}

// walk calls visit for each setting in the struct v, nested ones in their place.
func walk(v reflect.Value, visit func(field) error) error {
	for i := range v.NumField() {
		def := v.Type().Field(i)
		name, tagged := def.Tag.Lookup("env")
		switch {
		case !def.IsExported(), name == "-":
		case tagged && name != "":
			if err := visit(newField(v.Field(i), def.Tag, name)); err != nil {
				return fmt.Errorf("field %s: %w", def.Name, err)
			}
		case def.Type.Kind() == reflect.Struct:
			if err := walk(v.Field(i), visit); err != nil {
				return fmt.Errorf("field %s: %w", def.Name, err)
			}
		default:
			return fmt.Errorf(`field %s has no env tag: name its setting, or say env:"-"`, def.Name)
		}
	}
	return nil
}

// each calls visit for every struct that walk descends into, inner ones first.
func each(v reflect.Value, visit func(reflect.Value)) {
	for i := range v.NumField() {
		def := v.Type().Field(i)
		if _, tagged := def.Tag.Lookup("env"); !tagged && def.IsExported() && def.Type.Kind() == reflect.Struct {
			each(v.Field(i), visit)
		}
	}
	visit(v)
}

func newField(v reflect.Value, tag reflect.StructTag, name string) field {
	return field{
		value: v, name: name,
		fallback: tag.Get("default"), help: tag.Get("help"),
		required: split(tag.Get("required")), oneof: split(tag.Get("oneof")),
		min: tag.Get("min"), max: tag.Get("max"),
		alias: tag.Get("alias"), begins: split(tag.Get("begins")), wanted: tag.Get("wanted"),
	}
}

// split cuts a comma list, trims its parts and leaves out empty ones.
func split(list string) []string {
	var out []string
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// list joins words for people: "a, b, c".
func list(words []string) string { return strings.Join(words, ", ") }
