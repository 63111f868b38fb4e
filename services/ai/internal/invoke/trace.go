package invoke

import "go.opentelemetry.io/otel/attribute"

// describe tells the span of an attempt what its answer was: the model, the id and the tokens that are billed, or, until they are known,
// those that the provider reports.
func (c *call) describe(answer *Answer) {
	span := answer.Span
	span.Set(attribute.Int("http.response.status_code", answer.Status), attribute.Bool("trivet.streamed", answer.Streamed))
	if c.served != "" {
		span.Set(attribute.String("gen_ai.response.model", c.served))
	}
	if id := c.meter.ProviderID; id != "" {
		span.Set(attribute.String("gen_ai.response.id", id))
	}
	if !c.firstByte.IsZero() {
		span.Set(attribute.Int64("trivet.first_byte_us", c.firstByte.Sub(c.began).Microseconds()))
	}
	input, output := c.final.Usage.Input, c.final.Usage.Output
	if input == 0 && output == 0 {
		reported := c.meter.Reported()
		input, output = reported.Input, reported.Output
	}
	if input > 0 || output > 0 {
		span.Set(attribute.Int64("gen_ai.usage.input_tokens", max(input, 0)), attribute.Int64("gen_ai.usage.output_tokens", max(output, 0)))
	}
}
