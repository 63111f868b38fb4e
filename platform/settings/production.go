package settings

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// unfit says what keeps a well-formed value from use, "" when nothing does. It never quotes the value.
func (l *loader) unfit(f field) string {
	for _, value := range f.values() {
		if f.secret() && placeholder(value) {
			return "holds a placeholder, not a value"
		}
		if !l.modes.Has(Production) {
			continue
		}
		if what, ok := Published(value); ok {
			return "is " + what + ", which everybody knows: production refuses it"
		}
		if password(value) == composePassword {
			return "has the password of docker-compose.yml, which everybody knows: production refuses it"
		}
		if len(f.begins) > 0 && !slices.ContainsFunc(f.begins, func(p string) bool { return len(value) > len(p) && strings.HasPrefix(value, p) }) {
			return fmt.Sprintf("cannot be real: a real value begins with %s", strings.Join(f.begins, " or "))
		}
	}
	return ""
}

// values are the texts that a field holds, each of a list; none for numbers and the like.
func (f field) values() []string {
	switch v := f.value.Interface().(type) {
	case Secret:
		if !v.IsSet() {
			return nil
		}
		return []string{v.Reveal()}
	case Secrets:
		return v.Reveal()
	case []string:
		return v
	case string:
		return []string{v}
	}
	return nil
}

// placeholder reports whether a value was copied from an example, such as "sk_test_...".
func placeholder(value string) bool {
	return strings.HasSuffix(value, "...") || strings.HasSuffix(value, "…") || strings.HasPrefix(value, "<") && strings.HasSuffix(value, ">")
}

// composePassword is docker-compose.yml's default.
const composePassword = "trivet"

// password is the one in a database's address, "" if none exists.
func password(value string) string {
	if !strings.HasPrefix(value, "postgres") {
		return ""
	}
	at, err := url.Parse(value)
	if err != nil || at.User == nil {
		return ""
	}
	word, _ := at.User.Password()
	return word
}
