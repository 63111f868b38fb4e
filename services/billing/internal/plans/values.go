package plans

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/plain"
	"github.com/trivet-dev/trivet/services/billing/internal/money"
)

// count reads a whole number.
func (r *reader) count(field string, n *yaml.Node, least, most int64) int64 {
	value := least - 1
	if n.Tag != "!!int" || !numberPattern.MatchString(n.Value) || n.Decode(&value) != nil || value < least || value > most {
		from := strconv.FormatInt(least, 10)
		if least == 0 && most == math.MaxInt32 {
			from = "0 (none)"
		}
		r.wrong(n, field, "is %q, must be a whole number from %s to %d", n.Value, from, most)
		return least
	}
	return value
}

// price reads a price that Stripe can charge. It returns false after recording a mistake.
func (r *reader) price(field string, n *yaml.Node, into *int64) bool {
	if !r.dollars(field, n, maxPrice, into) {
		return false
	}
	if *into%Cent != 0 {
		r.wrong(n, field, "is %q, must be whole cents such as \"20.00\": Stripe charges nothing smaller", n.Value)
		return false
	}
	return true
}

// dollars reads an amount of at most most nano-dollars. It returns false after recording a mistake.
func (r *reader) dollars(field string, n *yaml.Node, most int64, into *int64) bool {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
		r.wrong(n, field, "must be dollars as quoted text, such as \"5.00\"")
		return false
	}
	amount, err := models.ParseDollars(n.Value)
	switch {
	case err != nil:
		r.wrong(n, field, "%s", err)
	case amount > most:
		r.wrong(n, field, "is %q, must be at most %s", n.Value, money.Format(most))
	default:
		*into = amount
		return true
	}
	return false
}

func (r *reader) oneOf(field string, n *yaml.Node, into *string, allowed ...string) {
	if n.Kind != yaml.ScalarNode || !slices.Contains(allowed, n.Value) {
		r.wrong(n, field, "is %q, must be %s", n.Value, strings.Join(allowed, " or "))
		return
	}
	*into = n.Value
}

func (r *reader) taxCode(field string, n *yaml.Node, into *string) {
	if r.decode(field, n, into, "text"); !taxCodePattern.MatchString(*into) {
		r.wrong(n, field, "is %q, must be one of Stripe's tax codes, such as txcd_10000000", n.Value)
	}
}

func (r *reader) id(field string, n *yaml.Node, into *string) {
	if r.text(field, n, into); !idPattern.MatchString(*into) {
		r.wrong(n, field, "is %q, must be lower-case letters, digits, - and _, at most 64", *into)
	}
}

func (r *reader) models(field string, n *yaml.Node, into *[]string) {
	r.names(field, n, into)
	for _, model := range *into {
		if r.known != nil && !slices.Contains(r.known, model) {
			r.wrong(n, field, "names %q, which is not in the price list (MODELS_FILE)", model)
		}
	}
}

// names reads a list of different names.
func (r *reader) names(field string, n *yaml.Node, into *[]string) {
	if n.Kind != yaml.SequenceNode {
		r.wrong(n, field, "must be a list of names")
		return
	}
	for _, item := range n.Content {
		item = resolved(item)
		name := ""
		if item.Kind != yaml.ScalarNode || item.Tag == "!!null" {
			r.wrong(item, field, "must be a list of names")
			continue
		}
		if r.text("a name in "+field, item, &name); slices.Contains(*into, name) {
			r.wrong(item, field, "names %q twice", name)
		}
		*into = append(*into, name)
	}
}

// text reads a name.
func (r *reader) text(field string, n *yaml.Node, into *string) {
	r.decode(field, n, into, "text")
	switch {
	case n.Kind != yaml.ScalarNode:
	case *into == "":
		r.wrong(n, field, "is empty")
	case !plain.Trimmed(*into) || !plain.Printable(*into):
		r.wrong(n, field, "is %q, must have no control characters, and no white space around it", *into)
	case len(*into) > maxName:
		r.wrong(n, field, "has %d bytes, must have at most %d", len(*into), maxName)
	}
}

// yes reads true or false.
func (r *reader) yes(field string, n *yaml.Node, into *bool) {
	if n.Tag == "!!null" || n.Decode(into) != nil {
		r.wrong(n, field, "must be true or false")
	}
}

func (r *reader) decode(field string, n *yaml.Node, into any, want string) {
	if err := n.Decode(into); err != nil {
		r.wrong(n, field, "must be %s", want)
	}
}
