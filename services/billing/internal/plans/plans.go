// Package plans reads the plans: their price per period and what they include.
package plans

import (
	_ "embed"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/trivet-dev/trivet/platform/settings"
)

//go:embed plans.yaml
var embedded []byte

// Plan is one plan.
type Plan struct {
	// ID is the plan's id in the API.
	ID string
	// Name is the display name.
	Name string
	// Price is the price of a period, in nano-dollars.
	Price int64
	// IncludedCredit is granted each period and expires with it, in nano-dollars.
	IncludedCredit int64
	// Limits holds the rate limits of an account.
	Limits Limits
	// Models are the models that the plan includes; empty means all.
	Models []string
	// Features are the features that the plan includes.
	Features []string
	// Internal plans are not on sale.
	Internal bool
}

// Limits holds the rate limits of a plan; 0 means no limit.
type Limits struct {
	RequestsPerMinute  int32
	TokensPerMinute    int64
	ConcurrentRequests int32
}

// Allows reports whether the plan includes the model.
func (p Plan) Allows(model string) bool {
	return len(p.Models) == 0 || slices.Contains(p.Models, model)
}

// Catalog is the list of plans. It is immutable.
type Catalog struct {
	all      []Plan
	byID     map[string]Plan
	fallback string
}

// Load reads the plans of the file PLANS_FILE, or the embedded ones when path is "". fallback is DEFAULT_PLAN, the plan
// of a new account. known lists the models of the price list. The error names every mistake with its plan and field.
func Load(path, fallback string, known []string) (*Catalog, error) {
	data, source := embedded, "the built-in plans"
	if path != "" {
		var err error
		source = path
		if data, err = os.ReadFile(path); err != nil {
			return nil, settings.Invalid("PLANS_FILE", err.Error(), "name a readable YAML file")
		}
	}
	all, err := Parse(data, known)
	if err != nil {
		return nil, settings.Invalid("PLANS_FILE", fmt.Sprintf("%s: %v", source, err), "")
	}
	c := &Catalog{all: all, byID: make(map[string]Plan, len(all)), fallback: fallback}
	for _, p := range all {
		c.byID[p.ID] = p
	}
	if _, ok := c.byID[fallback]; !ok {
		return nil, settings.Invalid("DEFAULT_PLAN", fmt.Sprintf("%q is not a plan", fallback), fmt.Sprintf("choose one of %s (%s)", strings.Join(c.ids(), ", "), source))
	}
	return c, nil
}

// Get returns a plan by id.
func (c *Catalog) Get(id string) (Plan, bool) {
	p, ok := c.byID[id]
	return p, ok
}

// Default returns the plan of a new account.
func (c *Catalog) Default() Plan { return c.byID[c.fallback] }

// OnSale returns the plans that are not internal, in the order of the file.
func (c *Catalog) OnSale() []Plan {
	return slices.DeleteFunc(slices.Clone(c.all), func(p Plan) bool { return p.Internal })
}

func (c *Catalog) ids() []string {
	ids := make([]string, 0, len(c.all))
	for _, p := range c.all {
		ids = append(ids, p.ID)
	}
	return ids
}
