package invoke

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"

	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/services/ai/internal/hold"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

const (
	// soundPart is how much sound is passed on at once, in bytes.
	soundPart = 32 << 10
	typeText  = "text/plain; charset=utf-8"
	typeBytes = "application/octet-stream"
)

// soundTypes are the Content-Types, by response_format, of sound that the provider does not label.
var soundTypes = map[string]string{
	"": "audio/mpeg", "mp3": "audio/mpeg", "opus": "audio/ogg", "aac": "audio/aac", "flac": "audio/flac", "wav": "audio/wav", "pcm": "audio/pcm",
}

// takeMedia passes on images, sound or a transcript.
func (c *call) takeMedia(answer *Answer) error {
	switch {
	case c.req.Media.Stream:
		return c.streamMedia(answer)
	case c.req.Endpoint == wire.Speech:
		return c.speak(answer)
	}
	body, err := c.readAll(answer.Body)
	if err != nil {
		return c.failed(err)
	}
	kind, err := c.measureMedia(body, answer.Headers["content-type"])
	if err != nil {
		return err
	}
	c.finish()
	answer.Headers["content-type"] = kind
	c.pass(Head{Status: answer.Status, Headers: answer.Headers}, body)
	return nil
}

// measureMedia reads what an answer says of its cost, and returns the Content-Type that it leaves with.
func (c *call) measureMedia(body []byte, kind string) (string, error) {
	if wantsText(c.req.Media.Format) && !strings.HasPrefix(strings.ToLower(kind), typeJSON) {
		return typeText, c.measureText(body, kind)
	}
	read, good := wire.ReadMedia(c.req.Endpoint, bytes.TrimPrefix(body, byteOrderMark))
	if !good {
		if read.Failed {
			return "", &failedAnswer{c.refusalOf(wire.ReadFailure(body))}
		}
		return "", c.notAnAnswer()
	}
	c.priced.answer, c.priced.read, c.priced.size = read, true, int64(len(body))
	return typeJSON, nil
}

// measureText takes a transcript that is not JSON. Nothing in it says that it is one, but what it is not can be told.
func (c *call) measureText(body []byte, kind string) error {
	start := bytes.TrimSpace(bytes.TrimPrefix(body, byteOrderMark))
	if strings.HasPrefix(strings.ToLower(kind), "text/html") && bytes.HasPrefix(start, []byte("<")) { // some servers call every text HTML
		return c.notAnAnswer()
	}
	if len(start) > 0 && start[0] == '{' {
		if f := wire.ReadFailure(start); f.Message != "" {
			return &failedAnswer{c.refusalOf(f)}
		}
	}
	c.priced.answer, c.priced.read, c.priced.size = wire.NewMediaAnswer(), true, int64(len(body))
	if c.req.Media.Format != "text" {
		c.priced.shown = wire.LastShown(body)
	}
	return nil
}

// wantsText reports whether a transcript in that format is not JSON.
func wantsText(format string) bool { return format == "text" || format == "srt" || format == "vtt" }

// speak passes on sound as it comes. The head waits for the first bytes, so that another target can be tried until then.
func (c *call) speak(answer *Answer) error {
	part := make([]byte, soundPart)
	n, err := io.ReadAtLeast(answer.Body, part, 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return c.failed(err)
	}
	if n == 0 {
		return c.notAnAnswer()
	}
	kind, isSound := soundType(answer.Headers["content-type"], c.req.Media.Format)
	if !isSound {
		more, _ := io.ReadFull(answer.Body, part[n:]) // what there is of the error
		if f := wire.ReadFailure(part[:n+more]); f.Message != "" {
			return &failedAnswer{c.refusalOf(f)}
		}
		return c.notAnAnswer()
	}
	answer.Headers["content-type"] = kind
	c.stage, c.headed = answered, true
	c.sendHead(Head{Status: answer.Status, Headers: answer.Headers})
	for {
		if n > 0 {
			c.sendBody(part[:n])
		}
		if errors.Is(err, io.EOF) {
			c.finish()
			c.settle()
			return nil
		}
		if err != nil {
			return c.failed(err)
		}
		n, err = answer.Body.Read(part)
	}
}

// soundType returns the Content-Type of sound, by the provider's and the response_format that was asked for. It reports false
// for an answer that is not sound.
func soundType(kind, format string) (string, bool) {
	base, _, _ := strings.Cut(strings.ToLower(kind), ";")
	base = strings.TrimSpace(base)
	if strings.HasPrefix(base, "audio/") {
		return kind, true
	}
	switch base {
	case "", typeBytes, "binary/octet-stream", "application/ogg":
	default:
		return "", false
	}
	if known, ok := soundTypes[format]; ok {
		return known, true
	}
	return typeBytes, true
}

// watchMedia is watch for images and sound: before the answer, only the cost of the input is known.
func (c *call) watchMedia() {
	most, begun := c.priced.most, c.priced.begun()
	price := func(q models.Quantities) int64 {
		cost, _ := c.model.Price(q)
		return cost
	}
	soFar := func() models.Quantities { // a stream has output before its end
		q := begun
		if q.Output = min(c.priced.seen.Load(), most.Output); most.ImageOutput > 0 {
			q.ImageOutput = q.Output
		}
		return q
	}
	all := price(most)
	c.hold.WatchCost(func() int64 {
		if c.unseen.Load() {
			return all
		}
		return price(soFar())
	})
	c.hold.Watch(func() tokens.Usage {
		if c.unseen.Load() {
			return tokens.Usage{Input: most.Input, Output: most.Output}
		}
		return tokens.Usage{Input: begun.Input, Output: soFar().Output}
	})
}

