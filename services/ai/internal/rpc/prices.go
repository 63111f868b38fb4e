package rpc

import (
	"maps"
	"slices"
	"strconv"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	"github.com/trivet-dev/trivet/platform/models"
)

// pricesOf lists what a model costs besides its tokens of text at the standard prices.
func pricesOf(m models.Model) []*aiv1.ModelPrice {
	p := m.Prices
	if p == nil {
		return nil
	}
	var out []*aiv1.ModelPrice
	add := func(kind, variant string, nanos int64) {
		if nanos > 0 {
			out = append(out, &aiv1.ModelPrice{Kind: kind, Variant: variant, PriceNanoUsd: nanos})
		}
	}
	text := func(kind, variant string, input, cached, output int64) {
		add(kind+"_input", variant, input)
		add(kind+"_cached_input", variant, cached)
		add(kind+"_output", variant, output)
	}
	for _, one := range []struct {
		kind         string
		nanos, plain int64
	}{
		{"audio_input", p.AudioInput, m.InputPrice},
		{"image_input", p.ImageInput, m.InputPrice},
		{"audio_output", p.AudioOutput, m.OutputPrice},
		{"image_output", p.ImageOutput, m.OutputPrice},
	} {
		if one.nanos != one.plain {
			add(one.kind, "", one.nanos)
		}
	}
	add("minute", "", p.Minute)
	add("characters", "", p.Characters)
	for _, image := range slices.Sorted(maps.Keys(p.Images)) {
		add("image", image, p.Images[image])
	}
	for _, tool := range slices.Sorted(maps.Keys(p.Tools)) {
		add("tool", tool, p.Tools[tool])
	}
	for _, tier := range slices.Sorted(maps.Keys(p.Tiers)) {
		t := p.Tiers[tier]
		text("tier", tier, t.Input, t.CachedInput, t.Output)
		if l := t.Long; l != nil {
			text("tier_long", tier+"/"+strconv.FormatInt(l.Above, 10), l.Input, l.CachedInput, l.Output)
		}
	}
	if l := p.Long; l != nil {
		text("long", strconv.FormatInt(l.Above, 10), l.Input, l.CachedInput, l.Output)
	}
	return out
}
