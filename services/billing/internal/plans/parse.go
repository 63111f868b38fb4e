package plans

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/services/billing/internal/money"
)

const (
	// maxPrice is the highest flat price that Stripe can charge: $999,999.99.
	maxPrice = 999_999_990_000_000
	// maxCredit is the maximum of one grant in the ledger: $1,000,000.
	maxCredit = 1_000_000_000_000_000
	// cent is in nano-dollars. Stripe's flat prices are whole cents.
	cent = 10_000_000
)

var idPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// Parse reads a plan file. known lists the models that plans may name; nil skips that check. The error joins every mistake.
func Parse(data []byte, known []string) ([]Plan, error) {
	var file struct {
		Plans []yaml.Node `yaml:"plans"`
		// Rest catches unknown keys.
		Rest map[string]yaml.Node `yaml:",inline"`
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("not a list of plans: %w", err)
	}
	var mistakes []error
	if !errors.Is(decoder.Decode(new(yaml.Node)), io.EOF) {
		mistakes = append(mistakes, errors.New("the file must end after one document"))
	}
	for _, key := range slices.Sorted(maps.Keys(file.Rest)) {
		mistakes = append(mistakes, fmt.Errorf("%q is unknown: the file has only \"plans\"", key))
	}
	if len(file.Plans) == 0 {
		mistakes = append(mistakes, errors.New("not a list of plans: \"plans\" is empty"))
	}
	all := make([]Plan, 0, len(file.Plans))
	for i := range file.Plans {
		r := reader{name: planName(&file.Plans[i], i), known: known}
		plan := r.plan(&file.Plans[i])
		if slices.ContainsFunc(all, func(p Plan) bool { return plan.ID != "" && p.ID == plan.ID }) {
			r.wrong("id", "is used twice")
		}
		all, mistakes = append(all, plan), append(mistakes, r.mistakes...)
	}
	if err := errors.Join(mistakes...); err != nil {
		return nil, err
	}
	return all, nil
}

// planName returns the name of a plan in messages: its id, or its position in the file.
func planName(n *yaml.Node, index int) string {
	var head struct {
		ID string `yaml:"id"`
	}
	if n.Decode(&head) == nil && head.ID != "" {
		return head.ID
	}
	return fmt.Sprintf("number %d", index+1)
}

// reader reads one plan and collects its mistakes.
type reader struct {
	name     string
	known    []string
	mistakes []error
}

func (r *reader) wrong(field, format string, args ...any) {
	r.mistakes = append(r.mistakes, fmt.Errorf("plan %s: %s %s", r.name, field, fmt.Sprintf(format, args...)))
}

func (r *reader) plan(n *yaml.Node) Plan {
	var p Plan
	seen := r.fields("", n, map[string]func(field string, n *yaml.Node){
		"id": func(f string, n *yaml.Node) {
			if r.text(f, n, &p.ID); !idPattern.MatchString(p.ID) {
				r.wrong(f, "is %q, must be lower-case letters, digits, - and _, at most 64", p.ID)
			}
		},
		"name":            func(f string, n *yaml.Node) { r.text(f, n, &p.Name) },
		"price":           func(f string, n *yaml.Node) { r.price(f, n, &p.Price) },
		"included_credit": func(f string, n *yaml.Node) { r.dollars(f, n, maxCredit, &p.IncludedCredit) },
		"limits":          func(_ string, n *yaml.Node) { r.limits(n, &p.Limits) },
		"models":          func(f string, n *yaml.Node) { r.models(f, n, &p.Models) },
		"features":        func(f string, n *yaml.Node) { r.names(f, n, &p.Features) },
		"internal":        func(f string, n *yaml.Node) { r.decode(f, n, &p.Internal, "true or false") },
	})
	for _, required := range []string{"id", "name", "price", "included_credit"} {
		if seen != nil && !slices.Contains(seen, required) {
			r.wrong(required, "is missing")
		}
	}
	return p
}

// fields passes every key of a mapping to its reader and returns the keys. Unknown and repeated keys are mistakes.
func (r *reader) fields(prefix string, n *yaml.Node, readers map[string]func(string, *yaml.Node)) []string {
	if n.Kind != yaml.MappingNode {
		r.wrong(cmp.Or(strings.TrimSuffix(prefix, "."), "the plan"), "must be a mapping of fields (line %d)", n.Line)
		return nil
	}
	seen := []string{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i].Value
		read, ok := readers[key]
		switch {
		case !ok:
			r.wrong(prefix+key, "is unknown")
		case slices.Contains(seen, key):
			r.wrong(prefix+key, "is set twice")
		default:
			read(prefix+key, n.Content[i+1])
		}
		seen = append(seen, key)
	}
	return seen
}

func (r *reader) limits(n *yaml.Node, into *Limits) {
	r.fields("limits.", n, map[string]func(string, *yaml.Node){
		"requests_per_minute": func(f string, n *yaml.Node) {
			into.RequestsPerMinute = int32(r.limit(f, n, math.MaxInt32))
		},
		"tokens_per_minute": func(f string, n *yaml.Node) { into.TokensPerMinute = r.limit(f, n, math.MaxInt32) },
		"concurrent_requests": func(f string, n *yaml.Node) {
			into.ConcurrentRequests = int32(r.limit(f, n, math.MaxInt32))
		},
	})
}

func (r *reader) limit(field string, n *yaml.Node, most int64) int64 {
	value := int64(-1)
	if n.Tag != "!!int" || n.Decode(&value) != nil || value < 0 || value > most {
		r.wrong(field, "is %q, must be a whole number from 0 (none) to %d", n.Value, most)
		return 0
	}
	return value
}

// price reads a price that Stripe can charge.
func (r *reader) price(field string, n *yaml.Node, into *int64) {
	if r.dollars(field, n, maxPrice, into) && *into%cent != 0 {
		r.wrong(field, "is %q, must be whole cents such as \"20.00\": Stripe charges nothing smaller", n.Value)
	}
}

// dollars reads an amount of at most most nano-dollars. It returns false after recording a mistake.
func (r *reader) dollars(field string, n *yaml.Node, most int64, into *int64) bool {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
		r.wrong(field, "must be dollars as quoted text, such as \"5.00\"")
		return false
	}
	amount, err := models.ParseDollars(n.Value)
	switch {
	case err != nil:
		r.wrong(field, "%s", err)
	case amount > most:
		r.wrong(field, "is %q, must be at most %s", n.Value, money.Format(most))
	default:
		*into = amount
		return true
	}
	return false
}

func (r *reader) models(field string, n *yaml.Node, into *[]string) {
	r.names(field, n, into)
	for _, model := range *into {
		if r.known != nil && !slices.Contains(r.known, model) {
			r.wrong(field, "names %q, which is not in the price list (MODELS_FILE)", model)
		}
	}
}

func (r *reader) names(field string, n *yaml.Node, into *[]string) {
	r.decode(field, n, into, "a list of names")
	if slices.Contains(*into, "") {
		r.wrong(field, "has an empty name")
	}
}

func (r *reader) text(field string, n *yaml.Node, into *string) {
	if r.decode(field, n, into, "text"); n.Kind == yaml.ScalarNode && *into == "" {
		r.wrong(field, "is empty")
	}
}

func (r *reader) decode(field string, n *yaml.Node, into any, want string) {
	if err := n.Decode(into); err != nil {
		r.wrong(field, "must be %s (line %d)", want, n.Line)
	}
}
