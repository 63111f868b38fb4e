package settings

import (
	"encoding"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// assign parses raw into f. The text bad says what is wrong with the value ("" when nothing is) and quotes it only when
// it can't be a secret; err is a mistake in the program's struct.
func assign(f field, raw string) (bad string, err error) {
	if bad := f.blank(raw); bad != "" {
		return bad, nil
	}
	if bad := f.notOneOf(raw); bad != "" {
		return bad, nil
	}
	switch into := f.value.Addr().Interface().(type) {
	case *Secret:
		*into = NewSecret(raw)
	case *Secrets:
		*into = NewSecrets(split(raw)...)
	case *[]string:
		*into = split(raw)
	case **url.URL:
		return assignURL(into, raw), nil
	case *time.Duration:
		d, err := time.ParseDuration(strings.TrimSpace(raw))
		if err != nil {
			return quoted(f, raw) + " is not a duration such as 250ms, 5s or 1h", nil
		}
		*into = d
		return between(f, d, time.ParseDuration)
	case *ByteSize:
		size, err := ParseByteSize(raw)
		if err != nil {
			return err.Error(), nil
		}
		*into = size
		return between(f, size, ParseByteSize)
	case encoding.TextUnmarshaler:
		if err := into.UnmarshalText([]byte(raw)); err != nil {
			return quoted(f, raw) + " is not valid: " + err.Error(), nil
		}
	default:
		return assignKind(f, raw)
	}
	return "", nil
}

func assignKind(f field, raw string) (bad string, err error) {
	v, trimmed := f.value, strings.TrimSpace(raw)
	switch v.Kind() {
	case reflect.String:
		v.SetString(trimmed)
	case reflect.Bool:
		b, err := strconv.ParseBool(trimmed)
		if err != nil {
			return quoted(f, raw) + " is neither true nor false", nil
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(trimmed, 10, v.Type().Bits())
		if err != nil {
			return quoted(f, raw) + " is not a whole number in range", nil
		}
		v.SetInt(n)
		return between(f, n, func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) })
	default:
		return "", fmt.Errorf("type %s is not supported", v.Type())
	}
	return "", nil
}

// blank refuses a value without a character that counts. An empty variable is not set; this one was set by mistake, and a list such as
// CLERK_AUTHORIZED_PARTIES that is empty allows what the list was to restrict.
func (f field) blank(raw string) (bad string) {
	cut := unicode.IsSpace
	switch f.value.Interface().(type) {
	case []string, Secrets:
		cut = func(r rune) bool { return r == ',' || unicode.IsSpace(r) }
	}
	if strings.TrimFunc(raw, cut) == "" {
		return "is blank"
	}
	return ""
}

// notOneOf checks the tag oneof, for a list each of its values.
func (f field) notOneOf(raw string) (bad string) {
	given := []string{strings.TrimSpace(raw)}
	if f.value.Kind() == reflect.Slice {
		given = split(raw)
	}
	for _, v := range given {
		if len(f.oneof) > 0 && !slices.Contains(f.oneof, v) {
			return quoted(f, v) + " is not allowed"
		}
	}
	return ""
}

// assignURL takes addresses that errors and logs may show: without a user, whose password they would show, and without a query, which may hold a key. It
// never quotes the value.
func assignURL(into **url.URL, raw string) (bad string) {
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil || u.Host == "" {
		return "is not an address such as https://example.com/path"
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "must be an http or https address without user, query and fragment"
	}
	*into = u
	return ""
}

// between checks the tags min and max.
func between[T ~int64](f field, v T, parse func(string) (T, error)) (bad string, err error) {
	if f.min != "" {
		low, err := parse(f.min)
		if err != nil {
			return "", fmt.Errorf("tag min: %w", err)
		}
		if v < low {
			return fmt.Sprintf("%v is less than %s", v, f.min), nil
		}
	}
	if f.max != "" {
		high, err := parse(f.max)
		if err != nil {
			return "", fmt.Errorf("tag max: %w", err)
		}
		if v > high {
			return fmt.Sprintf("%v is more than %s", v, f.max), nil
		}
	}
	return "", nil
}

// quoted shows a value in a message, shortened, and never a secret's.
func quoted(f field, raw string) string {
	if f.secret() {
		return "the value"
	}
	if len(raw) > 60 {
		raw = raw[:60] + "…"
	}
	return strconv.Quote(raw)
}
