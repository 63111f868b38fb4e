package stripe

import (
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// The bounds of a form: a hostile one must not build a deep or a huge tree.
const (
	maxParams = 1000
	maxDepth  = 8
)

// form is the nested parameters of a request. Its methods mark what they read and keep the first error, so that an
// endpoint reads all that it knows and then asks done, which also refuses what was not read.
type form struct {
	name     string // of this level, for errors: "recurring" of recurring[interval]
	values   map[string]string
	children map[string]*form
	order    []string // of keys, as sent
	used     map[string]bool
	err      **apiError // the first error of the whole form
}

func newForm(name string, err **apiError) *form {
	return &form{name: name, values: map[string]string{}, children: map[string]*form{}, used: map[string]bool{}, err: err}
}

// parseForm reads the query of a GET, the body of a POST, and either of a DELETE.
func parseForm(r *http.Request, body []byte) (*form, *apiError) {
	raw := r.URL.RawQuery
	if r.Method == http.MethodPost || (r.Method == http.MethodDelete && len(body) > 0) {
		raw = string(body)
	}
	if strings.HasPrefix(strings.TrimSpace(raw), "{") {
		return nil, invalidRequest("", "", "Invalid request (check that your POST content type is application/x-www-form-urlencoded). "+
			"If you have any questions, we can help at https://support.stripe.com/.")
	}
	var first *apiError
	root := newForm("", &first)
	pairs := strings.Split(raw, "&")
	if len(pairs) > maxParams {
		return nil, invalidRequest("", "", fmt.Sprintf("Too many parameters; the sandbox reads %d.", maxParams))
	}
	for _, pair := range pairs {
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		k, errKey := url.QueryUnescape(key)
		v, errValue := url.QueryUnescape(value)
		if errKey != nil || errValue != nil || !root.put(k, v) {
			return nil, invalidRequest("", "", "Invalid request: the parameter "+strconv.Quote(key)+" is malformed.")
		}
	}
	return root, nil
}

// put stores a value under a key such as "items[0][price]".
func (f *form) put(key, value string) bool {
	name, rest, nested := strings.Cut(key, "[")
	path := []string{name}
	if nested {
		if !strings.HasSuffix(rest, "]") {
			return false
		}
		path = append(path, strings.Split(strings.TrimSuffix(rest, "]"), "][")...)
	}
	if name == "" || len(path) > maxDepth {
		return false
	}
	at := f
	for _, part := range path[:len(path)-1] {
		at = at.descend(part)
	}
	last := path[len(path)-1]
	if last == "" { // "expand[]=…": the next free position
		last = strconv.Itoa(len(at.order))
	}
	at.note(last)
	at.values[last] = value
	return true
}

func (f *form) descend(part string) *form {
	if part == "" {
		part = strconv.Itoa(max(len(f.order)-1, 0))
	}
	f.note(part)
	if f.children[part] == nil {
		f.children[part] = newForm(f.path(part), f.err)
	}
	return f.children[part]
}

func (f *form) note(key string) {
	if !slices.Contains(f.order, key) {
		f.order = append(f.order, key)
	}
}

func (f *form) path(key string) string {
	if f.name == "" {
		return key
	}
	return f.name + "[" + key + "]"
}

func (f *form) fail(e *apiError) {
	if *f.err == nil {
		*f.err = e
	}
}

// done returns the first error, or rejects the first parameter that was not read.
func (f *form) done() *apiError {
	if *f.err != nil {
		return *f.err
	}
	if unknown := f.unread(); unknown != "" {
		return invalidRequest(unknown, "parameter_unknown", "Received unknown parameter: "+unknown)
	}
	return nil
}

func (f *form) unread() string {
	for _, key := range f.order {
		if !f.used[key] {
			return f.path(key)
		}
		if child := f.children[key]; child != nil {
			if unknown := child.unread(); unknown != "" {
				return unknown
			}
		}
	}
	return ""
}

// text returns a value and whether it was sent.
func (f *form) text(key string) (string, bool) {
	f.used[key] = true
	v, ok := f.values[key]
	return v, ok
}

// optional sets a nullable field when the parameter was sent; the empty string clears it.
func (f *form) optional(key string, into **string) {
	if v, ok := f.text(key); ok {
		*into = nil
		if v != "" {
			*into = &v
		}
	}
}

// integer returns a whole number, or nil when it was not sent.
func (f *form) integer(key string) *int64 {
	v, ok := f.text(key)
	if !ok {
		return nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		f.fail(invalidRequest(f.path(key), "parameter_invalid_integer", "Invalid integer: "+v))
		return nil
	}
	return &n
}

// decimal returns a number of cents with at most 12 decimal places in its shortest form, or nil.
func (f *form) decimal(key string) *string {
	v, ok := f.text(key)
	if !ok {
		return nil
	}
	whole, fraction, _ := strings.Cut(v, ".")
	// Looked at before it is parsed: an exponent could make a number of a gigabyte.
	plain := len(whole) <= 20 && len(fraction) <= 12 && whole+fraction != "" && strings.Trim(whole+fraction, "0123456789") == ""
	rat, valid := new(big.Rat), false
	if plain {
		rat, valid = rat.SetString("0" + v)
	}
	if !valid {
		f.fail(invalidRequest(f.path(key), "parameter_invalid_decimal", "Invalid decimal: "+v+"; must contain at maximum 12 decimal places."))
		return nil
	}
	shortest := rat.FloatString(12)
	shortest = strings.TrimSuffix(strings.TrimRight(shortest, "0"), ".")
	return &shortest
}

// boolean sets a flag when the parameter was sent.
func (f *form) boolean(key string, into *bool) {
	v, ok := f.text(key)
	if !ok {
		return
	}
	switch v {
	case "true", "false":
		*into = v == "true"
	default:
		f.fail(invalidRequest(f.path(key), "", "Invalid boolean: "+v))
	}
}

// oneOf returns a value of a fixed list, or fallback when it was not sent.
func (f *form) oneOf(key, fallback string, allowed ...string) string {
	v, ok := f.text(key)
	if !ok {
		return fallback
	}
	if !slices.Contains(allowed, v) {
		f.fail(invalidRequest(f.path(key), "", fmt.Sprintf("Invalid %s: must be one of %s", f.path(key), strings.Join(allowed, ", "))))
		return fallback
	}
	return v
}

// child returns the parameters below a key, or nil when none was sent.
func (f *form) child(key string) *form {
	f.used[key] = true
	return f.children[key]
}

// list returns the parameters below key[0], key[1] and so on.
func (f *form) list(key string) []*form {
	c := f.child(key)
	if c == nil {
		return nil
	}
	var out []*form
	for _, i := range c.order {
		if item := c.child(i); item != nil {
			out = append(out, item)
		}
	}
	return out
}

// strings returns the values of key[], or nil when none was sent.
func (f *form) strings(key string) []string {
	c := f.child(key)
	if c == nil {
		return nil
	}
	out := []string{}
	for _, i := range c.order {
		if v, ok := c.text(i); ok {
			out = append(out, v)
		}
	}
	return out
}

// lacks refuses parameters of Stripe's that the sandbox does not implement. An empty value, which asks for nothing, passes.
func (f *form) lacks(keys ...string) {
	for _, key := range keys {
		f.used[key] = true
		if f.children[key] != nil || f.values[key] != "" {
			f.fail(notImplemented(f.path(key)))
		}
	}
}

// onlyFalse refuses to turn on what the sandbox does not implement.
func (f *form) onlyFalse(keys ...string) {
	for _, key := range keys {
		on := false
		if f.boolean(key, &on); on {
			f.fail(notImplemented(f.path(key)))
		}
	}
}

// onlyOff is onlyFalse for features with a parameter "enabled" and others that say how.
func (f *form) onlyOff(keys ...string) {
	for _, key := range keys {
		if c := f.child(key); c != nil {
			c.onlyFalse("enabled")
			c.lacks(without(c.order, "enabled")...)
		}
	}
}

// onlyCards reads payment_method_types, and refuses other types than cards.
func (f *form) onlyCards() {
	const types = "payment_method_types"
	if slices.ContainsFunc(f.strings(types), func(kind string) bool { return kind != "card" }) {
		f.fail(invalidRequest(f.path(types), "", "The sandbox implements only the payment method type card."))
	}
}

func without(list []string, gone string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == gone })
}

// metadata returns the new metadata: a key with an empty value is removed, and an empty "metadata" removes all.
func (f *form) metadata(old map[string]string) map[string]string {
	out := map[string]string{}
	if _, cleared := f.text("metadata"); !cleared {
		for k, v := range old {
			out[k] = v
		}
	}
	c := f.child("metadata")
	if c == nil {
		return out
	}
	for _, key := range c.order {
		v, _ := c.text(key)
		switch {
		case v == "":
			delete(out, key)
		case len(key) > 40 || len(v) > 500:
			f.fail(invalidRequest(c.path(key), "", "Metadata keys may have 40 characters and values 500."))
		default:
			out[key] = v
		}
	}
	if len(out) > 50 {
		f.fail(invalidRequest("metadata", "", "You can have at most 50 metadata keys."))
	}
	return out
}
