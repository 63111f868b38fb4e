package invoke

import (
	"go.opentelemetry.io/otel/attribute"

	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
)

// describe tells the span of an attempt what was asked for and what its answer was: the model, the id and the tokens that are billed, or,
// until they are known, those that the provider reports.
func (c *call) describe(answer *Answer) {
	span := answer.Span
	span.Set(attribute.Int("http.response.status_code", answer.Status), attribute.Bool("trivet.streamed", answer.Streamed))
	c.describeRequest(answer)
	if c.served != "" {
		span.Set(attribute.String("gen_ai.response.model", c.served))
	}
	if id := c.meter.ProviderID; id != "" {
		span.Set(attribute.String("gen_ai.response.id", id))
	}
	if !c.firstByte.IsZero() {
		span.Set(attribute.Int64("trivet.first_byte_us", c.firstByte.Sub(c.began).Microseconds()))
	}
	used := c.final.Usage
	if used.Input == 0 && used.Output == 0 {
		reported := c.meter.Reported()
		used = tokens.Usage{Input: reported.Input, Cached: reported.Cached, Output: reported.Output, Reasoning: reported.Reasoning}
	}
	if used.Input > 0 || used.Output > 0 {
		span.Set(attribute.Int64("gen_ai.usage.input_tokens", max(used.Input, 0)), attribute.Int64("gen_ai.usage.output_tokens", max(used.Output, 0)))
	}
	if used.Cached > 0 {
		span.Set(attribute.Int64("gen_ai.usage.cache_read.input_tokens", used.Cached))
	}
	if used.Reasoning > 0 {
		span.Set(attribute.Int64("gen_ai.usage.reasoning.output_tokens", used.Reasoning))
	}
}

// describeRequest tells what the conventions want to know of a request. None of it is content.
func (c *call) describeRequest(answer *Answer) {
	if c.req.Stream || c.streamsMedia() {
		answer.Span.Set(attribute.Bool("gen_ai.request.stream", true))
		if !c.firstByte.IsZero() {
			answer.Span.Set(attribute.Float64("gen_ai.response.time_to_first_chunk", c.firstByte.Sub(c.began).Seconds()))
		}
	}
	if c.req.MaxOutput > 0 {
		answer.Span.Set(attribute.Int64("gen_ai.request.max_tokens", c.req.MaxOutput))
	}
	if c.req.Choices > 1 {
		answer.Span.Set(attribute.Int64("gen_ai.request.choice.count", c.req.Choices))
	}
}
