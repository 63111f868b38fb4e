package invoke

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/services/ai/internal/hold"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// maxToolCalls bounds the calls of tools that the provider runs for one request.
const maxToolCalls = 128

// featuresOf bounds a conversation that may use more than text at the standard prices; nil for one that may not. A
// feature without a price is refused by its field.
func featuresOf(req *wire.Request, m models.Model) (*priced, error) {
	if req.Tier != "" && !m.HasTier(req.Tier) {
		return nil, invalid("service_tier", "is %q, for which the price list has no price at %s. %s", req.Tier, m.ID, tiersOf(m))
	}
	if err := checkTools(req, m); err != nil {
		return nil, err
	}
	prices := m.Prices
	if prices == nil {
		return nil, nil //nolint:nilnil // nothing to price
	}
	most := models.Quantities{Tier: req.Tier, Input: req.InputBound(m)}
	if req.Sounds() && prices.AudioInput != m.InputPrice {
		most.AudioInput = most.Input
	}
	if req.Pictures() && prices.ImageInput != m.InputPrice {
		most.ImageInput = most.Input
	}
	if prices.AudioOutput != m.OutputPrice {
		most.AudioOutput = 1
	}
	long := prices.Long != nil && most.Input > prices.Long.Above
	if req.Tier == "" && !long && len(req.Hosted) == 0 && most.AudioInput+most.ImageInput+most.AudioOutput == 0 {
		return nil, nil //nolint:nilnil // nothing to price
	}
	p := &priced{most: most}
	if len(req.Hosted) > 0 {
		p.boundTools(req, m)
	}
	return p, nil
}

// tiersOf says which service tiers a model has.
func tiersOf(m models.Model) string {
	all := []string{"auto", "default"}
	if m.Prices != nil {
		for tier := range m.Prices.Tiers {
			all = append(all, tier)
		}
		slices.Sort(all[2:])
	}
	return "Use one of " + strings.Join(all, ", ")
}

// checkTools refuses tools that the provider runs, unless they have a price and their number has a bound.
func checkTools(req *wire.Request, m models.Model) error {
	for _, tool := range req.Hosted {
		if m.Prices == nil {
			return noTool(req, tool, m)
		}
		if _, known := m.Prices.Tools[tool]; !known {
			return noTool(req, tool, m)
		}
	}
	switch {
	case len(req.Hosted) == 0:
		return nil
	case req.MaxToolCalls == 0:
		return invalid("max_tool_calls", "is missing: without it, the cost of tools that the provider runs has no bound")
	case req.MaxToolCalls > maxToolCalls:
		return invalid("max_tool_calls", "must be at most %d", maxToolCalls)
	default:
		return nil
	}
}

func noTool(req *wire.Request, tool string, m models.Model) error {
	return invalid(req.HostedAt, "is %q, a tool that the provider runs and that has no price for %s: its cost has no bound. Use a function or a custom tool", tool, m.ID)
}

// boundTools bounds what tools of the provider cost. Each call of one may fill the context once more.
func (p *priced) boundTools(req *wire.Request, m models.Model) {
	p.most.Tools = map[string]int64{dearestFirst(req.Hosted, m)[0]: req.MaxToolCalls}
	p.most.Input = min(m.ContextTokens*(req.MaxToolCalls+1), math.MaxInt32)
}

// dearestFirst returns the tools by their price.
func dearestFirst(tools []string, m models.Model) []string {
	tools = slices.Clone(tools)
	slices.SortFunc(tools, func(a, b string) int {
		return cmp.Or(cmp.Compare(m.Prices.Tools[b], m.Prices.Tools[a]), cmp.Compare(a, b))
	})
	return tools
}

// readDetails reads what an event, or an answer in one piece, says of kinds that have a price of their own.
func (c *call) readDetails(data []byte) {
	if c.priced != nil {
		c.priced.details.Read(data)
	}
}

// priceFeatures prices a conversation that used more than text at the standard prices.
func (c *call) priceFeatures(final *hold.Final) {
	p := c.priced
	if p == nil || final.Usage == (tokens.Usage{}) && len(p.details.Tools) == 0 {
		return
	}
	u, d := final.Usage, &p.details
	q := models.Quantities{Input: u.Input, Cached: u.Cached, Output: u.Output, Tier: c.req.Tier}
	if d.Tier == "default" || d.Tier == "standard" {
		q.Tier = ""
	}
	if p.most.AudioInput > 0 {
		q.AudioInput = min(d.AudioInput, u.Input)
	}
	if p.most.ImageInput > 0 {
		q.ImageInput = min(d.ImageInput, u.Input-q.AudioInput)
	}
	if p.most.AudioOutput > 0 {
		q.AudioOutput = min(d.AudioOutput, u.Output)
		if c.unended() || c.meter.Opaque() && max(c.meter.Reported().Output, d.AudioOutput) <= 0 { // how much is sound is not known
			q.AudioOutput = u.Output
		}
	}
	q.Tools = c.toolsUsed()
	c.bill(final, q)
}

// unended reports whether the caller has left an answer that was not read to its end, so that only its bound is known.
func (c *call) unended() bool { return c.stage != finished && c.hasLeft() }

// toolsUsed counts the calls of tools. Those of an answer that was not read to its end are not known: then the bound counts. A
// call that may be of several tools counts as the dearest, and so do calls beyond the maximum.
func (c *call) toolsUsed() map[string]int64 {
	if c.unended() {
		return c.priced.most.Tools
	}
	left, used := c.req.MaxToolCalls, map[string]int64{}
	counted := map[string]bool{}
	for _, tool := range dearestFirst(c.req.Hosted, c.model) {
		for kind, count := range c.priced.details.Tools {
			if kind == "" || counted[kind] || !strings.HasPrefix(tool, kind) {
				continue
			}
			counted[kind] = true
			count = min(count, left)
			used[tool] += count
			left -= count
		}
	}
	return used
}