// heardTokens is how many tokens a second of sound has, by the estimate.
const heardTokens = 10

// begun is what a call most likely costs as soon as the provider has it: its input, and images that have a price each.
func (p *priced) begun() models.Quantities {
	q := models.Quantities{Characters: p.most.Characters, Input: p.prompt}
	if p.most.Image != "" {
		q.Images, q.Image = p.most.Images, p.most.Image
	}
	if p.most.AudioMillis > 0 {
		q.AudioMillis = min(wholeSeconds(p.likely), p.most.AudioMillis)
	}
	if p.most.AudioInput > 0 {
		q.AudioInput = min(wholeSeconds(p.likely)/1000*heardTokens, p.most.AudioInput)
		q.Input += q.AudioInput
	}
	q.Input = min(q.Input, p.most.Input)
	return q
}

// owedMedia is owed for images and sound. What the provider reports is billed, within the bound. Without a report the
// number of images, or the estimate of the length, is.
func (c *call) owedMedia(final hold.Final, cause error) hold.Final {
	q := c.priced.most
	switch {
	case c.req.Endpoint == wire.Speech:
	case c.stage == finished && c.priced.read:
		q, final.Estimated = c.priced.used(c.outputSeen())
	case c.brokeOff(cause):
		seen := c.counted()
		q, _ = c.priced.used(seen)
		final.Estimated = true
		most := c.priced.most
		if most.Image != "" { // an early image costs as much as the complete one
			q.Images = max(q.Images, c.priced.begun().Images)
		}
		if most.Output > 0 { // other prices do not depend on it
			q.Output = max(q.Output, seen)
		}
		if most.ImageOutput > 0 {
			q.ImageOutput = q.Output
		}
		c.noteUnreported(0)
	default:
		final.Estimated = true
		c.invoker.deps.Logger.WarnContext(c.up, "an abandoned answer was not read to its end; the call is billed at its hold's bound",
			slog.Any("reason", cause), slog.String("hold_id", c.hold.ID()), slog.String("model", c.model.ID))
	}
	q = c.believe(q)
	final.Usage = tokens.Usage{Input: q.Input, Cached: q.Cached, Output: q.Output}
	c.bill(&final, q)
	return final
}

// outputSeen estimates the output of a whole answer whose tokens are not reported.
func (c *call) outputSeen() int64 {
	switch {
	case c.streamsMedia() && c.priced.size == 0:
		return c.counted()
	case c.priced.most.ImageOutput > 0:
		return c.model.MaxOutputTokens * c.priced.answer.Images
	default:
		return tokens.Guess(c.priced.size)
	}
}

// used is what an answer says that the call used; seen is the output if the provider does not report it.
func (p *priced) used(seen int64) (q models.Quantities, estimated bool) {
	a, begun := p.answer, p.begun()
	q.Images, q.Image = a.Images, p.most.Image
	if p.most.AudioMillis > 0 {
		q.Images = 0
		if q.AudioMillis = a.Millis; a.Millis <= 0 {
			q.AudioMillis, estimated = max(begun.AudioMillis, wholeSeconds(p.shown)), true
		}
		return q, estimated
	}
	if p.most.Image != "" {
		return q, false
	}
	q.Input, q.Output, q.Cached = a.Reported.Input, a.Reported.Output, max(a.Reported.Cached, 0)
	if q.Output <= 0 && q.Input > 0 && a.Reported.Total > q.Input {
		q.Output = a.Reported.Total - q.Input
	}
	if q.Input <= 0 {
		q.Input, q.Cached, estimated = min(begun.Input+p.most.ImageInput, p.most.Input), 0, true
	}
	if q.Output <= 0 {
		q.Output, estimated = seen, true
	}
	special := part(q.Input, a.AudioInput, a.ImageInput, a.TextInput)
	switch {
	case p.most.AudioInput > 0:
		q.AudioInput, q.Images = special, 0
	case p.most.ImageInput > 0:
		q.ImageInput = special
	}
	if p.most.ImageOutput > 0 {
		q.ImageOutput = q.Output - min(max(a.TextOutput, 0), q.Output)
	}
	return q, estimated
}

// part is how many tokens are not text: as reported, else those that are not reported as text.
func part(all, sound, images, text int64) int64 {
	if reported := max(sound, images); reported >= 0 {
		return min(reported, all)
	}
	return all - min(max(text, 0), all)
}

// believe cuts what a provider claims to the bound, and reports an excess to the operator.
func (c *call) believe(q models.Quantities) models.Quantities {
	most, claimed := c.priced.most, q
	q.Input, q.Output, q.Images, q.AudioMillis = min(q.Input, most.Input), min(q.Output, most.Output), min(q.Images, most.Images), min(q.AudioMillis, most.AudioMillis)
	q.AudioInput, q.ImageInput = min(q.AudioInput, q.Input), min(q.ImageInput, q.Input)
	q.ImageOutput, q.Cached = min(q.ImageOutput, q.Output), min(q.Cached, q.Input)
	if claimed.Input == q.Input && claimed.Output == q.Output && claimed.Images == q.Images && claimed.AudioMillis == q.AudioMillis {
		return q
	}
	c.invoker.deps.Recorder.Excess(context.WithoutCancel(c.up), c.model.ID, tokens.Usage{Input: claimed.Input - q.Input, Output: claimed.Output - q.Output})
	c.invoker.deps.Logger.ErrorContext(c.up, "the provider exceeds the bound of a call; the excess is not billed",
		slog.String("hold_id", c.hold.ID()), slog.String("model", c.model.ID), slog.String("provider_request_id", c.requestID),
		slog.Any("claimed", claimed), slog.Any("bound", most))
	return q
}
